"""A node that is drained: its cameras move to a recorder on another node, and what lies between is declared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.cluster.harness import Town, eventually
from tests.cluster.test_recording import SETTLED_S, coverage, milliseconds, now


@pytest.fixture
def two_recorders(town: Town) -> Iterator[dict[str, str]]:
    """Two recorders on two nodes, by name; skipped where there is one node."""
    nodes = json.loads(town.cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    if len(nodes) < 2:
        pytest.skip("the cluster has one node; moving cameras needs two (CLUSTER_NODES=2)")
    code, output = town.upgrade("--set", "ingest.replicas=2")
    assert code == 0, output
    town.settle()
    recorders = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in town.objects("pods", "ingest")}
    try:
        yield recorders
    finally:
        for node in set(recorders.values()):
            town.cluster.kubectl("uncordon", node)
        town.settle()  # with two again, so that the second leaves in order
        town.upgrade()
        town.settle()


def test_cameras_move_from_a_drained_node(town: Town, two_recorders: dict[str, str]) -> None:
    """The cameras of a drained node go to the other recorder, and the time between is recorded or explained."""
    assert len(set(two_recorders.values())) == 2, two_recorders
    start = now()
    eventually(lambda: now() > start and len(coverage(town, start, now())) == 2, 60, "both cameras are scheduled")
    pod = town.name("ingest-0")  # it has the cameras: it was there before the other
    town.cluster.kubectl("cordon", two_recorders[pod])
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": town.wanted.namespace},
    }
    path = f"/api/v1/namespaces/{town.wanted.namespace}/pods/{pod}/eviction"
    town.cluster.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(eviction))
    moved = now()

    def recorded() -> bool:
        if now() <= moved:
            return False
        found = coverage(town, moved, now())
        return len(found) == 2 and all(milliseconds(camera, "recordedMs") > 20_000 for camera in found.values())

    eventually(recorded, 120, "both cameras are recorded after the recorder left")
    (gone,) = (p for p in town.objects("pods", "ingest") if p["metadata"]["name"] == pod)
    assert gone["status"]["phase"] == "Pending", "the recorder that left came back, and nothing had to move"
    end = now()
    eventually(lambda: now() - end > timedelta(seconds=SETTLED_S), SETTLED_S + 10, "time passes")
    for camera in coverage(town, start, end).values():
        assert milliseconds(camera, "unexplainedMs") == 0, camera
        assert milliseconds(camera, "pendingMs") == 0, camera
