"""Runs kubectl and helm against one cluster; what is missing is said in one line, with what to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.helm import find_helm, find_kubectl

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "lykta"
EVALUATION = CHART / "ci" / "evaluation-values.yaml"
ANSWER_S = 60
LATE = 124
"""Exit code of a command that was ended after its limit, as of timeout(1)."""
NO_KUBECONFIG = (
    "no cluster named: export KUBECONFIG=FILE, or give --kubeconfig FILE "
    "(of kind: `kind get kubeconfig`, of k3d: `k3d kubeconfig get NAME`)"
)
Objects = list[dict[str, Any]]


class ClusterError(Exception):
    """What went wrong and what to do about it; shown to people as it is."""


class LateError(ClusterError):
    """Something was not done within its limit."""


@dataclass(frozen=True)
class Cluster:
    """One cluster, by kubeconfig and context, and the programs that speak to it."""

    kubeconfig: str
    context: str
    kubectl_program: str
    helm_program: str

    def kubectl(self, *arguments: str, text: str | None = None, seconds: float = ANSWER_S) -> str:
        """Run kubectl and return its output; raises ClusterError with what it complained about."""
        return self._run(self._kubectl(arguments), text, seconds)

    def helm(self, *arguments: str, text: str | None = None, seconds: float = ANSWER_S) -> str:
        """Run helm and return its output; raises ClusterError with what it complained about."""
        return self._run(self._helm(arguments), text, seconds)

    def attempt(self, *arguments: str, text: str | None = None, seconds: float = ANSWER_S) -> tuple[int, str]:
        """Run helm and return its exit code with all that it said."""
        return self._done(self._helm(arguments), text, seconds)

    def exec(self, namespace: str, target: str, *command: str, seconds: float = ANSWER_S) -> str:
        """Run a command in a pod and return its output; raises ClusterError."""
        return self.kubectl("-n", namespace, "exec", target, "--", *command, seconds=seconds)

    def objects(self, namespace: str, kinds: str, selector: str = "") -> Objects:
        """Return live objects of these kinds (comma separated) with these labels."""
        chosen = ["-l", selector] if selector else []
        items: Objects = json.loads(self.kubectl("-n", namespace, "get", kinds, *chosen, "-o", "json"))["items"]
        return items

    def _kubectl(self, arguments: Sequence[str]) -> list[str]:
        return [self.kubectl_program, "--kubeconfig", self.kubeconfig, "--context", self.context, *arguments]

    def _helm(self, arguments: Sequence[str]) -> list[str]:
        return [self.helm_program, "--kubeconfig", self.kubeconfig, "--kube-context", self.context, *arguments]

    def _run(self, command: list[str], text: str | None, seconds: float) -> str:
        code, output = self._done(command, text, seconds, apart=True)
        if code:
            raise ClusterError(f"{Path(command[0]).name} {_words(command)}: {output.strip()[-2500:]}")
        return output

    def _done(self, command: list[str], text: str | None, seconds: float, apart: bool = False) -> tuple[int, str]:
        try:
            done = subprocess.run(
                command, input=text or "", capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"{Path(command[0]).name} {_words(command)}: no end within {seconds:.0f} s") from error
        return done.returncode, done.stdout if apart and not done.returncode else done.stdout + done.stderr


def open_cluster(kubeconfig: str = "", context: str = "", environment: Mapping[str, str] = os.environ) -> Cluster:
    """Find the programs and the cluster; raises ClusterError that names what is missing."""
    named = kubeconfig or environment.get("KUBECONFIG", "")
    if not named:
        raise ClusterError(NO_KUBECONFIG)
    if not Path(named).is_file():
        raise ClusterError(f"KUBECONFIG names {named}, which is no file")
    try:
        kubectl, helm = find_kubectl(), find_helm()
    except RuntimeError as error:
        raise ClusterError(str(error)) from error
    chosen = context or _current_context(kubectl, named)
    cluster = Cluster(named, chosen, kubectl, helm)
    try:
        cluster.kubectl("version", "--request-timeout=10s", seconds=30)
    except ClusterError as error:
        why = str(error).strip().splitlines()[-1]
        raise ClusterError(f"the cluster {chosen} of {named} does not answer: {why}") from error
    return cluster


def _current_context(kubectl: str, kubeconfig: str) -> str:
    command = [kubectl, "--kubeconfig", kubeconfig, "config", "current-context"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    if done.returncode:
        raise ClusterError(f"{kubeconfig} has no current context; give --context NAME")
    return done.stdout.strip()


def _words(command: Sequence[str]) -> str:
    """What was asked, without the options that say which cluster."""
    return " ".join(command[5:])[:120]


def run_bounded(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> int:
    """Run a command in a session of its own, showing what it says; after the limit all of it is ended: LATE."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sys.stderr, start_new_session=True)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return LATE
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
