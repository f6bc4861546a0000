"""What the kernel tells of the associations of another program, which has Python's own sockets."""

import time

import pytest

from kernel.lab import FAST, TICK, Lab, joined, run
from kernel.peers import peers
from sctpio import Option, PathState, PeerAddressParameters, ProtocolState, diagnostics
from sctpio.diagnostics import HostAssociation
from support import until


def clients_of(port: int) -> list[HostAssociation]:
    return [one for one in diagnostics.associations() if one.peer.port == port]


def test_the_associations_of_another_program() -> None:
    with peers(2) as (port, process):
        first, second = sorted(clients_of(port), key=lambda one: -one.chunks_sent)
        assert first.state is ProtocolState.ESTABLISHED
        assert (str(first.peer), str(first.local.hosts[0])) == (f"127.0.0.1:{port}", "127.0.0.1")
        assert (first.outbound_streams, first.inbound_streams) == (2, 2)
        assert (first.chunks_sent, second.chunks_sent) == (1, 0)
        assert first.packets_sent >= 3
        assert {owner.pid for owner in first.owners} == {process.pid}
        assert first.owners[0].name.startswith("python")
        [path] = first.paths
        assert (path.state, path.primary, path.heartbeat) == (PathState.ACTIVE, True, True)
        assert path.rto == pytest.approx(first.rto)
        assert first.primary == path.host
        # The other end of the same association.
        [there] = [one for one in diagnostics.associations() if one.tag == first.peer_tag]
        assert there.peer_tag == first.tag
        assert there.chunks_received == 1
        assert there.receive_queue > 0
        assert len({one.key for one in diagnostics.associations()}) >= 4
        assert None not in {one.id for one in clients_of(port)}


def test_the_endpoints_of_another_program() -> None:
    with peers(1) as (port, process):
        [server] = [one for one in diagnostics.endpoints() if one.listening and one.local.port == port]
        assert str(server.local) == f"127.0.0.1:{port}"
        assert (server.one_to_many, server.unaccepted, server.backlog) == (False, 0, 7)
        assert [owner.pid for owner in server.owners] == [process.pid]


def test_as_ss_has_it() -> None:
    with peers(3) as (port, _):
        seen = run("ss", "-a", "--sctp", "-n", f"dport = :{port}").splitlines()[1:]
        assert sum("ESTAB" in line for line in seen) >= len(clients_of(port)) == 3


def test_without_owners_nobody_is_looked_for() -> None:
    with peers(1):
        assert {one.owners for one in diagnostics.associations(owners=False)} == {()}
        assert {one.owners for one in diagnostics.endpoints(owners=False)} == {()}


async def test_the_state_of_each_path_while_one_is_down(lab: Lab) -> None:
    options: tuple[Option, ...] = (
        FAST,
        PeerAddressParameters(path_max_retransmissions=1, heartbeat_interval=TICK),
    )
    async with joined(
        lab, links=2, listen_with={"options": options}, connect_with={"options": options}
    ) as pair:
        here = pair.client
        port = here.peer_addresses.port

        def states() -> list[PathState]:
            [own] = clients_of(port)
            assert (own.id, own.peer, own.primary) == (
                here.association_id,
                here.peer_addresses,
                here.primary_path.hosts[0],
            )
            return [path.state for path in own.paths]

        await until(lambda: states() == [PathState.ACTIVE] * 2)
        lab.cut(lab.links[1])
        await until(lambda: states() == [PathState.ACTIVE, PathState.INACTIVE])
        # The public class has the same of all paths at once.
        assert [path.state for path in here.paths()] == states()


def test_counters() -> None:
    before = diagnostics.counters()
    with peers(1):
        now = diagnostics.counters()
    assert now["SctpActiveEstabs"] == before["SctpActiveEstabs"] + 1
    assert now["SctpCurrEstab"] == before["SctpCurrEstab"] + 2


@pytest.mark.endurance
@pytest.mark.timeout(300)
def test_ten_times_as_many_associations_do_not_take_a_hundred_times_as_long() -> None:
    """Five thousand and five hundred, side by side: a dump would walk all paths again for each socket."""

    def taken(least: int) -> float:
        # The best of some, as what else the machine does is no matter here.
        times = []
        for _ in range(5):
            began = time.monotonic()
            assert len(diagnostics.associations()) >= least
            times.append(time.monotonic() - began)
        return min(times)

    with peers(250):
        few = taken(500)
    with peers(2500):
        assert taken(5000) < 40 * few
