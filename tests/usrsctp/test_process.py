"""The stack lives in a process: it starts with the first socket, ends with the process, and does not fork."""

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import sctpio
from sctpio import Conn, Mode, connect, listen

HEAD = """
import asyncio, os, sys, time
from pathlib import Path
import sctpio

def threads():
    return len(os.listdir("/proc/self/task"))
"""


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own."""
    keep = {name: value for name, value in os.environ.items() if not name.endswith("UDP_PORT")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + textwrap.dedent(program), *arguments],
        env={**keep, "SCTPIO_STACK": "usrsctp", "SCTPIO_UDP_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def output(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def test_nothing_runs_before_the_first_socket_and_nothing_after_the_process() -> None:
    done = run("""
        assert threads() == 1
        assert sctpio.available_stacks()[-1] == "usrsctp"
        assert threads() == 1

        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                assert threads() > 1
                client = await sctpio.connect(listener.local_addresses)
                async with client, await listener.accept() as server:
                    await client.send(b"x")
                    await server.receive()

        asyncio.run(main())
        import atexit, sctpio.stacks.usrsctp.socket as u
        # Called before the stack's own handler would be, and by hand: it says what it left.
        began = time.monotonic()
        assert u.lib.sctpio_finish(1000) == 0
        assert time.monotonic() - began < 1
        assert threads() == 1, threads()
    """)
    assert output(done) == []


def test_a_process_that_leaves_everything_open_ends_at_once_and_tells_its_peer() -> None:
    program = """
        async def main():
            client = await sctpio.connect(sys.argv[1])
            await client.send(b"mine")
            print("sent", flush=True)
            await asyncio.Event().wait()

        import signal
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        asyncio.run(main())
    """

    async def main() -> None:
        async with listen("127.0.0.1:0") as listener:
            environment = dict(os.environ, SCTPIO_STACK="usrsctp")
            peer = subprocess.Popen(
                [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-c",
                    HEAD + textwrap.dedent(program),
                    str(listener.local_addresses),
                ],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            try:
                server = await listener.accept()
                assert (await server.receive()).data == b"mine"
                peer.terminate()
                with pytest.raises((ConnectionResetError, EOFError)):
                    await server.receive()
                await server.abort()
                began = time.monotonic()
                peer.wait(timeout=10)
                assert time.monotonic() - began < 5
            finally:
                peer.kill()
                peer.communicate()

    import asyncio

    asyncio.run(main())


def test_after_a_fork_the_child_is_told_and_the_parent_goes_on() -> None:
    done = run("""
        async def echo(listener):
            async with sctpio.connect(listener.local_addresses) as client, await listener.accept() as server:
                await client.send(b"x")
                assert (await server.receive()).data == b"x"

        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                await echo(listener)
                child = os.fork()
                if child == 0:
                    try:
                        try:
                            sctpio.connect("127.0.0.1:5000")
                        except sctpio.UnavailableError as error:
                            assert "forked" in str(error), error
                            assert sctpio.available_stacks() in ((), ("kernel",))
                        else:
                            os._exit(2)
                        try:
                            listener.local_addresses, listener._raw.local_addresses(0)
                        except OSError:
                            os._exit(0)
                        os._exit(3)
                    finally:
                        os._exit(1)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                await echo(listener)

        asyncio.run(main())
        print("done")
    """)
    assert output(done) == ["done"]


def test_a_child_that_lives_on_does_not_hold_the_port() -> None:
    port = str(free_port())
    done = run(
        """
        import signal
        raw = sctpio.stacks.choose("usrsctp").open()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        raw.close()
        assert sctpio.stacks.usrsctp.socket.lib.sctpio_finish(1000) == 0
        import socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("", int(sys.argv[1])))
        os.close(writer)
        os.waitpid(child, 0)
        os._exit(0)
        """,
        port,
        SCTPIO_UDP_PORT=port,
    )
    assert output(done) == []


def test_programs_that_are_started_inherit_nothing() -> None:
    done = run("""
        import subprocess
        raw = sctpio.stacks.choose("usrsctp").open()
        shown = subprocess.run(
            [sys.executable, "-c", "import os; print(*sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"],
            close_fds=False, capture_output=True, text=True, check=True,
        )
        print(shown.stdout.strip())
        raw.close()
    """)
    assert output(done) == ["0 1 2"]


def test_the_udp_port_is_9899_where_that_is_free_else_any_and_the_environment_chooses() -> None:
    show = """
        raw = sctpio.stacks.choose("usrsctp").open()
        print(sctpio.stacks.usrsctp.udp_ports.settings.started)
        raw.close()
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        try:
            taken.bind(("", 9899))
        except OSError:
            # Somebody else has it: as good.
            taken.close()
        [other] = output(run(show, SCTPIO_UDP_PORT=""))
        assert other != "9899"
    port = str(free_port())
    assert output(run(show, SCTPIO_UDP_PORT=port)) == [port]
    # Whoever first connects to this host leaves it to the peer, and says so.
    client = """
        import logging
        logging.basicConfig(level=logging.INFO)
        here = sctpio.Address.parse("127.0.0.1:5000")
        raw = sctpio.stacks.choose("usrsctp").open(towards=here)
        print(sctpio.stacks.usrsctp.udp_ports.settings.started)
        raw.close()
    """
    done = run(client, SCTPIO_UDP_PORT="")
    assert done.stdout.split() != ["9899"], done.stderr
    assert "as port 9899 is the peer's" in done.stderr
    assert run(client, SCTPIO_UDP_PORT=port).stdout.split() == [port]
    for bad in ("x", "70000", "-1"):
        done = run(show, SCTPIO_UDP_PORT=bad)
        assert f"ValueError: $SCTPIO_UDP_PORT is '{bad}'" in done.stderr


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_udp_port_that_is_taken_is_named(family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as taken:
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("", 0))
        port = str(taken.getsockname()[1])
        done = run(
            """
            import errno
            try:
                sctpio.stacks.choose("usrsctp").open()
            except OSError as error:
                assert error.errno == errno.EADDRINUSE
                print(error.strerror)
            """,
            SCTPIO_UDP_PORT=port,
        )
        [line] = output(done)
        assert line.startswith(f"UDP port {port} is in use")


def test_it_is_configured_before_it_is_used() -> None:
    port = str(free_port())
    done = run(
        """
        sctpio.usrsctp_config(udp_port=int(sys.argv[1]), remote_udp_port=int(sys.argv[1]))
        for bad in ({"udp_port": 65536}, {"udp_port": -1}, {"remote_udp_port": 0}):
            try:
                sctpio.usrsctp_config(**bad)
            except ValueError:
                continue
            raise AssertionError(bad)

        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                client = await sctpio.connect(listener.local_addresses)
                async with client, await listener.accept() as server:
                    await client.send(b"x")
                    await server.receive()

        asyncio.run(main())
        try:
            sctpio.usrsctp_config(udp_port=1000)
        except RuntimeError as error:
            print(error)
        """,
        port,
    )
    [line] = output(done)
    assert line.startswith(f"the usrsctp stack runs on UDP port {port} already")


def test_two_processes_on_one_host_just_work() -> None:
    server_udp = str(free_port())
    server = """
        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                print(listener.local_addresses, flush=True)
                async with await listener.accept() as conn:
                    async for message in conn:
                        await conn.send(message.data.upper())
        asyncio.run(main())
    """
    client = """
        async def main():
            async with sctpio.connect(sys.argv[1]) as conn:
                await conn.send(b"hello")
                print((await conn.receive()).data.decode())
        asyncio.run(main())
    """
    environment = {**os.environ, "SCTPIO_STACK": "usrsctp", "SCTPIO_UDP_PORT": server_udp}
    with subprocess.Popen(
        [sys.executable, "-c", HEAD + textwrap.dedent(server)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            # As with 9899, which another process of this host may have.
            done = run(client, address, SCTPIO_REMOTE_UDP_PORT=server_udp)
            assert output(done) == ["HELLO"]
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()


EXIT = """
    import atexit
    # Called after the stack's own handler, which is registered later.
    atexit.register(lambda: print(threads(), time.monotonic() - ended))
"""


def exit_of(program: str) -> tuple[int, float]:
    """Run a program that says when it `ended`: the threads that were left, and the seconds to its exit."""
    done = run(textwrap.dedent(EXIT) + textwrap.dedent(program))
    [line] = output(done)
    left, seconds = line.split()
    return int(left), float(seconds)


def test_a_process_with_nothing_open_exits_at_once() -> None:
    left, seconds = exit_of("""
        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                client = await sctpio.connect(listener.local_addresses)
                async with client, await listener.accept() as server:
                    await client.send(b"x")
                    await server.receive()
        asyncio.run(main())
        ended = time.monotonic()
    """)
    assert left == 1
    # The patience is a second; this is a few milliseconds.
    assert seconds < 0.9


def test_a_process_with_associations_open_aborts_them_and_exits_at_once() -> None:
    left, seconds = exit_of("""
        async def call():
            # Nobody is there: this one does not come up.
            await sctpio.connect("127.0.0.1:9", options=[sctpio.UdpEncapsulation(port=9)])

        async def main():
            listener = await sctpio.listen("127.0.0.1:0", mode=sctpio.Mode.ONE_TO_MANY)
            kept.append(listener)
            for _ in range(20):
                kept.append(await sctpio.connect(listener.local_addresses))
                kept.append(await listener.accept())
                await kept[-1].send(bytes(1000))
            kept.append(asyncio.ensure_future(call()))
            await asyncio.sleep(0.01)

        kept = []
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        ended = time.monotonic()
        # That all this is open is said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    """)
    assert left == 1
    assert seconds < 0.9


def test_a_process_waits_a_second_for_what_is_closing() -> None:
    left, seconds = exit_of("""
        import signal, subprocess
        peer = subprocess.Popen([sys.executable, "-c", '''
        import asyncio, sctpio
        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                print(listener.local_addresses, sctpio.stacks.usrsctp.udp_ports.settings.started, flush=True)
                async with await listener.accept():
                    await asyncio.Event().wait()
        asyncio.run(main())
        '''], stdout=subprocess.PIPE, text=True)

        async def main():
            address, port = peer.stdout.readline().split()
            client = await sctpio.connect(address, options=[sctpio.UdpEncapsulation(port=int(port))])
            peer.kill()
            peer.communicate()
            # What a descriptor does that nobody has any more.
            os.close(client.detach())
            await asyncio.sleep(0.1)
        asyncio.run(main())
        ended = time.monotonic()
    """)
    assert 0.5 < seconds < 10
    # The stack could not be stopped: its threads end with the process.
    assert left >= 1


def test_fork_before_the_first_socket_and_spawn_work_and_a_fork_after_it_is_refused() -> None:
    done = run("""
        import multiprocessing, tempfile
        program = '''
        import asyncio, sctpio

        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                client = await sctpio.connect(listener.local_addresses)
                async with client, await listener.accept() as server:
                    await client.send(b"there")
                    return (await server.receive()).data

        def work(queue):
            try:
                queue.put(asyncio.run(main()))
            except OSError as error:
                queue.put(f"{type(error).__name__}: {error.strerror}")
        '''
        folder = tempfile.mkdtemp()
        Path(folder, "worker.py").write_text(program)
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = folder
        import worker

        def go(method):
            context = multiprocessing.get_context(method)
            queue = context.SimpleQueue()
            process = context.Process(target=worker.work, args=(queue,))
            process.start()
            print(method, queue.get(), flush=True)
            process.join()
            assert process.exitcode == 0

        if __name__ == "__main__":
            go("fork")
            print(asyncio.run(worker.main()), flush=True)
            go("spawn")
            go("fork")
    """)
    first, own, spawned, refused = output(done)
    assert (first, own, spawned) == ("fork b'there'", "b'there'", "spawn b'there'")
    assert refused.startswith("fork UnavailableError: the usrsctp stack belongs to the process")


def test_a_forked_child_closes_what_it_inherited_without_harm() -> None:
    done = run("""
        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                client = await sctpio.connect(listener.local_addresses)
                async with client, await listener.accept() as server:
                    for _ in range(20):
                        await client.send(bytes(1000))
                        child = os.fork()
                        if child == 0:
                            for raw in (listener._raw, client._link.raw, server._link.raw):
                                raw.close()
                            os._exit(0)
                        assert os.waitpid(child, 0)[1] == 0
                        await server.receive()
        asyncio.run(main())
    """)
    assert output(done) == []


def test_every_call_in_a_forked_child_says_why_and_the_parent_goes_on() -> None:
    """With the stack's lock held as often as not while the process forks: a child that waited would hang."""
    done = run("""
        import errno, threading
        from sctpio.stacks._usrsctp import ffi, lib

        def calls(fd):
            room, length, number = ffi.new("uint8_t[1024]"), ffi.new("uint32_t *", 28), ffi.new("int32_t *")
            address = bytes([2, 0]) + bytes(14)
            target, message = ffi.new("sctpio_target *"), ffi.new("sctpio_outgoing *", [1])
            records = ffi.new("sctpio_record[1]")
            yield lib.sctpio_probe()
            yield lib.sctpio_open(2, 0)
            yield lib.sctpio_start(1)
            yield lib.sctpio_know(address, 16)
            yield lib.sctpio_listen(fd, 1)
            yield lib.sctpio_accept(fd, room, length)
            yield lib.sctpio_peeloff(fd, 1)
            yield lib.sctpio_bindx(fd, address, 16, 0)
            yield lib.sctpio_bindx(fd, address, 16, 1)
            yield lib.sctpio_connectx(fd, address, 16, number)
            yield lib.sctpio_addresses(fd, 0, 0, room, length)
            yield lib.sctpio_addresses(fd, 0, 1, room, length)
            yield lib.sctpio_name(fd, room, length)
            yield lib.sctpio_getsockopt(fd, 132, 1, room, length)
            yield lib.sctpio_setsockopt(fd, 132, 3, room, 4)
            yield lib.sctpio_receive(fd, room, 1024, records, 1, number)
            yield lib.sctpio_send(fd, target, message, b"x")
            yield lib.sctpio_send_plain(fd, 0, b"x", 1, 0, 0, 0, 0)
            yield lib.sctpio_send_batch(fd, target, message, 1, b"x", 1)
            yield lib.sctpio_shutdown(fd)
            yield lib.sctpio_abort_on_close(fd)
            yield lib.sctpio_find(fd, address, 16, number)
            yield lib.sctpio_remote_udp_port(fd, 1)
            yield lib.sctpio_detached(fd, 1)

        def child(descriptors):
            assert lib.sctpio_forked()
            assert (lib.sctpio_established(), lib.sctpio_finish(1000)) == (0, 0)
            for descriptor in descriptors:
                for number, code in enumerate(calls(descriptor)):
                    assert code == -errno.ENOTRECOVERABLE, (number, code)
                # The library has closed the child's copy.
                try:
                    os.fstat(descriptor)
                except OSError:
                    continue
                raise AssertionError(descriptor)

        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                client = await sctpio.connect(listener.local_addresses)
                async with client, await listener.accept() as server:
                    busy = True

                    def hold_the_lock():
                        while busy:
                            client._link.raw.peer_addresses(0)

                    holder = threading.Thread(target=hold_the_lock)
                    holder.start()
                    descriptors = [each.fileno() for each in (listener, client, server)]
                    for _ in range(20):
                        pid = os.fork()
                        if pid == 0:
                            try:
                                child(descriptors)
                                os._exit(0)
                            except BaseException as error:
                                print(repr(error), flush=True)
                            os._exit(1)
                        assert os.waitpid(pid, 0)[1] == 0
                        await client.send(b"x")
                        await server.receive()
                    busy = False
                    holder.join()

        asyncio.run(main())
    """)
    assert output(done) == []


def test_what_a_forked_child_does_with_a_conn_fails_with_the_reason() -> None:
    done = run("""
        import warnings
        import errno

        async def attempts(client, listener):
            for call in (
                lambda: client.send(b"y"),
                lambda: client.send_many([b"y", b"z"]),
                lambda: client.send(b"y", lifetime=1),
                lambda: client.flush(),
                lambda: client.receive(),
                lambda: listener.accept(),
            ):
                try:
                    await call()
                except sctpio.ClosedError as error:
                    assert "forked" in str(error)
                else:
                    raise AssertionError(call)
            # To end it there is to do nothing.
            await client.close()
            await client.abort()
            await listener.close()
            try:
                await sctpio.connect("127.0.0.1:5000")
            except sctpio.UnavailableError as error:
                assert error.errno == errno.ENOTRECOVERABLE
                assert "forked" in str(error)
            else:
                raise AssertionError("connect")

        def child(client, listener):
            for call in (client.status, lambda: client.get_option(sctpio.NoDelay),
                         lambda: client.set_option(sctpio.NoDelay(True))):
                try:
                    call()
                except sctpio.ClosedError as error:
                    assert "forked" in str(error)
                else:
                    raise AssertionError(call)
            asyncio.run(attempts(client, listener))

        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                client = await sctpio.connect(listener.local_addresses)
                async with client, await listener.accept() as server:
                    pid = os.fork()
                    if pid == 0:
                        try:
                            child(client, listener)
                            os._exit(0)
                        except BaseException as error:
                            print(repr(error), flush=True)
                        os._exit(1)
                    assert os.waitpid(pid, 0)[1] == 0
                    await client.send(b"x")
                    await server.receive()

        asyncio.run(main())
    """)
    assert output(done) == []


def test_a_child_of_multiprocessing_that_inherits_a_conn_and_exits_harms_nobody() -> None:
    done = run("""
        import multiprocessing

        def work(conn):
            conn.get_option(sctpio.NoDelay)

        async def main():
            async with sctpio.listen("127.0.0.1:0") as listener:
                client = await sctpio.connect(listener.local_addresses)
                async with client, await listener.accept() as server:
                    for _ in range(5):
                        process = multiprocessing.get_context("fork").Process(target=work, args=(client,))
                        process.start()
                        process.join()
                        assert process.exitcode == 1
                        await client.send(b"x")
                        await server.receive()

        asyncio.run(main())
    """)
    assert done.returncode == 0
    assert done.stderr.count("ClosedError: [Errno 9] this object belongs to process") == 5


# Loops of daemon threads that use the stack while it is finished. By raw calls, as those spend most of their
# time in the C.
DAEMONS = """
    import random, threading
    from contextlib import suppress

    async def main():
        listener = await sctpio.listen("127.0.0.1:0")
        other = await sctpio.listen("127.0.0.1:0", mode=sctpio.Mode.ONE_TO_MANY)
        ends = []
        for _ in range(4):
            ends += [await sctpio.connect(listener.local_addresses), await listener.accept()]
        started.release()
        while True:
            for end in ends:
                with suppress(OSError):
                    end._link.raw.send(0, bytes(1000), 0, 0, 0, 0, None)
                with suppress(OSError):
                    list(end._link.raw.receive(65536)[1])
                with suppress(OSError):
                    end._link.raw.peer_addresses(0)
            await asyncio.sleep(0)
            if random.random() < 0.05:
                with suppress(OSError):
                    await (await sctpio.connect(other.local_addresses)).abort()

    def run():
        with suppress(OSError):
            asyncio.run(main())

    started = threading.Semaphore(0)
    for _ in range(3):
        threading.Thread(target=run, daemon=True).start()
    for _ in range(3):
        started.acquire()
    time.sleep(random.random() * 0.02)
    # Away with what is logged, and with the warnings that all this is open.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
"""

EXITS = int(os.environ.get("SCTPIO_TEST_EXITS", "20"))


@pytest.mark.timeout(60 + 10 * EXITS)
def test_daemon_threads_that_are_in_the_stack_as_the_process_exits_do_not_crash_it() -> None:
    """What was freed is overwritten: a use of it shows."""
    assert [run(DAEMONS, MALLOC_PERTURB_="165").returncode for _ in range(EXITS)] == [0] * EXITS


@pytest.mark.parametrize("answer", ["silence", "echo", "noise", "nobody"])
def test_what_does_not_speak_sctp_on_a_udp_port_harms_its_own_callers_alone(answer: str) -> None:
    done = run(
        """
        import socket, threading
        answer = sys.argv[1]
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]

        def speak():
            while True:
                data, peer = other.recvfrom(65536)
                if answer != "silence":
                    other.sendto(data if answer == "echo" else os.urandom(len(data)), peer)

        if answer == "nobody":
            other.close()
        else:
            threading.Thread(target=speak, daemon=True).start()

        async def main():
            hasty = sctpio.InitMsg(max_attempts=2, max_init_timeout=0.2)
            often = sctpio.RtoInfo(initial=0.1, minimum=0.1, maximum=0.2)
            options = [sctpio.UdpEncapsulation(port=port), often]
            async with sctpio.listen("127.0.0.1:0") as listener:
                client = await sctpio.connect(listener.local_addresses)
                async with client, await listener.accept() as server:
                    try:
                        await sctpio.connect("127.0.0.1:5000", init=hasty, options=options)
                    except OSError as error:
                        print(type(error).__name__)
                    await client.send(b"x")
                    assert (await server.receive()).data == b"x"

        asyncio.run(main())
        """,
        answer,
    )
    # What is echoed is for a port of ours where nobody listens.
    assert output(done) == ["ConnectionRefusedError" if answer == "echo" else "TimeoutError"]


def test_a_stack_that_was_not_built_says_how_to_get_it(tmp_path: Path) -> None:
    package = Path(sctpio.__file__).parent
    without = shutil.ignore_patterns("_usrsctp.*so", "__pycache__")
    shutil.copytree(package, tmp_path / "sctpio", ignore=without)
    done = run(
        """
        assert Path(sctpio.__file__).is_relative_to(sys.argv[1])
        assert "usrsctp" not in sctpio.available_stacks()
        for use in (
            lambda: sctpio.stacks.choose("usrsctp"),
            lambda: sctpio.connect("127.0.0.1:5000", stack="usrsctp"),
            lambda: sctpio.listen("127.0.0.1:5000"),
            lambda: sctpio.capabilities("usrsctp"),
        ):
            try:
                use()
            except sctpio.UnavailableError as error:
                print(error)
        try:
            sctpio.connect("127.0.0.1:5000", stack="lksctp")
        except ValueError as error:
            print(error)
        """,
        str(tmp_path),
        PYTHONPATH=str(tmp_path),
    )
    *reasons, unknown = output(done)
    assert len(reasons) == 4
    assert all("apt install libusrsctp-dev" in reason for reason in reasons), reasons
    assert "'kernel' or 'usrsctp'" in unknown


async def test_what_is_no_association_of_this_stack_is_not_adopted() -> None:
    """Descriptors of listeners, of one-to-many sockets and of other things; they stay what they were."""
    async with (
        listen("127.0.0.1:0") as single,
        listen("127.0.0.1:0", mode=Mode.ONE_TO_MANY) as many,
        connect(many.local_addresses),
        await many.accept(),
    ):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            for descriptor in (datagrams.fileno(), single.fileno(), many.fileno()):
                with pytest.raises(ValueError, match="no SCTP socket of one association"):
                    await Conn.from_fd(descriptor)
        with pytest.raises(OSError, match="Bad file descriptor"):
            await Conn.from_fd(10_000)
        async with connect(single.local_addresses) as client, await single.accept() as server:
            await client.send(b"goes on")
            assert (await server.receive()).data == b"goes on"
