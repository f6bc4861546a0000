"""The metrics of this process: what a scrape has, and what is left of associations that have ended."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from sctpio._loop import observing
from sctpio._loop.association import Association
from sctpio._loop.sending import Sender
from sctpio.metrics import ProcessCollector
from support import STACK, connected, until, within

pytestmark = pytest.mark.both_modes


class Scraper:
    """Reads single values of a scrape."""

    def __init__(self, *, per_association: bool = False) -> None:
        self.collector = ProcessCollector(per_association=per_association)
        self.registry = CollectorRegistry()
        self.registry.register(self.collector)

    def read(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def scraper() -> Iterator[Scraper]:
    made = Scraper()
    yield made
    made.collector.close()


async def test_associations_are_summed_up_by_listener(scraper: Scraper) -> None:
    async with connected() as (client, server, listener):
        port = str(listener.port)
        await client.send(b"four")
        await client.send(b"more")
        await until(lambda: server.statistics().unread_messages == 2)
        assert scraper.read("sctpio_associations", listener=port, stack=STACK) == 1
        assert scraper.read("sctpio_associations", listener="outgoing", stack=STACK) == 1
        assert scraper.read("sctpio_associations_opened_total", listener=port) == 1
        assert scraper.read("sctpio_messages_sent_total", listener="outgoing") == 2
        assert scraper.read("sctpio_bytes_received_total", listener=port) == 8
        assert scraper.read("sctpio_unread_bytes", listener=port) == 8
        assert scraper.read("sctpio_waiting_senders", listener="outgoing") == 0
        # It is told of no messages: sending and receiving are as without it.
        assert type(client._sender) is Sender
        assert type(client._sender.association) is observing.FollowedAssociation
        await within(server.receive())
        await client.close()
        await until(lambda: server.is_closed)
        assert scraper.read("sctpio_associations", listener=port, stack=STACK) is None
        assert scraper.read("sctpio_messages_received_total", listener=port) == 2
        assert scraper.read("sctpio_messages_sent_total", listener="outgoing") == 2
        assert scraper.read("sctpio_associations_ended_total", listener="outgoing", end="ClosedError") == 1
        assert scraper.read("sctpio_associations_ended_total", listener=port, end="EndOfAssociation") == 1


async def test_sums_go_on_with_the_next_association(scraper: Scraper) -> None:
    for count in (1, 2):
        async with connected() as (client, server, _):
            await client.send(b"x")
            await within(server.receive())
            assert scraper.read("sctpio_messages_sent_total", listener="outgoing") == count


async def test_a_series_for_each_association_by_choice() -> None:
    scraper = Scraper(per_association=True)
    async with connected() as (client, _, listener):
        await client.send(b"x")
        text = generate_latest(scraper.registry).decode()
        assert 'sctpio_messages_sent_total{id="' in text
        assert f'peer="{client.peer_addresses}"' in text
        assert f'listener="{listener.port}"' in text
    scraper.collector.close()


async def test_associations_that_were_there_before_are_counted_from_then_on() -> None:
    async with connected() as (client, server, _):
        await client.send(b"before")
        scraper = Scraper()
        await within(server.receive())
        assert scraper.read("sctpio_messages_sent_total", listener="outgoing") == 1
        assert scraper.read("sctpio_associations_opened_total", listener="outgoing") is None
        scraper.collector.close()
        assert type(client._sender.association) is Association
