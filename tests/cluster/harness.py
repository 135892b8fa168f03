"""One installation of the chart as the tests see it: its live objects, its toolbox, and helm."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tools.cluster.installation import Installation, helm_upgrade, make_namespace
from tools.cluster.programs import Cluster, Objects
from tools.cluster.waiting import diagnosis, instance, wait_until_ready

TEST_LABEL = "lykta.io/test"
SERVICES = ("access-control", "analytics", "audit", "ingest", "storage")
CHANGEABLE = "deployments,statefulsets,services,configmaps,networkpolicies,serviceaccounts,persistentvolumeclaims"
ResultT = TypeVar("ResultT")


@dataclass
class Town:
    """One installation, in a namespace that the tests made."""

    cluster: Cluster
    wanted: Installation
    ready_after: float = 0.0

    def say(self, line: str) -> None:
        """Show progress, where pytest shows it."""
        sys.stderr.write(f"[cluster] {line}\n")

    def name(self, component: str) -> str:
        """The name of a component's objects."""
        return f"{self.wanted.release}-{component}"

    def make_namespace(self) -> None:
        """Make the namespace, marked as one that tests may delete."""
        make_namespace(self.cluster, self.wanted.namespace)
        self.cluster.kubectl("label", "namespace", self.wanted.namespace, f"{TEST_LABEL}=true", "--overwrite")

    def remove_namespace(self) -> None:
        """Delete the namespace with all that is in it; refuses one that the tests did not make."""
        found = json.loads(self.cluster.kubectl("get", "namespaces", "-o", "json"))["items"]
        for item in found:
            if item["metadata"]["name"] == self.wanted.namespace:
                assert TEST_LABEL in item["metadata"]["labels"], (
                    f"namespace {self.wanted.namespace} is not of the tests"
                )
                self.cluster.kubectl("delete", "namespace", self.wanted.namespace, "--timeout=180s", seconds=200)

    def objects(self, kinds: str, component: str = "") -> Objects:
        """Live objects of the release, of one component or of all."""
        selector = instance(self.wanted.release)
        if component:
            selector += f",app.kubernetes.io/component={component}"
        return self.cluster.objects(self.wanted.namespace, kinds, selector)

    def pod(self, component: str) -> dict[str, Any]:
        """The one pod of a component that is not on its way out."""
        pods = [p for p in self.objects("pods", component) if "deletionTimestamp" not in p["metadata"]]
        assert len(pods) == 1, [p["metadata"]["name"] for p in pods]
        return pods[0]

    def upgrade(self, *more: str) -> tuple[int, str]:
        """Run `helm upgrade` with further arguments; returns exit code and output."""
        return helm_upgrade(self.cluster, self.wanted, *more)

    def walk(self) -> tuple[int, str]:
        """Run `helm test`; returns exit code and output."""
        where = ("--namespace", self.wanted.namespace)
        return self.cluster.attempt("test", self.wanted.release, *where, "--logs", "--timeout", "600s", seconds=700)

    def settle(self, seconds: float = 300) -> float:
        """Wait until everything is ready again."""
        return wait_until_ready(self.cluster, self.wanted.namespace, self.wanted.release, seconds, self.say)

    def run(self, component: str, program: str, seconds: float = 60) -> str:
        """Run a Python program in the pod of a component and return what it printed."""
        target = f"pod/{self.pod(component)['metadata']['name']}"
        return self.cluster.exec(self.wanted.namespace, target, "python", "-c", program, seconds=seconds)

    def lykta(self, *arguments: str) -> dict[str, Any]:
        """Run an operator command in the toolbox and return its JSON."""
        command = ["python", "-m", "lykta_standalone", *arguments, "--json"]
        target = f"deploy/{self.name('toolbox')}"
        answer: dict[str, Any] = json.loads(self.cluster.exec(self.wanted.namespace, target, *command))
        return answer

    def state(self) -> dict[str, str]:
        """A digest of what each object asks for and of each Secret: equal as long as nothing was changed."""
        found = {}
        for item in [*self.objects(CHANGEABLE), *self.objects("secrets")]:
            if item["kind"] != "ConfigMap" or "helm.sh/hook" not in item["metadata"].get("annotations", {}):
                asked = [item.get("spec"), item.get("data"), item["metadata"].get("labels")]
                key = f"{item['kind']}/{item['metadata']['name']}"
                found[key] = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return found

    def why(self) -> str:
        """Say what is wrong with pods that do not do their work."""
        return diagnosis(self.cluster, self.wanted.namespace, self.wanted.release)


def eventually(look: Callable[[], ResultT], seconds: float, promise: str) -> ResultT:
    """Look again until there is something; fails with the promise when it does not come in time."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"{promise}: not within {seconds:.0f} s"
        time.sleep(1)
