"""Every key of the values does something: changed alone, it changes what the chart makes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chart.conftest import CHART, PROFILES, rendered
from tools import chart_values

MORE: dict[str, dict[str, Any]] = {
    "hpa": {"ingest": {"autoscaling": {"enabled": True}}, "storage": {"autoscaling": {"enabled": True}}},
    "keda": {
        "autoscaling": {"prometheusAddress": "http://prometheus:9090"},
        "ingest": {"autoscaling": {"enabled": True, "kind": "keda"}},
        "storage": {"autoscaling": {"enabled": True, "kind": "keda"}},
    },
    "no class": {"priorityClass": {"create": False}},
    "telemetry": {"telemetry": {"egress": {"cidrs": ["192.0.2.50/32"]}}},
    "external": {
        "identity": {"issuer": "https://login.municipality.example"},
        "nats": {"external": {"url": "tls://nats.backbone.example:4222", "existingSecret": "users"}},
    },
}
"""Values under which keys work that are without effect in the values files."""
PLACES = [*((profile, "") for profile in PROFILES), *(("evaluation", case) for case in MORE)]
LEAVES = {key.name: key for key in chart_values.leaves(chart_values.read((CHART / "values.yaml").read_text()))}
OTHERWISE: dict[str, Any] = {
    "image.pullSecrets": [{"name": "registry"}],
    "keys.controllers": ["vasteras"],
    "nats.subscribers": [{"user": "dispatch", "controller": "ks"}],
    "tolerations": [{"key": "video", "operator": "Exists"}],
    "nats.replicas": 3,
    "nats.streamReplicas": 1,
    "identity.issuer": "https://login.example",
    "nats.external.url": "tls://nats.example:4222",
    "objectStore.external.endpoint": "https://s3.example",
    "autoscaling.prometheusAddress": "https://prometheus.example",
    "autoscaling.natsMonitoringAddress": "nats.example:8222",
    "telemetry.otlpEndpoint": "collector.example:4317",
    "metrics.serviceMonitor.interval": "1m",
    "analytics.modelDirectory": "/models",
    "demo.footage": "/street.mp4",
    "ingest.settings": {"SEGMENT_SECONDS": 12},
    "analytics.settings": {"STALE_SECONDS": 12},
    "storage.settings": {"RETENTION_SECONDS": 12},
    "accessControl.settings": {"LOG_LEVEL": "debug"},
    "audit.settings": {"LEASE_MS": 12345},
}
"""Another good value, where it cannot be told from the default."""


def others(key: chart_values.Key) -> list[Any]:
    """Good values of a key: one that is not its default, or all where each values file may have another."""
    if key.name in OTHERWISE:
        return [OTHERWISE[key.name]]
    reference = str(key.extra.get("$ref", "")).rpartition("/")[2]
    match key.default:
        case bool():
            return [not key.default, key.default]
        case int():
            return [key.default + (1 if key.default < key.extra.get("maximum", 10**12) else -1)]
        case str() if "enum" in key.extra:
            return list(key.extra["enum"])
        case str() if key.path[-1] in ("size", "scratchSize", "sharedMemory"):
            return ["123Gi"]
        case str():
            return ["another"]
        case list() if reference == "ports":
            return [[1234]]
        case list():
            return [["203.0.113.0/24"]]
        case _:
            return [{"requests": {"cpu": "77m"}} if reference == "resources" else {"another": "value"}]


def changed(key: chart_values.Key, value: Any, place: dict[str, Any]) -> dict[str, Any]:
    """The values of a place with one key changed."""
    values: dict[str, Any] = json.loads(json.dumps(place))
    level = values
    for name in key.path[:-1]:
        level = level.setdefault(name, {})
    level[key.path[-1]] = value
    return values


def effect(key: chart_values.Key) -> bool:
    """Say whether some values file, or some more values, render otherwise with the key changed."""
    for profile, case in PLACES:
        place = MORE.get(case, {})
        before = rendered(profile, json.dumps(place))[1]
        for value in others(key):
            code, output, _ = rendered(profile, json.dumps(changed(key, value, place)))
            if code == 0 and output != before:
                return True
    return False


@pytest.mark.parametrize("name", LEAVES)
def test_a_changed_value_changes_what_is_made(name: str) -> None:
    """No key is without effect: what can be set is read, and by the right template."""
    assert effect(LEAVES[name])


def test_a_key_without_effect_is_found() -> None:
    """A key that the schema takes and no template reads does not pass."""
    unread = chart_values.Key(("global", "another"), "", "Helm's own.", {})
    assert not effect(unread)
