"""Traces: from the recorder's event into the catalogue, and from a request to its bytes and its audit entries."""

from collections.abc import AsyncIterator

import pytest
from lykta_common.telemetry import Telemetry
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from .conftest import START, World

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
async def traced(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InMemorySpanExporter]:
    """Storage, running, with its spans in memory."""
    spans = InMemorySpanExporter()
    original = Telemetry.__init__

    def remember(self: Telemetry, service: str, replica: str, otlp_endpoint: str = "") -> None:
        original(self, service, replica, otlp_endpoint)
        self.provider.add_span_processor(SimpleSpanProcessor(spans))

    monkeypatch.setattr(Telemetry, "__init__", remember)
    async with world.service():
        yield spans


async def test_the_recorders_trace_goes_on(traced: InMemorySpanExporter, world: World) -> None:
    """The trace of a segment's event continues through the commit into the event that confirms it."""
    await world.order()
    made = await world.recorder().segment(START)
    await made.publish(traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    (stored,) = await world.facts("segment.stored")
    assert stored.traceparent.split("-")[1] == TRACE
    names = {span.name for span in traced.get_finished_spans() if format(span.context.trace_id, "032x") == TRACE}
    assert "consume storage-footage" in names


async def test_a_read_is_one_trace(traced: InMemorySpanExporter, world: World) -> None:
    """The opening entry, the closing entry and the calls to access-control and audit are one trace with the read."""
    await world.recorded()
    await world.open().all()
    traces = {world.log.of(f"footage.playback.{name}")[0].correlation_id for name in ("opened", "closed")}
    (trace,) = traces
    names = {span.name for span in traced.get_finished_spans() if format(span.context.trace_id, "032x") == trace}
    assert {name.split("/")[-1] for name in names} >= {"Read", "Authorize", "Append"}
