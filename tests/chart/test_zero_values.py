"""Zero-value cases: with everything empty, off or at nothing, every policy of the chart still holds."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from lykta_standalone.environment import PLATFORM_OPERATOR

from tests.chart import test_code, test_policies
from tests.chart.conftest import PROFILES, Objects, objects_of, of_kind, pod_specs
from tools import chart_values

SERVICES = ("ingest", "analytics", "storage", "accessControl", "audit")
NOTHING: dict[str, dict[str, Any]] = {
    "no replicas": {name: {"replicas": 0} for name in SERVICES},
    "no cameras": {"ingest": {"cameras": {"allow": [], "credentialsSecret": ""}}},
    "no controllers": {"keys": {"controllers": [], "existingKekSecret": ""}},
    "no metrics": {
        "metrics": {
            "scraped": False,
            "serviceMonitor": {"enabled": False},
            "prometheusRule": {"enabled": False},
            "dashboards": {"enabled": False},
        }
    },
    "no autoscaling": {name: {"autoscaling": {"enabled": False}} for name in ("ingest", "storage")},
    "no operators": {"identity": {"platformOperators": []}},
    "no placement": {"nodeSelector": {}, "tolerations": [], "podAnnotations": {}, "image": {"pullSecrets": []}},
    "no names": {"fullnameOverride": "", "image": {"tag": ""}, "audit": {"origin": ""}},
    "no storage class": {name: {"storage": {"class": ""}} for name in ("ingest", "nats")},
    "least numbers": {
        "ingest": {"spoolLimitMib": 64},
        "objectStore": {"auditLockDays": 1},
        "certificates": {"leafDays": 1, "authorityDays": 30},
        "termination": {"preStopSeconds": 1, "graceSeconds": 15},
        "probes": {"startupSeconds": 10},
        "podSecurity": {"user": 1},
    },
}  # fmt: skip


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Values laid over each other, as helm does it."""
    found: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            old = found.get(key)
            found[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return found


NOTHING["nothing at all"] = merged(*NOTHING.values())


def policies() -> dict[str, Callable[[Objects], None]]:
    """Every test of the policies and of the code's names that looks at all objects of a rendering."""
    return {
        name: test
        for module in (test_policies, test_code)
        for name, test in vars(module).items()
        if name.startswith("test_") and list(inspect.signature(test).parameters) == ["objects"]
    }


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("case", NOTHING)
def test_policies_hold_with_nothing(profile: str, case: str) -> None:
    """Each policy that is asserted for a values file is asserted for it with nothing in the place of something."""
    objects = objects_of(profile, NOTHING[case])
    asserted = policies()
    assert len(asserted) >= 20
    for test in asserted.values():
        test(objects)


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_is_not_taken_for_a_default(profile: str) -> None:
    """A zero that was given is rendered as a zero: no replicas, no camera network, no controller's key."""
    objects = objects_of(profile, NOTHING["nothing at all"])
    runners = of_kind(objects, "Deployment", "StatefulSet")
    for name in ("ingest", "analytics", "storage", "access-control", "audit"):
        assert runners[f"demo-{name}"]["spec"]["replicas"] == 0
    environment = {
        entry["name"]: entry.get("value")
        for name in ("ingest", "access-control")
        for entry in runners[f"demo-{name}"]["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert environment["LYKTA_INGEST__SPOOL_LIMIT_MIB"] == "64"
    demo = PLATFORM_OPERATOR if profile == "evaluation" else ""
    assert environment["LYKTA_ACCESS_CONTROL__PLATFORM_OPERATORS"] == demo
    if profile != "evaluation":
        assert environment["LYKTA_INGEST__CAMERA_ALLOW"] == ""
        assert not blocks(objects, "ingest") - ({"192.0.2.40/32", "192.0.2.41/32", "192.0.2.20/32"})
    platform = json.loads(of_kind(objects, "ConfigMap")["demo-platform"]["data"]["platform.json"])
    assert platform["grpc"] == {}


def test_an_autoscaled_service_is_attached() -> None:
    """Clients are told the address of a service whose pods an autoscaler counts, whatever `replicas` says."""
    values = {"ingest": {"replicas": 0, "autoscaling": {"enabled": True}}}
    written = of_kind(objects_of("evaluation", values), "ConfigMap")["demo-platform"]["data"]["platform.json"]
    assert json.loads(written)["grpc"]["ingest"] == "demo-ingest:7443"


def test_nothing_runs_before_it_is_asked_for() -> None:
    """With the demo off and everything external, the pods are our services, the jobs and nothing else."""
    pods = {metadata["labels"]["app.kubernetes.io/component"] for _, metadata, _ in pod_specs(objects_of("external"))}
    services = {"ingest", "analytics", "storage", "access-control", "audit"}
    assert pods == services | {"prepare", "setup", "cleanup"}


@pytest.mark.parametrize("profile", PROFILES)
def test_metrics_that_nobody_reads_are_reached_by_nobody(profile: str) -> None:
    """Without Prometheus no policy lets its namespace in, except to NATS where KEDA asks for the lag."""
    objects = objects_of(profile, NOTHING["no metrics"])
    keda = bool(of_kind(objects, "ScaledObject"))
    for name, policy in of_kind(objects, "NetworkPolicy").items():
        callers = [peer for rule in policy["spec"].get("ingress", []) for peer in rule["from"]]
        outside = [peer for peer in callers if "namespaceSelector" in peer]
        assert not outside or (name == "demo-nats" and keda), name


def test_policies_can_only_be_turned_off_by_name() -> None:
    """Every switch of a policy is on in the defaults; off are only parts that need something of the cluster."""
    defaults = {key.name: key.default for key in chart_values.leaves(value_keys())}
    switches = {name for name, default in defaults.items() if isinstance(default, bool)}
    on = {"networkPolicy.enabled", "podDisruptionBudgets.enabled", "priorityClass.create", "keys.keepOnUninstall"}
    assert {name for name in switches if defaults[name]} == on | {"metrics.scraped"}


def value_keys() -> tuple[chart_values.Key, ...]:
    """Every key of the values."""
    return chart_values.read((test_code.CHART / "values.yaml").read_text())


def blocks(objects: Objects, component: str) -> set[str]:
    """The networks that a component may reach."""
    policy = of_kind(objects, "NetworkPolicy")[f"demo-{component}"]
    return {peer["ipBlock"]["cidr"] for rule in policy["spec"]["egress"] for peer in rule["to"] if "ipBlock" in peer}
