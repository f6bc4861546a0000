"""Associations as spans of OpenTelemetry, messages as counters: an observer of some forty lines.

pip install opentelemetry-sdk; what is exported where is a matter of the SDK, here it is printed.
"""

import asyncio

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import sctpio
from sctpio.observer import Observed, Sent, State, observe


class Telemetry:
    """An observer: a span from COMM_UP to the end of each association, its events in it, messages counted."""

    def __init__(self) -> None:
        self.tracer = trace.get_tracer("sctpio")
        meter = metrics.get_meter("sctpio")
        self.messages = meter.create_counter("sctp.messages", "{message}", "Messages sent and received.")
        self.bytes = meter.create_counter("sctp.io", "By", "Bytes of those messages.")
        self.spans: dict[int, trace.Span] = {}

    def state(self, association: Observed, state: State, end: Exception | None) -> None:
        if state is State.UP:
            span = self.tracer.start_span("sctp association", attributes=attributes(association))
            self.spans[association.number] = span
        elif state in (State.OVER, State.CUT_OFF) and (over := self.spans.pop(association.number, None)):
            if isinstance(end, sctpio.AssociationAbortedError | sctpio.AssociationLostError):
                over.set_attribute("error.type", type(end).__name__)
                over.set_status(trace.StatusCode.ERROR, str(end))
            over.end()

    def event(self, association: Observed, event: sctpio.Event) -> None:
        if span := self.spans.get(association.number):
            span.add_event(type(event).__name__, {"sctp.event": str(event)})

    def message_sent(self, association: Observed, message: Sent) -> None:
        self.count("transmit", len(message.data), message.ppid)

    def message_received(self, association: Observed, message: sctpio.Message) -> None:
        self.count("receive", len(message.data), message.ppid)

    def count(self, direction: str, size: int, ppid: int) -> None:
        # No peer and no stream here: each value of an attribute makes another series.
        labels: dict[str, str | int] = {
            "network.transport": "sctp",
            "network.io.direction": direction,
            "sctp.ppid": int(ppid),
        }
        self.messages.add(1, labels)
        self.bytes.add(size, labels)

    def option(self, association: Observed, option: sctpio.Option, *, was_set: bool) -> None:
        """Take no note of options."""


def attributes(association: Observed) -> dict[str, str | int]:
    """Return the attributes of an association, named as OpenTelemetry names those of networks."""
    return {
        "network.transport": "sctp",
        "network.peer.address": str(association.peer.hosts[0]),
        "network.peer.port": association.peer.port,
        "sctp.association.id": association.id,
        "sctp.stack": association.stack,
    }


async def main() -> None:
    spans, reader, provider = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
    with observe(Telemetry()):
        async with sctpio.listen("127.0.0.1:0") as listener:
            async with sctpio.connect(("127.0.0.1", listener.port)) as conn:
                server = await listener.accept()
                await conn.send(b"hello", ppid=sctpio.Ppid.DIAMETER)
                await server.receive()
            await server.wait_closed()
    for span in spans.get_finished_spans():
        shown = span.attributes or {}
        print(
            span.name, shown["network.transport"], shown["network.peer.address"], span.status.status_code.name
        )
    data = reader.get_metrics_data()
    for metric in data.resource_metrics[0].scope_metrics[0].metrics if data else ():
        for point in metric.data.data_points:
            labels = point.attributes or {}
            print(
                metric.name,
                labels["network.io.direction"],
                labels["sctp.ppid"],
                getattr(point, "value", None),
            )


asyncio.run(main())
