"""Metrics per service: a registry of its own, served over HTTP to a scraper (Prometheus text format)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography import x509
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from lykta_common.errors import invalid
from lykta_common.logging import get_logger

log = get_logger(__name__)

LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of a latency histogram, seconds; they hold the targets of the performance page."""


class Metrics:
    """One service's metrics. Names are `lykta_<service>_<noun>_<unit>`; labels never carry a person."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self._prefix = f"lykta_{service.replace('-', '_')}"

    def counter(self, name: str, description: str, labels: Sequence[str] = ()) -> Counter:
        """Make a counter; it only grows. The exposition adds `_total`."""
        return Counter(f"{self._prefix}_{name}", description, labels, registry=self.registry)

    def gauge(self, name: str, description: str, labels: Sequence[str] = ()) -> Gauge:
        """Make a gauge."""
        return Gauge(f"{self._prefix}_{name}", description, labels, registry=self.registry)

    def latency(self, name: str, description: str, labels: Sequence[str] = ()) -> Histogram:
        """Make a histogram of seconds."""
        return Histogram(f"{self._prefix}_{name}", description, labels, registry=self.registry, buckets=LATENCIES)


@asynccontextmanager
async def serve_metrics(listen: str, metrics: Metrics, certificate: Path) -> AsyncIterator[int]:
    """Serve `/metrics` on host:port for the block and yield the port; an empty address serves nothing.

    The expiry of the workload's certificate is among them. Raises PlatformError when the address cannot be used.
    """
    expiry = metrics.gauge("certificate_expiry_timestamp_seconds", "When the certificate of this workload expires")
    expiry.set(_expiry(certificate))
    if not listen:
        yield 0
        return
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host, registry=metrics.registry)
    except (OSError, ValueError) as error:
        raise invalid(f"cannot serve metrics on {listen}: {error}") from error
    log.info("metrics_serving", port=server.server_port)
    try:
        yield server.server_port
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join, 2)


def _expiry(certificate: Path) -> float:
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError) as error:
        raise invalid(f"cannot read the certificate {certificate}: {error}") from error
