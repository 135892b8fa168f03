"""The metrics that the services export, by name with their labels, as their telemetry modules declare them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from lykta_access_control.telemetry import AccessMetrics
from lykta_analytics.telemetry import AnalyticsMetrics
from lykta_audit.telemetry import AuditMetrics
from lykta_common.clock import Clock, SystemClock
from lykta_common.metrics import Metrics
from lykta_ingest.telemetry import IngestMetrics
from lykta_storage.telemetry import StorageMetrics

DECLARATIONS: Final[dict[str, Callable[[Metrics, Clock], Any]]] = {
    "access-control": AccessMetrics,
    "analytics": AnalyticsMetrics,
    "audit": AuditMetrics,
    "ingest": IngestMetrics,
    "storage": StorageMetrics,
}
"""What declares the metrics of each service."""

_SUFFIXES: Final = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def exported(service: str) -> set[str]:
    """Return the names of a service's metrics as a scraper sees them."""
    metrics = Metrics(service)
    DECLARATIONS[service](metrics, SystemClock())
    return {family.name + suffix for family in metrics.registry.collect() for suffix in _SUFFIXES[family.type]}


def known() -> set[str]:
    """Return the names of all services' metrics."""
    return set().union(*(exported(service) for service in DECLARATIONS))
