"""Runs tests/cluster on a cluster, after bringing the images there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from tools.cluster import delivery
from tools.cluster.programs import ROOT, Cluster

TEST_S = 2400
LATE = 124
Say = Callable[[str], None]


def deliver(cluster: Cluster, loader: str, say: Say) -> list[str]:
    """Make the images, load them into the nodes, and return the setting that lets pods roll when they changed."""
    command = delivery.loader_of(cluster.context, loader)
    paths = delivery.archives(say)
    delivery.load(command, paths, say)
    return [f"podAnnotations.images=of-{delivery.imprint(paths)}"]


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


def run_bounded(command: Sequence[str], seconds: float, environment: dict[str, str] | None = None) -> int:
    """Run a command in a session of its own; all of it is ended after the limit, and the answer is 124."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return LATE
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
