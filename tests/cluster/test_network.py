"""Who reaches whom: pods with each component's labels try all others, the Kubernetes API and the internet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.harness import SERVICES, Town, eventually

FILTERS = ("antrea", "calico", "canal", "cilium", "kube-network-policies", "kube-router", "ovnkube", "weave")
"""Parts of the names of DaemonSets that enforce network policies: a cluster with one of them claims to."""
SERVERS = ("nats", "minio", "postgresql", "identity", "cameras")
OUTSIDE = ("1.1.1.1:443", "api")
MAY_REACH: dict[str, set[str]] = {
    "ingest": {"nats", "minio", "access-control", "cameras"},
    "analytics": {"nats", "postgresql", "access-control"},
    "storage": {"nats", "minio", "postgresql", "access-control", "audit"},
    "access-control": {"nats", "postgresql", "identity"},
    "audit": {"nats", "minio", "postgresql", "access-control"},
    "toolbox": {*SERVICES, "minio", "identity"},
    **{name: set() for name in SERVERS},
    "stranger": set(),
}
"""What each component has business with; `stranger` carries the release's labels and is no component."""
PROBE = """
import json, os, socket, sys, time
from concurrent.futures import ThreadPoolExecutor
time.sleep(4)  # a policy takes a moment to reach a new pod
targets = json.loads(sys.argv[1])
targets["api"] = [os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])]
def reached(address):
    try:
        socket.create_connection(tuple(address), timeout=4).close()
    except OSError:
        return False
    return True
with ThreadPoolExecutor(16) as pool:
    print(json.dumps(sorted(n for n, ok in zip(targets, pool.map(reached, targets.values())) if ok)))
"""


def targets(town: Town) -> dict[str, tuple[str, int]]:
    """Where each component serves: its Service and the first port of it."""
    found = {}
    for component in (*SERVICES, *SERVERS):
        service = next(s for s in town.objects("services", component) if s["metadata"]["name"] == town.name(component))
        found[component] = (service["spec"]["clusterIP"], service["spec"]["ports"][0]["port"])
    address, _, port = OUTSIDE[0].partition(":")
    return found | {OUTSIDE[0]: (address, int(port))}


def probe(town: Town, component: str, addresses: dict[str, tuple[str, int]]) -> dict[str, Any]:
    """The pod that carries a component's labels and tries to reach everything."""
    model = town.pod("toolbox")
    labels = {
        "app.kubernetes.io/name": "lykta",
        "app.kubernetes.io/instance": town.wanted.release,
        "app.kubernetes.io/component": component,
    }
    if component == "toolbox":
        labels |= {key: value for key, value in model["metadata"]["labels"].items() if key == "lykta.io/client"}
    container = {key: model["spec"]["containers"][0][key] for key in ("image", "imagePullPolicy", "securityContext")}
    container |= {"name": "probe", "command": ["python", "-c", PROBE, json.dumps(addresses)]}
    container |= {"resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"probe-{component}", "namespace": town.wanted.namespace, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": model["spec"]["securityContext"],
            "containers": [container],
        },
    }


@pytest.fixture(scope="module")
def reached(town: Town) -> dict[str, set[str]]:
    """What each component's labels reached."""
    addresses, namespace = targets(town), town.wanted.namespace
    pods = [probe(town, component, addresses) for component in MAY_REACH]
    names = [pod["metadata"]["name"] for pod in pods]
    town.cluster.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    try:

        def done() -> bool:
            found = {p["metadata"]["name"]: p["status"]["phase"] for p in town.objects("pods")}
            assert "Failed" not in {found[name] for name in names}, found
            return all(found[name] == "Succeeded" for name in names)

        eventually(done, 120, "every probe has tried every target")
        logs = {c: town.cluster.kubectl("-n", namespace, "logs", f"probe-{c}") for c in MAY_REACH}
    finally:
        town.cluster.kubectl("-n", namespace, "delete", "pod", "--grace-period=0", "--wait", "--force", *names)
    return {component: set(json.loads(log)) for component, log in logs.items()}


def claims(town: Town) -> list[str]:
    """The DaemonSets by which the cluster says that it filters."""
    found = json.loads(town.cluster.kubectl("get", "daemonsets", "--all-namespaces", "-o", "json"))["items"]
    names = [item["metadata"]["name"] for item in found]
    return [name for name in names if any(part in name for part in FILTERS)]


def test_everybody_reaches_what_they_need(town: Town, reached: dict[str, set[str]]) -> None:
    """The policies let each component reach what it has business with."""
    for component, needed in MAY_REACH.items():
        assert needed <= reached[component], component


def test_nobody_reaches_anything_else(town: Town, reached: dict[str, set[str]]) -> None:
    """No component reaches another, the Kubernetes API or the internet without need, where the cluster filters."""
    if reached["stranger"] and not (found := claims(town)):
        pytest.skip(
            "this cluster does not filter: a pod that may reach nothing reached "
            f"{', '.join(sorted(reached['stranger']))}, and nothing here claims to enforce network policies"
        )
    elif reached["stranger"]:
        pytest.fail(f"{', '.join(found)} should enforce network policies, and does not: {reached['stranger']}")
    for component, allowed in MAY_REACH.items():
        assert reached[component] <= allowed, component
