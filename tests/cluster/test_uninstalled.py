"""The end: an uninstall leaves the volumes, and nothing else."""

from __future__ import annotations

from tests.cluster.harness import Town
from tools.cluster.installation import uninstall
from tools.cluster.waiting import instance


def test_an_uninstall_leaves_the_volumes_only(town: Town) -> None:
    """After `helm uninstall` no object of the release is left in the cluster but the volumes with footage and facts."""
    cluster, release = town.cluster, town.wanted.release
    uninstall(cluster, town.wanted)
    kinds = cluster.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    known = [kind for kind in kinds if not kind.startswith("events") and "metrics.k8s.io" not in kind]
    left = cluster.objects(town.wanted.namespace, ",".join(known), instance(release))
    left += cluster.objects(town.wanted.namespace, "secrets", "owner=helm")
    found = {f"{item['kind']}/{item['metadata']['name']}" for item in left}
    volumes = {f"PersistentVolumeClaim/state-{town.name(c)}-0" for c in ("ingest", "minio", "nats", "postgresql")}
    second = f"PersistentVolumeClaim/state-{town.name('ingest')}-1"  # where there were two recorders
    assert found - {second} == volumes
    wide = ("priorityclasses", "clusterroles", "clusterrolebindings")
    everywhere = cluster.objects(town.wanted.namespace, ",".join(wide), instance(release))
    assert not everywhere, [item["metadata"]["name"] for item in everywhere]
