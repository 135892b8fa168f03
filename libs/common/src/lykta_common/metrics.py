"""Metrics per service: a registry of its own, served over HTTP to a scraper (Prometheus text format)."""

import asyncio
from collections import Counter as Occurrences
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from cryptography import x509
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from lykta_common.errors import invalid
from lykta_common.health import Health
from lykta_common.logging import get_logger

log = get_logger(__name__)

LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of a latency histogram, seconds; they hold the targets of the performance page."""


class Metrics:
    """One service's metrics. Names are `lykta_<service>_<noun>_<unit>`; labels never carry a person.

    Those that every service has are made here: readiness, NATS, dead letters and its certificate.
    """

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self._prefix = f"lykta_{service.replace('-', '_')}"
        self.ready = self.gauge("ready", "1 when the service does its job, 0 when a check fails")
        self.check_failing = self.gauge("check_failing", "1 for a health check that fails", ["check"])
        self.nats_connected = self.gauge("nats_connected", "1 while NATS answers")
        self.dead_letters = self.counter("dead_letters", "Messages put aside as dead letters", ["durable", "reason"])
        self.certificate_expiry = self.gauge(
            "certificate_expiry_timestamp_seconds", "When the certificate of this workload expires"
        )

    def watch(self, health: Health) -> None:
        """Show the last answers of the service's checks at every scrape."""
        self.ready.set_function(lambda: float(health.last == {}))
        for name in health.checks:
            self.check_failing.labels(name).set_function(partial(_failing, health, name))

    def outbox_pending(self) -> Gauge:
        """Make the gauge of a service with an outbox; give it to `Outbox`."""
        return self.gauge("outbox_pending", "Facts that wait in the database to be published")

    def counter(self, name: str, description: str, labels: Sequence[str] = ()) -> Counter:
        """Make a counter; it only grows. The exposition adds `_total`."""
        return Counter(f"{self._prefix}_{name}", description, labels, registry=self.registry)

    def gauge(self, name: str, description: str, labels: Sequence[str] = ()) -> Gauge:
        """Make a gauge."""
        return Gauge(f"{self._prefix}_{name}", description, labels, registry=self.registry)

    def latency(self, name: str, description: str, labels: Sequence[str] = ()) -> Histogram:
        """Make a histogram of seconds."""
        return Histogram(f"{self._prefix}_{name}", description, labels, registry=self.registry, buckets=LATENCIES)


class Family:
    """A gauge with labels that is shown as a whole: a series that is not shown again disappears."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: set[tuple[str, ...]] = set()

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Show these values, by the labels' values."""
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        for gone in self._shown - values.keys():
            self._gauge.remove(*gone)
        self._shown = set(values)

    def count(self, items: Iterable[str], known: Iterable[str] = ()) -> None:
        """Show how often each item occurs; a known one that does not occur is 0."""
        counts: dict[tuple[str, ...], float] = {(name,): 0.0 for name in known}
        self.show(counts | {(name,): float(number) for name, number in Occurrences(items).items()})


class Total:
    """A counter that follows a total which is kept elsewhere and only grows."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._seen = 0.0

    def show(self, total: float) -> None:
        """Show the total; a smaller one than before changes nothing."""
        if total > self._seen:
            self._counter.inc(total - self._seen)
            self._seen = total


def _failing(health: Health, name: str) -> float:
    return float(name in (health.last or {}))


@asynccontextmanager
async def serve_metrics(listen: str, metrics: Metrics, certificate: Path) -> AsyncIterator[int]:
    """Serve `/metrics` on host:port for the block and yield the port; an empty address serves nothing.

    The expiry of the workload's certificate is among them. Raises PlatformError when the address cannot be used.
    """
    metrics.certificate_expiry.set(_expiry(certificate))
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
