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
    families = _declared(service).registry.collect()
    return {family.name + suffix for family in families for suffix in _SUFFIXES[family.type]}


def labels(service: str) -> dict[str, set[str]]:
    """Return the labels of each of a service's metrics."""
    collectors: dict[Any, Any] = _declared(service).registry._collector_to_names
    return {collector._name: set(collector._labelnames) for collector in collectors}


def known() -> set[str]:
    """Return the names of all services' metrics."""
    return set().union(*(exported(service) for service in DECLARATIONS))


def _declared(service: str) -> Metrics:
    metrics = Metrics(service)
    DECLARATIONS[service](metrics, SystemClock())
    return metrics
