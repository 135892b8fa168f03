"""Runs tests/cluster on a cluster, after bringing the images there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.cluster import delivery
from tools.cluster.programs import LATE, Cluster, run_bounded

TEST_S = 2400
Say = Callable[[str], None]


def deliver(cluster: Cluster, loader: str, say: Say) -> list[str]:
    """Make the images, load them into the nodes, and return the settings that go with them."""
    command = delivery.loader_of(cluster.context, loader)
    archives = delivery.archives(say)
    delivery.load(command, archives, say)
    return settings_of(archives)


def settings_of(archives: list[Path]) -> list[str]:
    """The setting that lets pods roll when the images changed under the same names."""
    return [f"podAnnotations.images=of-{delivery.imprint(archives)}"]


def run_tests(cluster: Cluster, settings: Sequence[str], more: Sequence[str], say: Say, seconds: float = TEST_S) -> int:
    """Run tests/cluster on a cluster that has the images; returns pytest's exit code, 124 after the limit."""
    environment = os.environ | {
        "KUBECONFIG": cluster.kubeconfig,
        "LYKTA_TEST_CONTEXT": cluster.context,
        "LYKTA_TEST_SETTINGS": "\n".join(settings),
    }
    command = [sys.executable, "-m", "pytest", "tests/cluster", "-m", "cluster", "--durations=0", "-v", *more]
    code = run_bounded(command, seconds, environment)
    if code == LATE:
        say(f"the tests did not end within {seconds:.0f} s")
    return code
