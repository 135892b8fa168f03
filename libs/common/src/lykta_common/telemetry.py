"""OpenTelemetry per service: a provider of its own, never the global one; W3C trace context through NATS and gRPC."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


class Telemetry:
    """One service's spans; without an endpoint spans are made (so that context flows) and not exported."""

    def __init__(self, service: str, replica: str, otlp_endpoint: str = "") -> None:
        resource = Resource.create({"service.name": f"lykta-{service}", "service.instance.id": replica})
        self.provider = TracerProvider(resource=resource)
        if otlp_endpoint:
            exporter = OTLPSpanExporter(endpoint=otlp_endpoint, insecure=True, timeout=5)
            self.provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
        self._tracer = self.provider.get_tracer("lykta")

    @contextmanager
    def span(self, name: str, traceparent: str = "", **attributes: str | int | float | bool) -> Iterator[trace.Span]:
        """Run a block in a span; `traceparent` (W3C) makes it a child of a remote one, else of the current one."""
        parent = _PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else None
        with self._tracer.start_as_current_span(name, context=parent, attributes=attributes) as span:
            yield span

    def close(self) -> None:
        """Export what is left and stop; bounded by the exporter's timeout."""
        self.provider.shutdown()


def traceparent() -> str:
    """Return the W3C trace context of the current span; empty when there is none."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, otel_context.get_current())
    return carrier.get("traceparent", "")
