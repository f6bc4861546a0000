"""What cannot be peeled off stays usable where it is."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from api.one_to_many.peel_off.moving import MANY, listening_associations, shared, talk
from sctpio import AssociationAbortedError, ClosedError, EndOfAssociation, connect, listen, open_endpoint
from sctpio.stacks.base import alive
from support import (
    LOCAL,
    PER_SOCKET,
    associations,
    connected,
    descriptor_count,
    paired,
    read_again,
    stop_reading,
    turns,
    until,
    within,
)


async def test_peeling_off_twice_is_refused_and_changes_nothing() -> None:
    async with shared() as pair:
        await pair.server.peel_off()
        before = pair.server.fileno(), descriptor_count()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="own already"):
                await pair.server.peel_off()
        assert (pair.server.fileno(), descriptor_count()) == before
        await talk(pair.client, pair.server)


async def test_a_one_to_one_conn_cannot_be_peeled_off() -> None:
    async with connected() as pair:
        for conn in (pair.client, pair.server):
            with pytest.raises(RuntimeError, match="own already"):
                await conn.peel_off()
        await talk(pair.client, pair.server)


@pytest.mark.parametrize("told", [True, False], ids=["told", "not yet told"])
@pytest.mark.parametrize("end", ["close", "abort"])
async def test_an_association_that_is_gone_cannot_be_peeled_off(end: str, told: bool) -> None:
    error = EndOfAssociation if end == "close" else AssociationAbortedError
    async with listen(LOCAL, mode=MANY) as listener, paired(listener, None) as other:
        async with paired(listener, None) as pair:
            await pair.client.send(b"here")
            await until(lambda: pair.server.statistics().unread_messages == 1)
            before = descriptor_count()
            if not told:
                stop_reading(pair.server)
                await turns()
            await pair.client.send(b"in the kernel")
            await pair.client.flush()
            if end == "close":
                await within(pair.client.close())
            else:
                await pair.client.abort()
            shared, identifier = pair.server._link.socket.raw, pair.server.association_id
            await until(lambda: len(associations()) == 2 and not alive(shared, identifier))
            if told:
                await until(lambda: pair.server.is_closed)
            for _ in range(2):
                with pytest.raises(error):
                    await pair.server.peel_off()
            # The client's is gone.
            assert descriptor_count() == before - PER_SOCKET
            got = [(await within(pair.server.receive())).data for _ in range(2)]
            assert got == [b"here", b"in the kernel"]
            with pytest.raises(error):
                await within(pair.server.receive())
        read_again(other.server)
        assert listening_associations(listener) == 1
        await other.server.peel_off()
        await talk(other.client, other.server)


async def test_a_closed_or_aborted_conn_cannot_be_peeled_off() -> None:
    async with listen(LOCAL, mode=MANY) as listener:
        for end in ("close", "abort"):
            async with paired(listener, None) as pair:
                await getattr(pair.server, end)()
                with pytest.raises(ClosedError):
                    await pair.server.peel_off()


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let the process have no more descriptors than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    spare: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        while True:
            try:
                spare.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in spare:
            os.close(descriptor)


async def test_out_of_descriptors_an_association_stays_usable_where_it_was() -> None:
    async with listen(LOCAL, mode=MANY) as listener, paired(listener, None) as pair:
        await pair.client.send(b"unread")
        await until(lambda: pair.server.statistics().unread_messages == 1)
        with no_descriptors():
            for _ in range(2):
                with pytest.raises(OSError, match="peel off") as caught:
                    await pair.server.peel_off()
                assert caught.value.errno == errno.EMFILE
        assert pair.server.fileno() == listener.fileno()
        assert listening_associations(listener) == 1
        assert (await within(pair.server.receive())).data == b"unread"
        await talk(pair.client, pair.server)
        await pair.server.peel_off()
        await talk(pair.client, pair.server)


async def test_out_of_descriptors_an_association_of_an_endpoint_stays_usable() -> None:
    async with open_endpoint(LOCAL) as endpoint, connect(endpoint.local_addresses) as client:
        await client.send(b"unread")
        await until(lambda: endpoint.statistics().unread_messages == 1)
        [identifier] = endpoint.associations
        with no_descriptors():
            with pytest.raises(OSError, match="peel off") as caught:
                await endpoint.peel_off(identifier)
            assert caught.value.errno == errno.EMFILE
        assert endpoint.associations == (identifier,)
        assert (await within(endpoint.receive())).data == b"unread"
        await endpoint.send(b"back", to=identifier)
        assert (await within(client.receive())).data == b"back"
        conn = await endpoint.peel_off(identifier)
        await talk(client, conn)
        await conn.close()
