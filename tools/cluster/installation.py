"""Installs the platform with the chart, and takes it away again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.cluster.programs import CHART, EVALUATION, Cluster, ClusterError
from tools.cluster.waiting import diagnosis, instance, wait_until_ready

HELM_S = 600
READY_S = 600
BACKBONE = (("nats", "nats"), ("objectStore.minio", "minio"), ("database.postgresql", "postgres"))
Say = Callable[[str], None]


@dataclass(frozen=True)
class Installation:
    """One release: where it is, and with which values."""

    namespace: str = "lykta"
    release: str = "lykta"
    values: Sequence[Path] = (EVALUATION,)
    settings: Sequence[str] = field(default_factory=tuple)

    def value_arguments(self) -> list[str]:
        """The values as helm's arguments."""
        files = [word for path in self.values for word in ("--values", str(path))]
        return files + [
            word for setting in self.settings for word in ("--set-string" if "@" in setting else "--set", setting)
        ]


def registry_settings(registry: str) -> list[str]:
    """Settings that take every image from a registry instead of from the nodes."""
    settings = [f"image.registry={registry}"] if registry else []
    return settings + [f"{key}.image.repository={registry}/{name}" for key, name in BACKBONE if registry]


def make_namespace(cluster: Cluster, name: str) -> None:
    """Make a namespace in which only restricted pods may run; one that is there gets the label."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    wanted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("apply", "--server-side", "--field-manager=lykta", "-f", "-", text=json.dumps(wanted))


def helm_upgrade(cluster: Cluster, wanted: Installation, *more: str) -> tuple[int, str]:
    """Run `helm upgrade --install`; its hook jobs run before it returns. Returns exit code and output."""
    arguments = ["upgrade", "--install", wanted.release, str(CHART), "--namespace", wanted.namespace]
    arguments += [*wanted.value_arguments(), "--timeout", f"{HELM_S}s", *more]
    return cluster.attempt(*arguments, seconds=HELM_S + 60)


def install(cluster: Cluster, wanted: Installation, say: Say, seconds: float = READY_S) -> float:
    """Install or upgrade and wait until everything works; returns the seconds of waiting; raises ClusterError."""
    make_namespace(cluster, wanted.namespace)
    say(f"helm: {wanted.release} into namespace {wanted.namespace} of {cluster.context} …")
    code, output = helm_upgrade(cluster, wanted)
    if code:
        raise ClusterError(f"{output.strip()[-2500:]}\n{diagnosis(cluster, wanted.namespace, wanted.release)}".strip())
    return wait_until_ready(cluster, wanted.namespace, wanted.release, seconds, say)


def uninstall(cluster: Cluster, wanted: Installation, seconds: float = HELM_S) -> None:
    """Take a release away and wait until its pods are gone; volumes stay. Raises ClusterError."""
    cluster.helm(
        "uninstall", wanted.release, "--namespace", wanted.namespace, "--ignore-not-found", "--wait",
        "--cascade", "foreground", "--timeout", f"{seconds:.0f}s", seconds=seconds + 60,
    )  # fmt: skip


def delete_volumes(cluster: Cluster, wanted: Installation) -> None:
    """Delete the volumes that an uninstall leaves."""
    cluster.kubectl(
        "-n", wanted.namespace, "delete", "persistentvolumeclaims", "-l", instance(wanted.release), seconds=120
    )
