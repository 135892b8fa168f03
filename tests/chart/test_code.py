"""What the chart says is what the code says: settings, users, permissions, ports, streams, durables and names."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
import yaml
from lykta_common.config import load_settings
from lykta_contracts import streams
from lykta_contracts.permissions import all_permissions, subscriber_permissions
from lykta_contracts.platform_file import PlatformFile
from lykta_standalone.cluster import table
from lykta_standalone.cluster.plan import PreparePlan, SetupPlan
from lykta_standalone.registry import SERVICES

from tests.chart.conftest import CHART, Objects, objects_of, of_kind, pod_specs
from tools import generate_chart

PACKAGES = {service.name: service.package for service in SERVICES}


def environment(objects: Objects, service: str) -> dict[str, str]:
    """Return a service's environment; what Kubernetes fills in gets an example."""
    container = of_kind(objects, "Deployment", "StatefulSet")[f"demo-{service}"]["spec"]["template"]["spec"][
        "containers"
    ]
    examples = {"fieldRef": f"demo-{service}-0", "secretKeyRef": "postgresql+asyncpg://u:p@host/db"}
    return {
        e["name"]: e.get("value", examples.get(next(iter(e.get("valueFrom", {"": 0})), ""), ""))
        for e in container[0]["env"]
    }


@pytest.mark.parametrize("service", PACKAGES)
def test_settings_are_those_of_the_service(objects: Objects, service: str) -> None:
    """Each service takes its rendered environment as it is: every required setting there, none unknown."""
    settings = importlib.import_module(f"{PACKAGES[service]}.config").Settings
    loaded = load_settings(settings, environment(objects, service))
    assert loaded.nats_user == service
    assert loaded.grpc_listen == f"0.0.0.0:{table.PORTS['grpc']}"
    assert loaded.health_listen == f"0.0.0.0:{table.PORTS['health']}"
    assert loaded.metrics_listen == f"0.0.0.0:{table.PORTS['metrics']}"


@pytest.mark.parametrize("service", PACKAGES)
def test_files_of_settings_are_mounted(objects: Objects, service: str) -> None:
    """Every file and folder that a setting names lies in a volume the pod mounts, item by item."""
    pod = of_kind(objects, "Deployment", "StatefulSet")[f"demo-{service}"]["spec"]["template"]["spec"]
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert set(mounts) <= {v["name"] for v in pod["volumes"]} | {"state"}
    there = {f"{mounts['tls']}/{name}" for name in ("ca.crt", "tls.crt", "tls.key")}
    for volume in pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", [volume]):
            items = source.get("secret", {}).get("items", [])
            there |= {f"{mounts[volume['name']]}/{item['path']}" for item in items}
    for key, value in environment(objects, service).items():
        if value.startswith("/etc/lykta/") and not key.endswith("CAMERA_CREDENTIALS_FILE"):
            assert any(path == value or path.startswith(value + "/") for path in there), f"{key}={value}"


def test_contract_is_generated_from_the_code() -> None:
    """The committed table holds what the code's tables hold."""
    written = yaml.safe_load((CHART / "files" / "contract.yaml").read_text())
    assert written == json.loads(json.dumps(generate_chart.contract()))
    assert [s["name"] for s in written["streams"]] == [s.name for s in streams.STREAMS]
    assert [d["name"] for d in written["durables"]] == [d.name for d in streams.DURABLES]
    assert written["buckets"] == [b.name for b in streams.BUCKETS]


def test_generated_files_are_current() -> None:
    """Contract, schema and README are as `make chart` writes them."""
    for path, text in generate_chart.outputs().items():
        assert path.read_text() == text, f"{path.name} does not fit; run `make chart`"


def nats_configuration(values: dict[str, Any] | None = None, profile: str = "evaluation") -> str:
    """Return the rendered configuration of the bundled NATS."""
    return str(of_kind(objects_of(profile, values), "ConfigMap")["demo-nats"]["data"]["nats.conf"])


def nats_users(configuration: str) -> dict[str, dict[str, list[str]]]:
    """Return each user's permissions from the configuration."""
    found: dict[str, dict[str, list[str]]] = {}
    user = ""
    for line in configuration.splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "user":
            user = json.loads(value)
        if key in ("publish", "subscribe"):
            found.setdefault(user, {})[key] = json.loads(value)
    return found


def test_nats_users_have_the_permissions_of_the_code() -> None:
    """Users and subject permissions of the bundled NATS are those of the contracts, subscribers' included."""
    subscriber = {"user": "dispatch", "controller": "ks"}
    found = nats_users(nats_configuration({"nats": {"subscribers": [subscriber]}}))
    wanted = [*all_permissions(), subscriber_permissions("dispatch", "ks")]
    assert found == {item.user: {"publish": list(item.publish), "subscribe": list(item.subscribe)} for item in wanted}


def test_nats_passwords_come_from_files_that_prepare_makes() -> None:
    """Each user's password is a variable from the Secret whose keys the prepare job makes."""
    values = {"nats": {"subscribers": [{"user": "dispatch", "controller": "ks"}]}}
    objects = objects_of("evaluation", values)
    plan = PreparePlan.model_validate_json(of_kind(objects, "ConfigMap")["demo-prepare"]["data"]["plan.json"])
    made = next(entry for entry in plan.passwords if entry.secret == "demo-nats-users")
    container = of_kind(objects, "StatefulSet")["demo-nats"]["spec"]["template"]["spec"]["containers"][0]
    refs = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in container["env"] if "secretKeyRef" in e["valueFrom"]}
    assert {ref["key"] for ref in refs.values()} == set(made.keys)
    for name in refs:
        assert f"password: ${name}\n" in nats_configuration(values)


def test_streams_are_synced_and_clients_verified() -> None:
    """Every write is on disk before it is acknowledged; every client and every route shows a certificate."""
    for profile in ("evaluation", "production"):
        text = nats_configuration(profile=profile)
        assert "sync_interval: always" in text
        assert text.count("verify: true") == text.count("cert_file:")
    assert nats_configuration(profile="production").count('"tls://demo-nats-') == 3


def test_scaling_looks_at_streams_and_durables_of_the_code() -> None:
    """KEDA's trigger names a stream and a durable that the code has."""
    scaled = of_kind(objects_of("production"), "ScaledObject")["demo-storage"]["spec"]["triggers"][0]["metadata"]
    durable = next(d for d in streams.DURABLES if d.name == scaled["consumer"])
    assert durable.stream == scaled["stream"]
    assert durable.service == "storage"


def test_plans_are_what_the_jobs_read(objects: Objects) -> None:
    """The jobs take the plans as rendered, and the prepare job makes every Secret that pods of the chart mount."""
    maps = of_kind(objects, "ConfigMap")
    SetupPlan.model_validate_json(maps["demo-setup"]["data"]["plan.json"])
    plan = PreparePlan.model_validate_json(maps["demo-prepare"]["data"]["plan.json"])
    made = {plan.signing_keys.secret, plan.signing_keys.public_secret, plan.controller_keys.secret}
    made |= {entry.secret for entry in plan.passwords} | {c.secret for c in plan.certificates}
    made |= {plan.s3.root_secret, plan.s3.accounts_secret, plan.camera_credentials.secret}
    made |= {item["spec"]["secretName"] for item in objects if item["kind"] == "Certificate"}
    wanted = set(_secret_names(objects))
    assert {name for name in wanted - made if name.startswith("demo-")} == set()


def test_secrets_of_others_are_looked_for_before_anything_is_made(objects: Objects) -> None:
    """Each Secret that pods mount and no job makes is in the plan, with every file that is mounted of it."""
    plan = PreparePlan.model_validate_json(of_kind(objects, "ConfigMap")["demo-prepare"]["data"]["plan.json"])
    required = {wanted.secret: set(wanted.keys) for wanted in plan.required}
    sources = [source for source in _secret_sources(objects) if not _secret_name(source).startswith("demo-")]
    for source in sources:
        assert {item["key"] for item in source.get("items", [])} <= required[_secret_name(source)]
    for item in of_kind(objects, "Deployment", "StatefulSet").values():
        for entry in item["spec"]["template"]["spec"]["containers"][0].get("env", []):
            ref = entry.get("valueFrom", {}).get("secretKeyRef")
            if ref and not ref["name"].startswith("demo-"):
                assert ref["key"] in required[ref["name"]]


def test_secret_files_are_made_under_the_names_that_are_mounted() -> None:
    """Every key that a pod mounts of a Secret of the chart is one that the prepare job writes."""
    objects = objects_of("evaluation")
    plan = PreparePlan.model_validate_json(of_kind(objects, "ConfigMap")["demo-prepare"]["data"]["plan.json"])
    made = {entry.secret: set(entry.keys) for entry in plan.passwords}
    made[plan.signing_keys.secret] = {f"{name}.pem" for name in plan.signing_keys.names}
    made[plan.signing_keys.public_secret] = {f"{name}.pub.pem" for name in plan.signing_keys.names} | {"audit-log.vkey"}
    made[plan.controller_keys.secret] = {f"{name}.key" for name in plan.controller_keys.controllers}
    made[plan.s3.accounts_secret] = {f"{name}.json" for name in table.S3_ACTIONS}
    made[plan.s3.root_secret] = {"access-key", "secret-key", "bootstrap.json"}
    made[plan.camera_credentials.secret] = {"cameras.json"}
    made |= {c.secret: {"ca.crt", "tls.crt", "tls.key"} for c in plan.certificates}
    for source in _secret_sources(objects):
        name = source.get("secretName") or source["name"]
        assert {item["key"] for item in source.get("items", [])} <= made[name], name


def test_certificates_name_what_clients_call(objects: Objects) -> None:
    """Each certificate names its workload, its Service, and the pods behind a headless Service."""
    maps = of_kind(objects, "ConfigMap")
    plan = PreparePlan.model_validate_json(maps["demo-prepare"]["data"]["plan.json"])
    names = {c.workload: set(c.dns_names) for c in plan.certificates}
    for item in of_kind(objects, "Certificate").values():
        if not item["spec"].get("isCA"):
            names[item["spec"]["commonName"]] = set(item["spec"]["dnsNames"])
            assert item["spec"]["uris"] == [f"spiffe://lykta/{item['spec']['commonName']}"]
    for item in of_kind(objects, "Service").values():
        workload = item["spec"]["selector"]["app.kubernetes.io/component"]
        if workload != "cameras":  # RTSP without TLS, as cameras are
            assert {workload, f"demo-{workload}", f"demo-{workload}.town.svc"} <= names[workload]


def test_attach_points_are_a_platform_file(objects: Objects) -> None:
    """What clients read in the cluster is the `platform.json` that every tool of the platform reads."""
    written = json.loads(of_kind(objects, "ConfigMap")["demo-platform"]["data"]["platform.json"])
    platform = PlatformFile.model_validate(written)
    services = of_kind(objects, "Service")
    for service, address in platform.grpc.items():
        host, _, port = address.partition(":")
        assert host == f"demo-{service}"
        assert int(port) in {p["port"] for p in services[host]["spec"]["ports"]}


def test_every_address_leads_to_a_service(objects: Objects) -> None:
    """Each host of the release that a setting names is a Service of the chart, on a port that it has."""
    services = of_kind(objects, "Service")
    for service in PACKAGES:
        for key, value in environment(objects, service).items():
            if key.endswith("_ADDRESS"):
                host, _, port = value.removeprefix("dns:///").rpartition(":")
                assert int(port) in {p["port"] for p in services[host]["spec"]["ports"]}, f"{key}={value}"


def test_database_roles_are_workloads() -> None:
    """Bundled PostgreSQL has a role for each service with rows, and lets it in by the certificate that names it."""
    objects = objects_of("evaluation")
    container = of_kind(objects, "StatefulSet")["demo-postgresql"]["spec"]["template"]["spec"]["containers"][0]
    roles = next(e["value"] for e in container["env"] if e["name"] == "LYKTA_ROLES").split()
    with_rows = [name for name in PACKAGES if any("DATABASE_URL" in key for key in environment(objects, name))]
    assert sorted(roles) == sorted(with_rows) == sorted(table.DATABASES)
    rules = of_kind(objects, "ConfigMap")["demo-postgresql"]["data"]["pg_hba.conf"].splitlines()
    assert [line.split() for line in rules if line and not line.startswith("#")] == [
        ["hostssl", "sameuser", "all", "all", "cert"]
    ]
    for name in with_rows:
        url = next(v for k, v in environment(objects, name).items() if k.endswith("DATABASE_URL"))
        assert url.startswith(f"postgresql+asyncpg://{name}@demo-postgresql:5432/{name}?ssl=verify-full")


def _secret_sources(objects: Objects) -> list[dict[str, Any]]:
    found = []
    for _, _, spec in pod_specs(objects):
        for volume in spec["volumes"]:
            found += [s["secret"] for s in volume.get("projected", {}).get("sources", [volume]) if "secret" in s]
    return found


def _secret_names(objects: Objects) -> list[str]:
    return [_secret_name(source) for source in _secret_sources(objects)]


def _secret_name(source: dict[str, Any]) -> str:
    return str(source.get("secretName") or source["name"])
