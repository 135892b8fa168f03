"""Bad input: what is wrong by itself, taken away, or wrong together is refused by helm with the key's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from lykta_common.runtime import STOP_SECONDS

from tests.chart.conftest import CHART, Objects, rendered
from tools import chart_values

Render = Callable[..., Objects]
Refused = Callable[[str, dict[str, Any]], str]
EXTERNAL = ("nats", "objectStore", "database")


def keys() -> tuple[chart_values.Key, ...]:
    """Every key of the values."""
    return chart_values.read((CHART / "values.yaml").read_text())


def groups(found: tuple[chart_values.Key, ...]) -> Iterator[chart_values.Key]:
    """Every key that has keys below it."""
    for key in found:
        if key.children:
            yield key
            yield from groups(key.children)


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A value at its place."""
    for name in reversed(path):
        value = {name: value}
    return dict(value)


def names(key: str, complaint: str) -> bool:
    """Say whether a complaint names a key, as a path with dots or with slashes."""
    return key in complaint.replace("'", "").replace("/", ".")


@pytest.mark.parametrize("group", ["", *(key.name for key in groups(keys()))])
def test_an_unknown_key_is_refused_at_every_level(refused: Refused, group: str) -> None:
    """A key that nobody reads, a misspelt one for instance, is refused with its name, wherever it stands."""
    complaint = refused("evaluation", nested((*group.split("."),) if group else (), {"surplus": 1}))
    assert names(f".{group}" if group else "at ", complaint)
    assert "surplus" in complaint


WITHOUT_A_POLICY = (
    "networkPolicy.enabled", "podDisruptionBudgets.enabled", "priorityClass.create", "podSecurity.user", "profile",
    "networkPolicy.apiServer.cidrs", "keys.keepOnUninstall", "ingest.replicas", "ingest.resources", "nats", "identity",
)  # fmt: skip


@pytest.mark.parametrize("key", WITHOUT_A_POLICY)
def test_no_key_can_be_taken_away(refused: Refused, key: str) -> None:
    """`key: null` takes a default away in helm; with it would go what is on by default, so it is refused."""
    *above, last = key.split(".")
    complaint = refused("evaluation", nested((*above, last), None))
    assert f"missing property '{last}'" in complaint
    assert not above or names(".".join(above), complaint)


def test_every_key_is_required() -> None:
    """The schema requires every key that has a default, at every level."""
    level = json.loads((CHART / "values.schema.json").read_text())
    for key in groups(keys()):
        here = level
        for name in key.path:
            here = here["properties"][name]
        assert set(here["required"]) == {child.path[-1] for child in key.children}, key.name
    assert set(level["required"]) == {key.name for key in keys()}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ingest.storage.size", "20GB"),
        ("ingest.storage.size", 20),
        ("nats.storage.size", "10 Gi"),
        ("objectStore.minio.storage.size", ""),
        ("database.postgresql.storage.size", "10G"),
        ("scratchSize", "256M"),
        ("analytics.sharedMemory", "256MiB"),
        ("ingest.spoolLimitMib", "18Gi"),
        ("nats.fileStoreBytes", "9Gi"),
        ("nats.maxPayloadBytes", 8),
        ("objectStore.auditLockDays", "5y"),
        ("objectStore.auditLockDays", 0),
        ("certificates.leafDays", "90d"),
        ("termination.preStopSeconds", "3s"),
        ("probes.startupSeconds", 0),
        ("metrics.serviceMonitor.interval", "15 seconds"),
        ("metrics.serviceMonitor.interval", 15),
        ("ingest.resources", {"requests": {"cpu": "half", "memory": "1Gi"}}),
        ("ingest.resources", {"requests": {"cpu": "1", "memory": "1GB"}}),
        ("ingest.resources", {"requests": {"memory": None}}),
        ("storage.autoscaling.cpuPercent", "60%"),
        ("storage.autoscaling.lag", "500"),
        ("demo.enabled", "yes"),
        ("identity.platformOperators", "platform-team"),
        ("identity.egress.ports", ["https"]),
        ("identity.egress.ports", [70000]),
        ("telemetry.otlpEndpoint", "http://collector:4317"),
        ("telemetry.otlpEndpoint", "collector"),
        ("identity.issuer", "http://login.municipality.example"),
        ("identity.issuer", "login.municipality.example"),
        ("nats.external.url", "nats://nats.backbone.example:4222"),
        ("nats.external.url", "tls://nats.backbone.example"),
        ("autoscaling.prometheusAddress", "prometheus:9090"),
        ("autoscaling.natsMonitoringAddress", "http://nats:8222"),
        ("image.registry", ""),
        ("image.registry", "registry.example.org/lykta/"),
        ("fullnameOverride", "Town Lykta"),
        ("fullnameOverride", "x" * 41),
        ("audit.origin", "log of the town"),
        ("objectStore.buckets.audit", "Audit"),
        ("keys.controllers", ["ks", "ks"]),
        ("nats.subscribers", [{"user": "dispatch"}]),
        ("nats.subscribers", [{"user": "dispatch >", "controller": "ks"}]),
        ("storage.settings", {"retention_seconds": 30}),
        ("storage.settings", {"RETENTION_SECONDS": [30]}),
    ],
)
def test_a_wrong_unit_or_form_is_refused(refused: Refused, key: str, value: Any) -> None:
    """A value in a unit or a form that is not the key's is refused with the key."""
    assert names(key, refused("external", nested((*key.split("."),), value)))


def networks() -> list[str]:
    """Every key with networks, ports or labels of a network policy."""
    ends = (
        "cidrs",
        "ports",
        "cameraNetworks",
        "clientLabels",
        "prometheusNamespaceLabels",
        "namespaceLabels",
        "podLabels",
    )
    return [key.name for key in chart_values.leaves(keys()) if key.path[-1] in ends]


@pytest.mark.parametrize("key", sorted(set(networks()) - {"telemetry.egress.cidrs"}))
def test_nothing_named_never_means_everything(refused: Refused, key: str) -> None:
    """An empty list of peers or ports, or an empty selector, would open a policy to all: it is refused with the key."""
    default = next(leaf.default for leaf in chart_values.leaves(keys()) if leaf.name == key)
    nothing: Any = dict.fromkeys(default) if isinstance(default, dict) else []  # helm merges {}, and takes null away
    assert names(key, refused("external", nested((*key.split("."),), nothing)))


@pytest.mark.parametrize("key", [key for key in networks() if key.endswith(("cidrs", "cameraNetworks"))])
@pytest.mark.parametrize("network", ["192.0.2.1", "nats.backbone.example", "192.0.2.0/24 ", 1])
def test_a_network_is_a_network(refused: Refused, key: str, network: Any) -> None:
    """An address without its length, or a name, is refused with the key: Kubernetes would say so half-way through."""
    assert names(key, refused("external", nested((*key.split("."),), [network])))


SECRETS = [
    key.name for key in chart_values.leaves(keys())
    if key.path[-1] in ("existingSecret", "caSecret", "existingKekSecret", "credentialsSecret")
]  # fmt: skip


@pytest.mark.parametrize("key", SECRETS)
def test_the_name_of_a_secret_is_one(refused: Refused, key: str) -> None:
    """What cannot be a Secret's name is refused with the key."""
    assert len(SECRETS) == 8
    assert names(key, refused("external", nested((*key.split("."),), "Users of NATS")))


@pytest.mark.parametrize("part", EXTERNAL)
@pytest.mark.parametrize("profile", ["evaluation", "external"])
def test_external_needs_its_address_and_its_secret(refused: Refused, profile: str, part: str) -> None:
    """`external` is refused without an address, and with one without a Secret, each with the key to give."""
    given = {"nats": {"url": "tls://nats:4222"}, "objectStore": {"endpoint": "https://s3:9000"}, "database": {}}
    whole: dict[str, Any] = {"enabled": True, "existingSecret": "theirs"} | given[part]
    for missing in ("existingSecret", *given[part]):
        assert f"{part}.external.{missing}: " in refused(profile, {part: {"external": whole | {missing: ""}}})


@pytest.mark.parametrize(
    ("profile", "values", "named"),
    [
        ("external", {"storage": {"autoscaling": {"kind": "keda"}}}, "autoscaling.natsMonitoringAddress"),
        ("external", {"ingest": {"autoscaling": {"kind": "keda"}}}, "autoscaling.prometheusAddress"),
        ("external", {"ingest": {"autoscaling": {"minReplicas": 9}}}, "ingest.autoscaling.minReplicas"),
        ("external", {"storage": {"autoscaling": {"maxReplicas": 2, "minReplicas": 3}}}, "storage.autoscaling.minR"),
        ("evaluation", {"ingest": {"spoolLimitMib": 18000}}, "ingest.spoolLimitMib"),
        ("production", {"ingest": {"storage": {"size": "512Mi"}}}, "ingest.spoolLimitMib"),
        ("evaluation", {"nats": {"fileStoreBytes": 9000000000}}, "nats.fileStoreBytes"),
        ("evaluation", {"nats": {"streamReplicas": 3}}, "nats.streamReplicas"),
        ("evaluation", {"objectStore": {"buckets": {"audit": "lykta-footage"}}}, "objectStore.buckets.audit"),
        ("evaluation", {"certificates": {"authorityDays": 30}}, "certificates.leafDays"),
        ("external", {"keys": {"controllers": []}}, "keys.controllers"),
        ("external", {"telemetry": {"otlpEndpoint": "collector:4317"}}, "telemetry.egress.cidrs"),
        ("evaluation", {"nats": {"subscribers": [{"user": "audit", "controller": "ks"}]}}, "nats.subscribers"),
        ("evaluation", {"nats": {"subscribers": [{"user": "ab", "controller": c} for c in "ab"]}}, "nats.subscribers"),
        ("evaluation", {"analytics": {"settings": {"S3_ENDPOINT": "x"}}}, "analytics.settings.S3_ENDPOINT"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_together_are_refused(
    refused: Refused, profile: str, values: dict[str, Any], named: str
) -> None:
    """What would come to light only after the installation is refused before it, with the key to change."""
    assert named in refused(profile, values)


@pytest.mark.parametrize("before", [1, 3, 30])
def test_a_drain_always_has_its_time(refused: Refused, render: Render, before: int) -> None:
    """The shortest end that is taken lets the code's drain finish, with five seconds to spare."""
    least = before + int(STOP_SECONDS) + 5
    short = {"termination": {"preStopSeconds": before, "graceSeconds": max(least - 1, 15)}}
    if least > 15:
        assert "termination.graceSeconds" in refused("evaluation", short)
    assert render("evaluation", {"termination": {"preStopSeconds": before, "graceSeconds": max(least, 15)}})


def test_what_fits_exactly_is_taken(render: Render) -> None:
    """The bounds themselves are good values: nine tenths of a volume, as many copies as servers, the CA's last day."""
    values = {
        "ingest": {"storage": {"size": "10Gi"}, "spoolLimitMib": 9216},
        "nats": {"replicas": 3, "streamReplicas": 3, "storage": {"size": "1000Mi"}, "fileStoreBytes": 900 * 2**20},
        "certificates": {"leafDays": 365, "authorityDays": 365},
        "telemetry": {"otlpEndpoint": "collector:4317", "egress": {"cidrs": ["192.0.2.50/32", "2001:db8::/64"]}},
    }
    assert render("evaluation", values)
    alone = {"networkPolicy": {"enabled": False}, "telemetry": {"otlpEndpoint": "collector:4317"}}
    assert render("evaluation", alone)


def test_a_complaint_comes_alone() -> None:
    """A refused rendering prints no object, so that nothing of it can be applied."""
    for profile, values in (("evaluation", {"surplus": 1}), ("external", {"nats": {"external": {"url": ""}}})):
        code, output, complaint = rendered(profile, json.dumps(values))
        assert code
        assert complaint
        assert not list(yaml.safe_load_all(output))
