"""An OTLP/gRPC receiver that keeps spans in memory: what an operator's collector would get."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

KEPT = 200_000


@dataclass(frozen=True)
class SeenSpan:
    """One span as it arrived; ids in hex."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str] = field(default_factory=dict)
    links: tuple[str, ...] = ()
    """Trace ids it is linked to."""


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the newest spans."""

    def __init__(self) -> None:
        self._spans: deque[SeenSpan] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self.endpoint = ""

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name in the protobuf
        """Take a batch."""
        with self._lock:
            for resource in request.resource_spans:
                service = _attributes(resource.resource.attributes).get("service.name", "")
                for scope in resource.scope_spans:
                    self._spans.extend(_seen(service, span) for span in scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[SeenSpan]:
        """Return what is kept, oldest first."""
        with self._lock:
            return list(self._spans)

    def traces(self) -> dict[str, list[SeenSpan]]:
        """Return the spans by trace."""
        found: dict[str, list[SeenSpan]] = {}
        for span in self.spans():
            found.setdefault(span.trace_id, []).append(span)
        return found


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive on a loopback port for the block; `endpoint` is host:port."""
    receiver = Receiver()
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    receiver.endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(1).wait()


def _seen(service: str, span: Any) -> SeenSpan:
    attributes = _attributes(span.attributes)
    for event in span.events:
        attributes |= {f"{event.name}.{key}": value for key, value in _attributes(event.attributes).items()}
    links = tuple(link.trace_id.hex() for link in span.links)
    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
    return SeenSpan(service, span.name, *ids, attributes, links)


def _attributes(pairs: Any) -> dict[str, str]:
    return {pair.key: _text(pair.value) for pair in pairs}


def _text(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return ",".join(_text(one) for one in value.array_value.values)
    return "" if kind is None else str(getattr(value, kind))
