"""The values: what is refused and how, what is left out at zero, and that no key is without use or explanation."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHART, PROFILES, Objects, of_kind
from tools import chart_values
from tools.helm import find_helm

Render = Callable[..., Objects]
Refused = Callable[[str, dict[str, Any]], str]


def keys() -> tuple[chart_values.Key, ...]:
    """Every key of the values."""
    return chart_values.read((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("profile", PROFILES)
def test_helm_lint_has_nothing_to_say(profile: str) -> None:
    """`helm lint --strict` finds no error and no warning."""
    command = [find_helm(), "lint", "--strict", str(CHART), "--values", str(CHART / "ci" / f"{profile}-values.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout
    assert "[ERROR]" not in done.stdout


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"surplus": 1}, "surplus"),
        ({"ingest": {"replica": 2}}, "replica"),
        ({"nats": {"external": {"adress": "x"}}}, "adress"),
        ({"ingest": {"resources": {"requests": {"cpu": "1", "memory": "1Gi", "gpu": "1"}}}}, "gpu"),
        ({"ingest": {"replicas": -1}}, "/ingest/replicas"),
        ({"ingest": {"storage": {"size": "20 GB"}}}, "/ingest/storage/size"),
        ({"storage": {"resources": {"requests": {"cpu": "1", "memory": "1 gigabyte"}}}}, "/storage/resources"),
        ({"nats": {"replicas": 2}}, "/nats/replicas"),
        ({"analytics": {"replicas": 2}}, "/analytics/replicas"),
        ({"profile": "test"}, "/profile"),
        ({"podSecurity": {"user": 0}}, "/podSecurity/user"),
        ({"keys": {"controllers": ["Ks Stad"]}}, "/keys/controllers"),
        ({"ingest": {"cameras": {"allow": ["camera.example"]}}}, "/ingest/cameras/allow"),
        ({"termination": {"graceSeconds": 5}}, "/termination/graceSeconds"),
        ({"networkPolicy": {"clientLabels": {"lykta.io/client": None}}}, "/networkPolicy/clientLabels"),
    ],
)
def test_the_schema_refuses(refused: Refused, values: dict[str, Any], named: str) -> None:
    """An unknown key, a wrong unit or a value out of bounds is refused by name before anything is made."""
    assert named in refused("evaluation", values).replace(".", "/")


@pytest.mark.parametrize(
    ("profile", "values", "named"),
    [
        ("external", {"nats": {"external": {"url": ""}}}, "nats.external.url"),
        ("external", {"nats": {"external": {"existingSecret": ""}}}, "nats.external.existingSecret"),
        ("external", {"objectStore": {"external": {"endpoint": ""}}}, "objectStore.external.endpoint"),
        ("external", {"objectStore": {"external": {"endpoint": "http://s3"}}}, "must begin with https://"),
        ("external", {"objectStore": {"external": {"existingSecret": ""}}}, "objectStore.external.existingSecret"),
        ("external", {"database": {"external": {"existingSecret": ""}}}, "database.external.existingSecret"),
        ("external", {"identity": {"issuer": ""}}, "identity.issuer"),
        ("external", {"storage": {"settings": {"RETENTION": 1}}}, "storage.settings.RETENTION"),
        ("evaluation", {"profile": "production"}, "demo.enabled"),
        ("production", {"autoscaling": {"prometheusAddress": ""}}, "autoscaling.prometheusAddress"),
    ],
)
def test_what_is_missing_is_named(refused: Refused, profile: str, values: dict[str, Any], named: str) -> None:
    """`external` without an address or Secret, and other halves, are refused with the key to set."""
    assert named in refused(profile, values)


def test_defaults_alone_say_what_is_needed(refused: Refused) -> None:
    """Without any values the chart installs nothing, and asks for the one thing it cannot know."""
    assert "identity.issuer" in refused("", {})


@pytest.mark.parametrize("service", ["ingest", "analytics", "storage", "accessControl", "audit"])
@pytest.mark.parametrize("replicas", [0, 1])
def test_a_service_can_be_scaled_to_nothing(render: Render, service: str, replicas: int) -> None:
    """Zero replicas stay zero, and do not become a default; clients are told no address of it."""
    values = {service: {"replicas": replicas}}
    objects = render("evaluation", values)
    name = "access-control" if service == "accessControl" else service
    assert of_kind(objects, "Deployment", "StatefulSet")[f"demo-{name}"]["spec"]["replicas"] == replicas
    attached = json.loads(of_kind(objects, "ConfigMap")["demo-platform"]["data"]["platform.json"])["grpc"]
    assert (name in attached) is bool(replicas)


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        ({"networkPolicy": {"enabled": False}}, {"NetworkPolicy"}),
        ({"podDisruptionBudgets": {"enabled": False}}, {"PodDisruptionBudget"}),
        ({"priorityClass": {"create": False}}, {"PriorityClass"}),
        ({"metrics": {"serviceMonitor": {"enabled": False}}}, {"ServiceMonitor"}),
        ({"metrics": {"prometheusRule": {"enabled": False}}}, {"PrometheusRule"}),
        ({"certificates": {"certManager": {"enabled": False}}}, {"Certificate", "Issuer"}),
        (
            {"ingest": {"autoscaling": {"enabled": False}}, "storage": {"autoscaling": {"enabled": False}}},
            {"ScaledObject"},
        ),
    ],
)
def test_disabled_parts_leave_nothing(render: Render, values: dict[str, Any], kinds: set[str]) -> None:
    """A part that is turned off leaves no object of its kind, and the rest renders."""
    assert not of_kind(render("production", values), *kinds)


def test_nothing_bundled_where_everything_is_external(render: Render) -> None:
    """External NATS, object store and database leave no server of the chart behind."""
    names = of_kind(render("external"), "StatefulSet", "Deployment")
    assert not {"demo-nats", "demo-minio", "demo-postgresql"} & names.keys()


def test_no_demo_in_production(render: Render) -> None:
    """Nothing of the demo is rendered without it: no provider, no cameras, no test tool's certificate."""
    objects = render("production")
    assert not [n for item in objects if (n := item["metadata"]["name"]).split("-", 1)[1] in ("identity", "cameras")]
    assert "test-tool" not in json.dumps([item for item in objects if item["kind"] == "Certificate"])


def test_a_changed_setting_rolls_the_pods_that_read_it(render: Render) -> None:
    """A pod's annotation changes with its settings, and only with its own."""

    def hashes(values: dict[str, Any]) -> dict[str, str]:
        found = of_kind(render("evaluation", values), "Deployment", "StatefulSet")
        return {
            name: item["spec"]["template"]["metadata"]["annotations"]["lykta.io/configuration"]
            for name, item in found.items()
        }

    before, after = hashes({}), hashes({"storage": {"settings": {"RETENTION_SECONDS": 30}}})
    assert {name for name in before if before[name] != after[name]} == {"demo-storage"}
    more = hashes({"nats": {"subscribers": [{"user": "dispatch", "controller": "ks"}]}})
    assert before["demo-nats"] != more["demo-nats"]


def test_every_key_is_used() -> None:
    """Each key of the values is read by a template: one that is not read does nothing and must go."""
    text = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*") if path.is_file())
    services = ("ingest", "analytics", "storage", "accessControl", "audit")
    unused = []
    for key in chart_values.leaves(keys()):
        above = [f".Values.{'.'.join(key.path[:cut])}" for cut in range(1, len(key.path) + 1)]
        reached = key.path[0] in services or any(re.search(re.escape(name) + r"\b", text) for name in above)
        if not reached or not re.search(rf"\.{key.path[-1]}\b", text):
            unused.append(key.name)
    assert not unused


def test_every_key_is_in_the_schema_and_the_readme() -> None:
    """The schema closes every level, and the README explains every key."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    readme = (CHART / "README.md").read_text()
    for key in chart_values.leaves(keys()):
        level = schema
        for part in key.path:
            assert level["additionalProperties"] is False, key.name
            level = level["properties"][part]
        assert level["description"], key.name
        assert f"| `{key.name}` |" in readme
        assert len(key.comment) >= 10, f"{key.name}: say what it is"


def test_the_values_files_of_ci_use_known_keys_only() -> None:
    """The three values files name no key that the chart does not have."""
    known = {key.name for key in chart_values.leaves(keys())}
    for profile in PROFILES:
        for name in _names(yaml.safe_load((CHART / "ci" / f"{profile}-values.yaml").read_text())):
            assert any(name == one or name.startswith(one + ".") for one in known), f"{profile}: {name}"


def test_a_service_has_a_short_file() -> None:
    """Each service is a file of at most 25 lines over the shared templates."""
    for name in ("ingest", "analytics", "storage", "access-control", "audit", "nats", "minio", "postgresql"):
        lines = (CHART / "templates" / f"{name}.yaml").read_text().splitlines()
        assert len(lines) <= 25, f"{name}.yaml has {len(lines)} lines"


def _names(values: dict[str, Any], above: str = "") -> list[str]:
    found = []
    for key, value in values.items():
        name = f"{above}.{key}" if above else key
        found += _names(value, name) if isinstance(value, dict) else [name]
    return found
