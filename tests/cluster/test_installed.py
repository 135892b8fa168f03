"""What was installed: everything works, as nobody, and can be installed over and over."""

from __future__ import annotations

import json

import pytest

from tests.cluster.harness import SERVICES, Town

LOOK = """
import json, os
def writable(path):
    try:
        open(path + "/probe", "w").close()
    except OSError:
        return False
    os.unlink(path + "/probe")
    return True
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(),
    "writable": [p for p in ("/", "/etc", "/opt/lykta", "/usr/local") if writable(p)],
    "scratch": writable("/tmp"),
    "token": os.path.exists("/var/run/secrets/kubernetes.io"),
    "capabilities": next(l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")),
    "privileges": next(l.split()[1] for l in open("/proc/self/status") if l.startswith("NoNewPrivs")),
    "seccomp": next(l.split()[1] for l in open("/proc/self/status") if l.startswith("Seccomp:")),
}))
"""


def test_everything_is_ready_and_stays(town: Town) -> None:
    """Every pod of the release is Ready, every job is done, and no container had to be started twice."""
    for pod in town.objects("pods"):
        name = pod["metadata"]["name"]
        assert pod["status"]["phase"] in ("Running", "Succeeded"), town.why()
        for container in pod["status"]["containerStatuses"]:
            assert container["restartCount"] == 0, f"{name} was started again"


def test_nothing_runs_as_root_or_holds_a_token(town: Town) -> None:
    """Every live pod is non-root with a read-only root and mounts no token of the Kubernetes API."""
    pods = town.objects("pods")
    assert len(pods) >= 10
    for pod in pods:
        name, spec = pod["metadata"]["name"], pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        sources = [s for v in spec["volumes"] for s in v.get("projected", {}).get("sources", [])]
        assert not [s for s in sources if "serviceAccountToken" in s], name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name


@pytest.mark.parametrize("component", [*SERVICES, "toolbox", "identity", "cameras"])
def test_a_process_finds_nothing_to_write_or_to_become(town: Town, component: str) -> None:
    """Seen from inside: not root, no capability, no new privileges, seccomp on, no token, only scratch to write."""
    found = json.loads(town.run(component, LOOK))
    assert found["uid"] > 0
    assert found["gid"] > 0
    assert found["writable"] == []
    assert found["scratch"] is True
    assert found["token"] is False
    assert int(found["capabilities"], 16) == 0
    assert found["privileges"] == "1"
    assert found["seccomp"] == "2"


def test_the_way_of_one_frame(town: Town) -> None:
    """`helm test` walks it in the cluster: recorded, noticed, refused, granted, played, revoked, proved."""
    code, output = town.walk()
    assert code == 0, output
    assert "✔ 10." in output, output
    assert "✘" not in output, output


def test_hooks_run_again(town: Town) -> None:
    """An upgrade with the same values runs every job again, succeeds, and neither changes a Secret nor a pod."""
    before = town.state()
    pods = {c: town.pod(c)["metadata"]["uid"] for c in (*SERVICES, "nats", "minio", "postgresql")}
    for _ in range(2):
        code, output = town.upgrade()
        assert code == 0, output
        town.settle()
    assert town.state() == before
    assert {c: town.pod(c)["metadata"]["uid"] for c in pods} == pods
