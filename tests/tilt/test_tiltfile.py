"""The Tiltfile, evaluated with Tilt's API recorded: it fits the code, the images and what helm renders."""

from __future__ import annotations

import pytest
import starlark

from tests.tilt.consistency import findings
from tests.tilt.tilt_api import TILTFILE, RefusedError, Tilt, evaluate


@pytest.fixture(scope="module")
def tilt() -> Tilt:
    """The Tiltfile as it is, evaluated for a local cluster."""
    return evaluate(TILTFILE.read_text())


def test_it_fits_code_images_and_chart(tilt: Tilt) -> None:
    """Services, images, synced sources, ports, order and checks are those of the code and of the rendered chart."""
    assert findings(tilt) == []


def test_it_is_evaluated_again_when_the_chart_changes(tilt: Tilt) -> None:
    """The chart is rendered by the repository's helm, and watched."""
    assert "deploy/helm/lykta" in tilt.watched
    assert any(command[1:2] == ["template"] for command in tilt.commands)


@pytest.mark.parametrize(
    ("line", "instead", "found"),
    [
        ("    'audit': ('prove', 17445, 17095),\n", "", "audit: no image is built"),
        ("    'audit': ('prove', 17445, 17095),\n", "", "audit: rendered, but not described"),
        ("    'audit': ('prove', 17445, 17095),\n", "", "audit: its tests are no resource"),
        ("('prove', 17445", "('show', 17445", "two services have the same label"),
        ("17445, 17095", "17444, 17095", "audit: 17444 is taken by access-control"),
        ("forward(metrics, 'metrics', '/metrics')", "forward(metrics, 's3')", "audit: has no port 9000"),
        ("['setup', 'postgresql']", "['setup', 'postgres']", "audit: waits for postgres, which does not exist"),
        ("['setup', 'postgresql']", "['setup']", "audit: does not wait for postgresql"),
        ("'setup': ('backbone', ['nats', 'minio']", "'setup': ('backbone', ['found']", "setup: waits for itself"),
        ("'cameras': ('demo'", "'camera': ('demo'", "cameras: rendered, but not described"),
        ("'minio', 'postgres']", "'minio']", "postgres: the image is run, but not built"),
        ("list(SERVICES) + ['standalone']", "SERVICES", "standalone: the image is run, but not built"),
        ("target='develop'", "target='debug'", "audit: deploy/docker/service.Dockerfile has no stage 'debug'"),
        ("'SERVICE': image}", "'SERVICE': image, 'X': ''}", "service.Dockerfile takes no argument X"),
        ("'MINIO': minio", "'MINIO': 'v0'", "minio: MinIO v0 is not the"),
        ("'services/audit/pyproject.toml'", "'setup.py'", "standalone: setup.py does not exist"),
        ("'services/audit/pyproject.toml'", "'tools'", "standalone: services is copied, but nothing of it is given"),
        ("for member in members]", "for member in members[1:]]", "libs/common/src is in the image, but not synced"),
        ("'/tmp/live')", "'/tmp/there')", "audit: not everything is synced to /tmp/live"),
        ("touch /tmp/live/.changed", "true", "audit: nobody is told that a sync is complete"),
        ("k8s_yaml(installed)", "k8s_yaml(chart)", "Job/lykta-cleanup: a post-delete hook would run at once"),
        ("'kind': 'Namespace'", "'kind': 'ConfigMap'", "in the namespace lykta, which nobody makes"),
        ("'make lint'", "'make tidy'", "lint: make tidy does not exist"),
        ("ASKED = ['flow']", "ASKED = []", "flow: starts without being asked"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_found(line: str, instead: str, found: str) -> None:
    """Each rule sees the mistake that it is there for."""
    text = TILTFILE.read_text()
    assert line in text
    assert any(found in finding for finding in findings(evaluate(text.replace(line, instead))))


@pytest.mark.parametrize("context", ["kind-kind", "kind-lykta", "k3d-town", "minikube", "docker-desktop"])
def test_local_clusters_are_taken(context: str) -> None:
    """A local cluster needs no leave, and Tilt's own guard stays as it is."""
    assert evaluate(TILTFILE.read_text(), context).allowed == []


@pytest.mark.parametrize("context", ["production", "gke_town_europe_live", "kind", "minikube-live", "my-k3d-live", ""])
def test_other_clusters_are_refused(context: str) -> None:
    """Another context is refused before anything is done, with the context and how to name it."""
    with pytest.raises(RefusedError, match=f"'{context}' is not a local cluster.*LYKTA_TILT_CONTEXT=") as refused:
        evaluate(TILTFILE.read_text(), context, {"LYKTA_TILT_CONTEXT": "another"})
    assert "kind-*" in str(refused.value)


def test_a_named_cluster_is_taken_and_no_other() -> None:
    """The context that the developer named is allowed to Tilt, exactly it."""
    named = evaluate(TILTFILE.read_text(), "town-development", {"LYKTA_TILT_CONTEXT": "town-development"})
    assert named.allowed == ["town-development"]


@pytest.mark.parametrize(
    "wrong", ["docker_builds('a', '.')", "k8s_resource('a', port_forward=1)", "print(f'{NAME}')", "import os"]
)
def test_what_tilt_would_not_take_is_not_taken(wrong: str) -> None:
    """A call, a parameter or a form of Python that Tilt does not have ends the evaluation."""
    with pytest.raises(starlark.StarlarkError):
        evaluate(TILTFILE.read_text() + wrong + "\n")
