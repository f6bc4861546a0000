"""Everything that is known of an association at once, while it lives and after; statistics of a listener."""

import pytest

from sctpio import PathState, ProtocolState, Snapshot
from support import STACK, connected, until

pytestmark = pytest.mark.both_modes


async def test_a_snapshot_of_a_living_association() -> None:
    async with connected() as (client, server, _):
        await client.send(bytes(100))
        await until(lambda: server.statistics().unread_messages == 1)
        shot = server.snapshot()
        assert shot.state is ProtocolState.ESTABLISHED
        assert shot.end is None
        assert shot.stack == STACK
        assert (shot.unread_messages, shot.unread_bytes, shot.messages_received) == (1, 100, 1)
        assert shot.association_id == server.association_id
        assert shot.peer == server.peer_addresses
        assert shot.local == server.local_addresses
        assert shot.primary == server.primary_path
        assert [path.address for path in shot.paths] == [path.address for path in server.paths()]
        assert shot.paths[0].state is PathState.ACTIVE
        assert len(shot.paths) == len(server.peer_addresses.hosts)
        assert shot.paths_active >= 1
        assert shot.rwnd is not None
        assert shot.rwnd > 0


async def test_a_snapshot_after_the_end_has_what_is_left() -> None:
    async with connected() as (client, server, _):
        await client.send(bytes(100))
        local, peer = client.local_addresses, client.peer_addresses
        await client.close()
        await until(lambda: server.is_closed)
        shot = client.snapshot()
        assert isinstance(shot, Snapshot)
        assert [shot.state, shot.rwnd, shot.primary, shot.cwnd] == [None] * 4
        assert shot.paths == ()
        assert (shot.local, shot.peer) == (local, peer)
        assert shot.messages_sent == 1
        assert shot.end is not None
        assert "closed here" in shot.end
        assert server.snapshot().end is not None


async def test_a_listener_sums_up_its_associations() -> None:
    async with connected() as (client, server, listener):
        await client.send(bytes(100))
        await until(lambda: listener.statistics().unread_messages == 1)
        counts = listener.statistics()
        assert (counts.associations, counts.unread_bytes, counts.waiting_senders) == (1, 100, 0)
        assert counts.wakeups > 0
        await server.receive()
        await client.close()
        await until(lambda: listener.statistics().associations == 0)
