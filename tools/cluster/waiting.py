"""Waits until an installation does its work, and says what holds it up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tools.cluster.programs import Cluster, ClusterError, Objects

PAUSE_S = 2.0
LOG_LINES = 15
RESTARTS = 4
"""A container that was started so often does not come up by itself."""
WORKLOADS = "deployments,statefulsets,jobs"
Say = Callable[[str], None]


def instance(release: str) -> str:
    """The label that every object of a release carries."""
    return f"app.kubernetes.io/instance={release}"


def unfinished(objects: Objects) -> list[str]:
    """What is not there yet, in words; an empty list means that all of it does its work."""
    return [line for item in objects if (line := _missing(item))]


def failed(objects: Objects) -> list[str]:
    """Jobs that have given up."""
    return [
        item["metadata"]["name"]
        for item in objects
        if item["kind"] == "Job" and any(_is_true(c, "Failed") for c in item["status"].get("conditions", []))
    ]


def crashing(pods: Objects) -> list[str]:
    """Pods with a container that ends again and again."""
    return [
        pod["metadata"]["name"]
        for pod in pods
        for container in pod["status"].get("containerStatuses", [])
        if container["restartCount"] >= RESTARTS and not container["ready"]
    ]


def _missing(item: dict[str, Any]) -> str:
    name, status, spec = item["metadata"]["name"], item.get("status", {}), item["spec"]
    if item["kind"] == "Job":
        return "" if status.get("succeeded") else f"{name} (job)"
    wanted = spec.get("replicas", 1)
    current = status.get("observedGeneration", 0) >= item["metadata"]["generation"]
    if item["kind"] == "StatefulSet":
        current = current and (status.get("currentRevision") == status.get("updateRevision") or not wanted)
    ready = min(status.get("readyReplicas", 0), status.get("updatedReplicas", 0) if current else 0)
    done = current and ready == wanted and status.get("replicas", 0) == wanted
    return "" if done else f"{name} {ready}/{wanted}"


def wait_until_ready(cluster: Cluster, namespace: str, release: str, seconds: float, say: Say) -> float:
    """Wait for every workload and job of a release; returns its seconds; raises ClusterError that says what hangs."""
    started = time.monotonic()
    said = ""
    while True:
        objects = cluster.objects(namespace, WORKLOADS, instance(release))
        waiting = unfinished(objects)
        if not waiting:
            return time.monotonic() - started
        if (line := f"waiting for {', '.join(waiting)}") != said:
            said = line
            say(f"{time.monotonic() - started:>4.0f} s {line}")
        given_up = failed(objects) + crashing(cluster.objects(namespace, "pods", instance(release)))
        if given_up or time.monotonic() - started > seconds:
            why = f"gave up: {', '.join(given_up)}" if given_up else f"not ready after {seconds:.0f} s"
            raise ClusterError(f"{why}\n{diagnosis(cluster, namespace, release)}")
        time.sleep(PAUSE_S)


def diagnosis(cluster: Cluster, namespace: str, release: str) -> str:
    """Say of each pod that does not do its work why, with the end of its log."""
    lines: list[str] = []
    for pod in cluster.objects(namespace, "pods", instance(release)):
        if trouble := _trouble(pod):
            name = pod["metadata"]["name"]
            lines += [f"--- {name}: {trouble}", *_events(cluster, namespace, name), *_log(cluster, namespace, name)]
    return "\n".join(lines)


def _trouble(pod: dict[str, Any]) -> str:
    status = pod["status"]
    if status.get("phase") == "Succeeded":
        return ""
    if any(_is_true(c, "Ready") for c in status.get("conditions", [])):
        return ""
    for container in status.get("containerStatuses", []):
        for state in (container.get("state", {}), container.get("lastState", {})):
            for kind in ("waiting", "terminated"):
                if found := state.get(kind):
                    return f"{found.get('reason', kind)} {found.get('message', '')}".strip()
    unmet = [c.get("message", "") for c in status.get("conditions", []) if c["status"] == "False"]
    return next((text for text in unmet if text), "not ready")


def _events(cluster: Cluster, namespace: str, pod: str) -> list[str]:
    selector = f"involvedObject.name={pod},type=Warning"
    found = cluster.kubectl(
        "-n",
        namespace,
        "get",
        "events",
        "--field-selector",
        selector,
        "-o",
        "custom-columns=m:.message",
        "--no-headers",
    )
    return [f"    event: {line[:300]}" for line in dict.fromkeys(found.splitlines()[-4:])]


def _log(cluster: Cluster, namespace: str, pod: str) -> list[str]:
    """The end of a pod's log: of the container that ended last, where one did."""
    for more in (["--previous"], []):
        try:
            found = cluster.kubectl("-n", namespace, "logs", pod, f"--tail={LOG_LINES}", *more)
        except ClusterError:
            continue
        return [f"    {line[:600]}" for line in found.splitlines()]
    return []


def _is_true(condition: dict[str, Any], kind: str) -> bool:
    return bool(condition["type"] == kind and condition["status"] == "True")
