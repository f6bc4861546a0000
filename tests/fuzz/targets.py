"""What coverage-guided fuzzing feeds: functions of bytes that raise only where something is broken.

`TARGETS` has them by name. They import what they test when they are made, so that a fuzzer can instrument it.
"""

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

Target = Callable[[bytes], None]

TICK = 0.004


def _codecs() -> list[Any]:
    codec = importlib.import_module("sctpio._abi.codec")
    linux = importlib.import_module("sctpio._abi.linux")
    usrsctp = importlib.import_module("sctpio._abi.usrsctp")
    return [codec.Codec(platform, tick=TICK) for platform in (linux.LINUX, usrsctp.USRSCTP)]


def _choose(among: list[Any], data: bytes) -> tuple[Any, bytes]:
    """Choose by the first byte."""
    return among[data[0] % len(among)] if data else among[0], data[1:]


def event() -> Target:
    """A notification of either stack is an event or a DecodeError, and an event is what its bytes say."""
    errors = importlib.import_module("sctpio.errors")
    codecs = _codecs()

    def check(data: bytes) -> None:
        codec, data = _choose(codecs, data)
        with contextlib.suppress(errors.DecodeError):
            repr(codec.decode_event(data))

    return check


def option() -> Target:
    """What getsockopt gives for any option of either stack is an option or a DecodeError."""
    errors = importlib.import_module("sctpio.errors")
    kinds = [(codec, spec.kind) for codec in _codecs() for spec in codec.platform.options]

    def check(data: bytes) -> None:
        (codec, kind), data = _choose(kinds, data)
        with contextlib.suppress(errors.DecodeError):
            value = codec.decode_option(kind, data)
            assert type(value) is kind
            repr(value)

    return check


def addresses() -> Target:
    """Packed sockaddrs are an Address that packs to the same Address, or a DecodeError."""
    errors = importlib.import_module("sctpio.errors")
    codecs = _codecs()

    def check(data: bytes) -> None:
        codec, data = _choose(codecs, data)
        with contextlib.suppress(errors.DecodeError):
            repr(codec.unpack_address(data))
        with contextlib.suppress(errors.DecodeError):
            found = codec.unpack_addresses(data)
            assert codec.unpack_addresses(codec.pack_addresses(found)) == found

    return check


def records() -> Target:
    """The records of a batch become the same messages in C and in Python, or a ValueError in C."""
    module = importlib.import_module("sctpio._loop.records")
    contract = importlib.import_module("sctpio._abi.contract")
    address = importlib.import_module("sctpio.address")
    fast = importlib.import_module("sctpio._fast")
    message = importlib.import_module("sctpio.message")
    size = contract.RECORD.size
    arena = bytes(range(256)) * 4

    def find(source: bytes, association_id: int) -> Any:
        return address.Address((), (sum(source) + association_id) & 0xFFFF)

    layout = fast.Layout(message.Message, "message")

    def check(data: bytes) -> None:
        count = len(data) // size
        in_c, in_python = fast.Decoder(layout, find), module.PythonDecoder(find)
        done = 0
        while done < count:
            try:
                run = in_c.messages(data, done, count, arena)
            except ValueError:
                return
            assert run == in_python.messages(data, done, count, arena)
            assert done <= run[4] <= count
            done = run[4] + 1

    return check


def netlink() -> Target:
    """A datagram of sock_diag is answers, whatever its bytes are."""
    wire = importlib.import_module("sctpio.diagnostics.wire")

    def check(data: bytes) -> None:
        for answer in wire.read(data):
            if answer.row is not None:
                str(answer.row.local)
                str(answer.row.peer)

    return check


def proc() -> Target:
    """Any text in the files of /proc/net/sctp is lines that can be read, or are left out."""
    module = importlib.import_module("sctpio.diagnostics.proc")

    def check(data: bytes) -> None:
        text = data.decode(errors="replace")
        for read in (module.associations, module.endpoints, module.paths, module.counters):
            repr(read(text))

    return check


def trace_points() -> Target:
    """Any lines of the kernel's trace_pipe are points, or are left out."""
    module = importlib.import_module("sctpio.cli.trace_points")

    def check(data: bytes) -> None:
        follower = module.Follower()
        for line in data.decode(errors="replace").splitlines():
            point = follower.read(line)
            if point is not None:
                module.text_of(point)

    return check


def address_text() -> Target:
    """A text is an address that its own text gives back, or a ValueError that quotes it."""
    module = importlib.import_module("sctpio.address")

    def check(data: bytes) -> None:
        text = data.decode(errors="surrogateescape")
        try:
            address = module.Address.parse(text)
        except ValueError as refused:
            if repr(text) not in str(refused):
                raise
        else:
            assert module.Address.parse(str(address)) == address
        for like in (text, (text, 5000)):
            for split in (module.split_like, module.split_remote):
                with contextlib.suppress(ValueError):
                    split(like)

    return check


class _Loop:
    """A clock that stands still until it is told, and its timers."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[_Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., None], *arguments: Any) -> "_Timer":
        self.timers.append(_Timer(self, when, callback, arguments))
        return self.timers[-1]

    def call_later(self, delay: float, callback: Callable[..., None], *arguments: Any) -> "_Timer":
        return self.call_at(self.now + delay, callback, *arguments)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer.when <= end]:
            timer = min(due, key=lambda each: each.when)
            self.now = max(self.now, timer.when)
            timer.cancel()
            timer.callback(*timer.arguments)
        self.now = end


class _Timer:
    def __init__(
        self, loop: _Loop, when: float, callback: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        self.loop, self.when, self.callback, self.arguments = loop, when, callback, arguments

    def cancel(self) -> None:
        if self in self.loop.timers:
            self.loop.timers.remove(self)


def relay() -> Target:
    """A relay loses count of no packet, keeps to its bounds, and is empty after a while.

    The bytes are a seed, then operations: a packet from either side, its length and bytes; other faults;
    time that passes; a cut; its end.
    """
    module = importlib.import_module("sctpio.testing._relay")
    faults = importlib.import_module("sctpio.testing._faults")

    def check(data: bytes) -> None:
        made = module.Relay(seed=data[0] if data else 0, max_packets=4, max_bytes=200)
        loop, sent = _Loop(), 0

        def send(packet: bytes, to: Any) -> bool:
            nonlocal sent
            sent += 1
            return len(packet) % 7 != 6

        ways = (made.to_server, made.to_client)
        for way in ways:
            way.attach(loop, send)
        at = 1
        while at + 2 <= len(data):
            operation, argument = data[at] % 6, data[at + 1]
            at += 2
            if operation < 2:
                packet = data[at : at + argument]
                at += argument
                (made._from_client, made._from_server)[operation](packet, ("127.0.0.1", argument))
            elif operation == 2 and at + 6 <= len(data):
                loss, delay, jitter, reorder, duplicate, corrupt = (byte / 255 for byte in data[at : at + 6])
                ways[argument % 2].faults = faults.Faults(
                    loss=loss,
                    delay=delay,
                    jitter=jitter,
                    reorder=reorder,
                    duplicate=duplicate,
                    corrupt=corrupt,
                )
                at += 6
            elif operation == 3:
                loop.advance(argument / 100)
            elif operation == 4:
                ways[argument % 2].cut()
            else:
                ways[argument % 2].heal()
            for way in ways:
                _balanced(way)
                assert way.waiting <= 4
                assert way._waiting_bytes <= 200
        loop.advance(10)
        for way in ways:
            _balanced(way)
            assert way.waiting == way._waiting_bytes == 0
        assert loop.timers == []
        str(made)

    return check


def _balanced(way: Any) -> None:
    counters = way.counters
    come, gone = counters.received + counters.duplicated, counters.forwarded + counters.dropped
    assert come == gone + way.waiting, f"{counters}, {way.waiting} waiting"


# Each makes its check.
TARGETS: dict[str, Callable[[], Target]] = {
    "event": event,
    "option": option,
    "addresses": addresses,
    "records": records,
    "netlink": netlink,
    "proc": proc,
    "trace-points": trace_points,
    "address-text": address_text,
    "relay": relay,
}
