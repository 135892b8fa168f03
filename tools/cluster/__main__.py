"""The command: `python -m tools.cluster up|down|test|ci` on the cluster that KUBECONFIG names."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.cluster import delivery
from tools.cluster.continuous import run_ci
from tools.cluster.installation import Installation, delete_volumes, install, registry_settings, uninstall
from tools.cluster.programs import EVALUATION, Cluster, ClusterError, open_cluster
from tools.cluster.trial import deliver, run_tests
from tools.cluster.waiting import WORKLOADS, instance

STARTED = """
Lykta runs in namespace {namespace} of {context}, on the demo's cameras and people. DEVELOPMENT ONLY.

Watch the first camera:
  {kubectl} exec deploy/{release}-toolbox -- python -m lykta_standalone camera sessions --as olle
  {kubectl} exec deploy/{release}-toolbox -- python -m lykta_standalone incidents tail --as olle
Walk the way of one frame in the cluster:
  helm test {release} --namespace {namespace} --logs
Take it away again:
  make down
"""


def say(line: str) -> None:
    """Print one line of progress at once, beside what the command answers."""
    print(f"[cluster] {line}", file=sys.stderr, flush=True)


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m tools.cluster", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    going_up = commands.add_parser("up", help="make and load the images, install the chart, wait until all is ready")
    going_down = commands.add_parser("down", help="uninstall; volumes stay unless asked")
    testing = commands.add_parser("test", help="tests/cluster on this cluster, in a namespace of their own")
    automatic = commands.add_parser("ci", help="the tests on KUBECONFIG, or on a cluster made by a kit of scripts")
    for one in (going_up, going_down, testing, automatic):
        one.add_argument("--kubeconfig", default="", help="file that names the cluster (default: KUBECONFIG)")
        one.add_argument("--context", default="", help="context in it (default: its current one)")
    for one in (going_up, testing):
        one.add_argument("--loader", default="", help=f"command that loads an image archive (or {delivery.LOADER})")
        one.add_argument("--registry", default="", help="take the images from this registry, make and load none")
        one.add_argument("--loaded", action="store_true", help="the nodes have the images, make and load none")
    for one in (going_up, going_down):
        one.add_argument("--namespace", default="lykta")
        one.add_argument("--release", default="lykta")
    going_up.add_argument("--values", type=Path, action="append", help="values files instead of the evaluation's")
    going_up.add_argument("--set", action="append", default=[], help="one value, as helm takes it (may be repeated)")
    going_down.add_argument("--volumes", action="store_true", help="delete the volumes, too: all footage is lost")
    for one in (testing, automatic):
        one.add_argument("pytest", nargs="*", help="more for pytest (after --)")
    return made


def delivered(cluster: Cluster, options: argparse.Namespace) -> list[str]:
    """Bring the images to the cluster unless they are there, and return the settings by which pods find them."""
    if options.registry or options.loaded:
        return registry_settings(options.registry)
    return deliver(cluster, options.loader, say)


def up(options: argparse.Namespace) -> int:
    """Install, wait, and say how to go on."""
    started = time.monotonic()
    cluster = open_cluster(options.kubeconfig, options.context)
    settings = [*delivered(cluster, options), *options.set]
    wanted = Installation(options.namespace, options.release, options.values or (EVALUATION,), settings)
    install(cluster, wanted, say)
    say(f"everything is ready after {time.monotonic() - started:.0f} s")
    kubectl = f"kubectl --context {cluster.context} --namespace {wanted.namespace}"
    print(STARTED.format(namespace=wanted.namespace, release=wanted.release, context=cluster.context, kubectl=kubectl))
    return 0


def down(options: argparse.Namespace) -> int:
    """Uninstall, and say what is left."""
    cluster = open_cluster(options.kubeconfig, options.context)
    wanted = Installation(options.namespace, options.release)
    there = bool(cluster.objects(wanted.namespace, WORKLOADS, instance(wanted.release)))
    say(f"helm: uninstalling {wanted.release} …" if there else f"{wanted.release} is not in {wanted.namespace}")
    uninstall(cluster, wanted)
    if options.volumes:
        delete_volumes(cluster, wanted)
    left = cluster.objects(wanted.namespace, "persistentvolumeclaims", instance(wanted.release))
    say(f"gone; {len(left)} volumes stay (make down ARGS=--volumes deletes them)" if left else "gone")
    return 0


def test(options: argparse.Namespace) -> int:
    """Run tests/cluster and return pytest's exit code."""
    cluster = open_cluster(options.kubeconfig, options.context)
    return run_tests(cluster, delivered(cluster, options), options.pytest, say)


def ci(options: argparse.Namespace) -> int:
    """Run the tests on whatever cluster there can be; a cluster that cannot be had in time is no failure."""
    return run_ci(options.kubeconfig or os.environ.get("KUBECONFIG", ""), options.context, options.pytest, say)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what cannot be done is one clear line on standard error and exit code 1."""
    options = parser().parse_args(arguments)
    try:
        return {"up": up, "down": down, "test": test, "ci": ci}[options.command](options)
    except ClusterError as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
