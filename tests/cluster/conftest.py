"""Fixtures of the cluster tests: one installation of the chart for all of them, in a namespace of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster.harness import TEST_LABEL, Town
from tools.cluster.installation import Installation, install, uninstall
from tools.cluster.programs import NO_KUBECONFIG, Cluster, ClusterError, open_cluster

NAMESPACE = "LYKTA_TEST_NAMESPACE"
SETTINGS = "LYKTA_TEST_SETTINGS"
CONTEXT = "LYKTA_TEST_CONTEXT"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here, give it the time a cluster needs, and let the uninstall come last."""
    own = [item for item in items if "tests/cluster/" in item.nodeid]
    for item in own:
        item.add_marker(pytest.mark.cluster)
        item.add_marker(pytest.mark.timeout(900))
    items.sort(key=lambda item: "test_uninstalled.py" in item.nodeid)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster that KUBECONFIG names."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip(NO_KUBECONFIG)
    try:
        return open_cluster(context=os.environ.get(CONTEXT, ""))
    except ClusterError as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def town(cluster: Cluster) -> Iterator[Town]:
    """The chart with the evaluation's values, everything ready; taken away at the end with its namespace."""
    settings = [line for line in os.environ.get(SETTINGS, "").splitlines() if line]
    wanted = Installation(os.environ.get(NAMESPACE, "lykta-test"), "town", settings=settings)
    town = Town(cluster, wanted)
    town.remove_namespace()
    town.make_namespace()
    try:
        town.ready_after = install(cluster, wanted, town.say)
        yield town
    finally:
        uninstall(cluster, wanted)
        town.remove_namespace()


__all__ = ["TEST_LABEL", "cluster", "town"]
