"""The cluster command without a cluster: what it says is missing, how images get in, and when all is ready."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.cluster import continuous
from tools.cluster.__main__ import main
from tools.cluster.delivery import imprint, loader_of
from tools.cluster.installation import registry_settings
from tools.cluster.programs import ClusterError, open_cluster
from tools.cluster.waiting import crashing, failed, unfinished


def workload(kind: str = "Deployment", **status: Any) -> dict[str, Any]:
    """One object as the API shows it; ready unless the status says otherwise."""
    ready: dict[str, Any] = {"observedGeneration": 2, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1}
    if kind == "StatefulSet":
        ready |= {"currentRevision": "a", "updateRevision": "a"}
    return {"kind": kind, "metadata": {"name": "x", "generation": 2}, "spec": {"replicas": 1}, "status": ready | status}


def test_a_cluster_must_be_named() -> None:
    """Without KUBECONFIG nothing is installed anywhere, not even in the cluster that kubectl would take."""
    with pytest.raises(ClusterError, match="export KUBECONFIG=FILE"):
        open_cluster(environment={})
    with pytest.raises(ClusterError, match="which is no file"):
        open_cluster("/nonexistent/config")


def test_a_cluster_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command ends with one line that names the context and the file, before anything is made."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "nowhere",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "nowhere", "context": {"cluster": "c", "user": "u"}}],
    }
    file = tmp_path / "config"
    file.write_text(json.dumps(content))
    monkeypatch.setenv("KUBECONFIG", str(file))
    assert main(["up"]) == 1
    said = capsys.readouterr().err
    assert f"the cluster nowhere of {file} does not answer" in said
    assert "refused" in said


def test_images_get_into_nodes_by_the_command_that_fits() -> None:
    """Contexts tell kind and k3d; a named command wins; elsewhere the error says what to name."""
    assert loader_of("kind-town", environment={})[-2:] == ["--name", "town"]
    assert loader_of("k3d-town", environment={})[-2:] == ["--cluster", "town"]
    assert loader_of("kind-town", environment={"LYKTA_IMAGE_LOADER": "put it"}) == ["put", "it", "{}"]
    assert loader_of("x", "put {} in", {}) == ["put", "{}", "in"]
    with pytest.raises(ClusterError, match="LYKTA_IMAGE_LOADER"):
        loader_of("elsewhere", environment={})


def test_a_registry_serves_every_image() -> None:
    """With a registry each image of the chart comes from it."""
    assert registry_settings("") == []
    assert "nats.image.repository=r/x/nats" in registry_settings("r/x")
    assert len(registry_settings("r/x")) == 4


def test_other_images_have_another_imprint(tmp_path: Path) -> None:
    """Pods roll when an image changed under the same name, and only then."""
    path = tmp_path / "all.tar"
    path.with_suffix(".json").write_text('{"a": "1"}')
    first = imprint([path])
    assert imprint([path]) == first
    path.with_suffix(".json").write_text('{"a": "2"}')
    assert imprint([path]) != first


@pytest.mark.parametrize(
    ("item", "ready"),
    [
        (workload(), True),
        (workload(observedGeneration=1), False),
        (workload(replicas=2), False),
        (workload(readyReplicas=0), False),
        (workload("StatefulSet"), True),
        (workload("StatefulSet", updateRevision="b"), False),
        (workload("Job", succeeded=1), True),
        (workload("Job"), False),
    ],
)
def test_ready_means_the_new_pods_are_ready(item: dict[str, Any], ready: bool) -> None:
    """An object is not ready while the old generation serves, an old pod stays, or a job is not done."""
    assert (unfinished([item]) == []) is ready


def test_a_job_that_gave_up_is_told() -> None:
    """A failed job is reported by name instead of being waited for."""
    gone = workload("Job", conditions=[{"type": "Failed", "status": "True"}])
    assert failed([gone, workload("Job", succeeded=1)]) == ["x"]


@pytest.mark.parametrize(("restarts", "ready", "told"), [(4, False, True), (4, True, False), (1, False, False)])
def test_a_pod_that_does_not_come_up_is_told(restarts: int, ready: bool, told: bool) -> None:
    """A container that ends again and again ends the waiting; one that found its way, or just stumbled, does not."""
    container = {"restartCount": restarts, "ready": ready}
    pod = {"metadata": {"name": "x"}, "status": {"containerStatuses": [container]}}
    assert (crashing([pod]) == ["x"]) is told


def test_no_cluster_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is neither a KUBECONFIG nor a kit, the part says so and does not fail the run."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("LYKTA_CLUSTER_KIT", "/nonexistent")
    assert main(["ci"]) == 0
    assert "cluster part not run: no KUBECONFIG, and no cluster kit" in capsys.readouterr().err


@pytest.mark.parametrize(("asked", "made"), [("", "2"), ("1", "1")])
def test_the_cluster_of_a_kit_has_two_nodes_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, made: str
) -> None:
    """Where the kit can make them there are two, so that a node can be drained in continuous integration."""
    monkeypatch.delenv(continuous.NODES, raising=False)
    if asked:
        monkeypatch.setenv(continuous.NODES, asked)
    up = tmp_path / "up"
    up.write_text("#!/bin/sh\necho progress >&2\necho kubeconfig-of-$CLUSTER_NODES\n")
    up.chmod(0o755)
    assert continuous.Kit(tmp_path).up() == f"kubeconfig-of-{made}"
