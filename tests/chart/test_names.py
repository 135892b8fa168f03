"""Ports, users, streams, durables and accounts have in all that is rendered the names that the code gives them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from lykta_contracts import streams
from lykta_contracts.permissions import all_permissions
from lykta_standalone.cluster import table
from lykta_standalone.cluster.plan import PreparePlan
from lykta_standalone.registry import NAMES

from tests.chart.conftest import CHART, Objects, objects_of, of_kind, pod_specs
from tests.chart.test_code import nats_configuration, nats_users
from tools import chart_values

PORT_OF = {"cluster": "natsCluster", "monitor": "natsMonitor"} | {name: name for name in table.PORTS}
"""Name of a container's port (at most 15 letters) → the code's name of it."""
DNS = 53


def component(item: dict[str, Any]) -> str:
    """What an object is part of."""
    return str(item["metadata"]["labels"]["app.kubernetes.io/component"])


def ports_of(objects: Objects) -> dict[str, dict[str, int]]:
    """Each component's container ports by name."""
    found: dict[str, dict[str, int]] = {}
    for _, metadata, spec in pod_specs(objects):
        mine = found.setdefault(metadata["labels"]["app.kubernetes.io/component"], {})
        mine |= {p["name"]: p["containerPort"] for c in spec["containers"] for p in c.get("ports", ())}
    return found


def comment(name: str) -> str:
    """The comment of a key of the values."""
    return next(key.comment for key in chart_values.leaves(chart_values.read((CHART / "values.yaml").read_text()))
                if key.name == name)  # fmt: skip


def test_container_ports_are_the_codes(objects: Objects) -> None:
    """Every port of every pod has the number the code gives to its name, and no pod has another."""
    for name, ports in ports_of(objects).items():
        assert ports == {port: table.PORTS[PORT_OF[port]] for port in ports}, name
    assert all(set(ports_of(objects)[name]) == {"grpc", "health", "metrics"} for name in NAMES)


def test_services_lead_to_ports_of_their_pods(objects: Objects) -> None:
    """A Service shows a port under its pod's name and number; the plain health port is shown by none."""
    ports = ports_of(objects)
    for name, item in of_kind(objects, "Service").items():
        for port in item["spec"]["ports"]:
            assert port["targetPort"] == port["name"], name
            assert ports[component(item)][port["name"]] == port["port"], name
            assert port["name"] != "health", name


def test_policies_speak_of_ports_that_are_there(objects: Objects) -> None:
    """A caller's port is one of the component; one who goes out to a component names a number that it has."""
    ports = ports_of(objects)
    for name, item in of_kind(objects, "NetworkPolicy").items():
        for rule in item["spec"].get("ingress") or []:
            assert {port["port"] for port in rule["ports"]} <= ports[component(item)].keys(), name
        for rule in item["spec"].get("egress") or []:
            numbers = {port["port"] for port in rule["ports"]}
            for peer in rule["to"]:
                callee = peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/component")
                assert callee is None or numbers <= set(ports[callee].values()), f"{name} to {callee}"


def test_probes_and_arguments_use_the_same_ports(objects: Objects) -> None:
    """Probes ask at a port of their container; servers are told to listen where the chart leads to."""
    for name, _, spec in pod_specs(objects):
        for container in spec["containers"]:
            mine = {p["name"]: p["containerPort"] for p in container.get("ports", ())}
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                for action in (container.get(kind) or {}).values():
                    if isinstance(action, dict) and "port" in action:
                        assert action["port"] in mine or action["port"] in mine.values(), f"{name} {kind}"
            words = container.get("args", [])
            if "--port" in words:
                assert int(words[words.index("--port") + 1]) in mine.values(), name
            if "--address" in words:
                assert words[words.index("--address") + 1] == f":{table.PORTS['s3']}"


def test_bundled_servers_listen_on_the_codes_ports() -> None:
    """NATS and PostgreSQL are configured for the ports that the code names."""
    text = nats_configuration(profile="production")
    listening = set(re.findall(r'(?m)^\s*(?:listen|http): "0\.0\.0\.0:(\d+)"', text))
    assert listening == {str(table.PORTS[name]) for name in ("nats", "natsCluster", "natsMonitor")}
    assert set(re.findall(r"svc:(\d+)", text)) == {str(table.PORTS["natsCluster"])}
    settings = of_kind(objects_of("evaluation"), "ConfigMap")["demo-postgresql"]["data"]["postgresql.conf"]
    assert f"port = {table.PORTS['postgresql']}\n" in settings


@pytest.mark.parametrize("profile", ["evaluation", "production"])
def test_users_and_permissions_are_the_codes(profile: str) -> None:
    """Bundled NATS knows the code's users with the code's subjects, wherever it is bundled, and nobody else."""
    wanted = {user.user: {"publish": [*user.publish], "subscribe": [*user.subscribe]} for user in all_permissions()}
    assert nats_users(nats_configuration(profile=profile)) == wanted


def test_every_service_is_a_user_of_its_own() -> None:
    """The code's users are the services and the one that makes streams; none has a wildcard over everything."""
    users = {user.user: user for user in all_permissions()}
    assert users.keys() == {*NAMES, "bootstrap"}
    for user in users.values():
        assert ">" not in user.publish, user.user
        assert {"*", ">"}.isdisjoint(user.subscribe), user.user


def test_streams_and_durables_in_files_are_the_codes() -> None:
    """Whatever file of the chart names a stream or a durable names one that the code makes."""
    names = {stream.name for stream in streams.STREAMS}
    durables = {durable.name for durable in streams.DURABLES}
    paths = [path for folder in ("templates", "files") for path in (CHART / folder).rglob("*") if path.is_file()]
    named: set[str] = set()
    for path in paths:
        text = path.read_text()
        for stream in re.findall(r"\bstream(?:=~?|: )\"?([A-Z][A-Z_]+)\b", text):
            assert stream in names, f"{path.name}: {stream}"
            named.add(stream)
        for durable in re.findall(r"\b(?:consumer|durable)(?:=~?|: )\"?([a-z]+-[a-z]+)\b", text):
            assert durable in durables, f"{path.name}: {durable}"
            named.add(durable)
    assert {"FOOTAGE", "storage-footage"} <= named


def test_what_others_must_bring_is_named_as_the_code_names_it() -> None:
    """The comments on Secrets of external servers list exactly the users, accounts and databases of the code."""
    users = comment("nats.external.existingSecret").partition(": ")[2].rstrip(".").split(", ")
    assert sorted(users) == sorted(user.user for user in all_permissions())
    accounts = set(re.findall(r"([a-z-]+)\.json", comment("objectStore.external.existingSecret")))
    assert accounts == {*table.S3_ACTIONS, "bootstrap"}
    databases = re.search(r"keys ([a-z, -]+)\)", comment("database.external.existingSecret"))
    assert databases is not None
    assert sorted(databases[1].split(", ")) == sorted(table.DATABASES)


def test_what_others_must_bring_is_looked_for_under_these_names() -> None:
    """The prepare job looks for every user's, account's and database's key in the Secrets that others bring."""
    objects = objects_of("external")
    plan = PreparePlan.model_validate_json(of_kind(objects, "ConfigMap")["demo-prepare"]["data"]["plan.json"])
    required = {entry.value: set(entry.keys) for entry in plan.required}
    assert required["nats.external.existingSecret"] == {user.user for user in all_permissions()}
    assert required["objectStore.external.existingSecret"] == {f"{a}.json" for a in (*table.S3_ACTIONS, "bootstrap")}
    assert required["database.external.existingSecret"] == set(table.DATABASES)
    assert required["keys.existingKekSecret"] == {"ks.key"}


@pytest.mark.parametrize("name", ["nats.external.existingSecret", "objectStore.external.existingSecret"])
def test_a_mounted_secret_is_a_required_one(name: str) -> None:
    """Every key that a pod mounts of a Secret that others bring is looked for before anything is made."""
    objects = objects_of("external")
    plan = PreparePlan.model_validate_json(of_kind(objects, "ConfigMap")["demo-prepare"]["data"]["plan.json"])
    required = next(entry for entry in plan.required if entry.value == name)
    mounted = {
        item["key"]
        for _, _, spec in pod_specs(objects)
        for volume in spec["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        if source.get("secret", {}).get("name") == required.secret
        for item in source["secret"]["items"]
    }
    assert mounted
    assert mounted <= set(required.keys)


def test_the_attach_points_name_the_codes_ports(objects: Objects) -> None:
    """Clients are sent to the code's ports of services, NATS and object store."""
    attached = json.loads(of_kind(objects, "ConfigMap")["demo-platform"]["data"]["platform.json"])
    assert {address.rpartition(":")[2] for address in attached["grpc"].values()} == {str(table.PORTS["grpc"])}
    for key, port in (("nats_url", "nats"), ("s3_endpoint", "s3"), ("oidc_issuer", "identity")):
        if "//demo-" in attached[key]:
            assert re.search(rf":{table.PORTS[port]}(/|$)", attached[key]), key
