"""The part of Tilt's documented API that the Tiltfile uses, recorded instead of done: https://docs.tilt.dev/api.html."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import starlark
import yaml

ROOT = Path(__file__).resolve().parents[2]
TILTFILE = ROOT / "Tiltfile"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod")
COMMAND_S = 300

PRELUDE = """
os = struct(getenv = getenv)
naming = []

def workload_to_resource_function(fn):
    naming.append(fn)

def name_workload(name, kind, namespace):
    return naming[0](struct(name = name, kind = kind, namespace = namespace)) if naming else name
"""

Record = dict[str, Any]


class RefusedError(Exception):
    """What the Tiltfile says when it ends by `fail`."""


@cache
def run(command: tuple[str, ...]) -> str:
    """Run a command of the Tiltfile from the repository's root, once, and return what it prints."""
    arguments = [sys.executable if word == "python3" else word for word in command]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


@dataclass
class Tilt:
    """What one evaluation of a Tiltfile asked Tilt for; method names and parameters are those of Tilt."""

    context: str
    environment: Mapping[str, str]
    images: dict[str, Record] = field(default_factory=dict)
    objects: list[Record] = field(default_factory=list)
    resources: dict[str, Record] = field(default_factory=dict)
    checks: dict[str, Record] = field(default_factory=dict)
    allowed: list[str] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)
    workloads: dict[str, Record] = field(default_factory=dict)
    refusal: str = ""

    def getenv(self, key: str, default: str | None = None) -> str | None:
        """Answer from the given environment alone."""
        return self.environment.get(key, default)

    def k8s_context(self) -> str:
        """Answer with the given context."""
        return self.context

    def allow_k8s_contexts(self, contexts: str | list[str]) -> None:
        """Keep what is allowed beside the local clusters that Tilt knows."""
        self.allowed += [contexts] if isinstance(contexts, str) else contexts

    def fail(self, msg: str) -> None:
        """End the evaluation."""
        self.refusal = msg
        raise RefusedError(msg)

    def local(self, command: list[str], quiet: bool = False, echo_off: bool = False) -> str:
        """Really run it: the Tiltfile asks only the repository and helm."""
        self.commands.append(command)
        return run(tuple(command))

    def watch_file(self, file_path: str) -> None:
        """Keep what makes Tilt evaluate the file again."""
        self.watched.append(file_path)

    def read_yaml(self, path: str) -> Any:
        """Read a file of the repository."""
        return yaml.safe_load((ROOT / path).read_text())

    def encode_yaml(self, obj: Any) -> str:
        """Write YAML."""
        return yaml.safe_dump(obj)

    def filter_yaml(self, yaml: str, name: str = "") -> list[str]:
        """Part objects by name, as Tilt does: a regular expression, found anywhere, whatever the case."""
        matching, rest = [], []
        for item in loaded(yaml):
            (matching if re.search(name, item["metadata"]["name"], re.IGNORECASE) else rest).append(item)
        return [dumped(matching), dumped(rest)]

    def k8s_yaml(self, yaml: str, allow_duplicates: bool = False) -> None:
        """Keep the objects; the same one twice is an error."""
        for item in loaded(yaml):
            key = (item["kind"], item["metadata"]["name"])
            if key in {(other["kind"], other["metadata"]["name"]) for other in self.objects}:
                raise ValueError(f"{key} is there twice")
            self.objects.append(item)

    def sync(self, local_path: str, remote_path: str) -> Record:
        """A step of a live update."""
        return {"sync": local_path, "to": remote_path}

    def run(self, cmd: str, trigger: Sequence[str] = (), echo_off: bool = False) -> Record:
        """A step of a live update."""
        return {"run": cmd}

    def docker_build(
        self, ref: str, context: str, *, build_args: Mapping[str, str] | None = None, dockerfile: str = "Dockerfile",
        live_update: Sequence[Record] = (), ignore: Sequence[str] = (), only: Sequence[str] = (), target: str = "",
    ) -> None:  # fmt: skip
        """Keep how an image is made; twice the same is an error."""
        if ref in self.images:
            raise ValueError(f"{ref} is built twice")
        self.images[ref] = {
            "context": context, "dockerfile": dockerfile, "only": only, "target": target, "ignore": ignore,
            "build_args": dict(build_args or {}), "live_update": list(live_update),
        }  # fmt: skip

    def port_forward(
        self, local_port: int, container_port: int = 0, name: str = "", link_path: str = "", host: str = ""
    ) -> Record:
        """A port of the developer's machine."""
        return {"local": local_port, "container": container_port, "name": name, "path": link_path}

    def k8s_resource(
        self, workload: str, port_forwards: Sequence[Record] = (), trigger_mode: str = "auto",
        resource_deps: Sequence[str] = (), auto_init: bool = True, labels: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Keep how a workload is shown and when it is applied."""
        if workload in self.resources:
            raise ValueError(f"{workload} is described twice")
        self.resources[workload] = {
            "forwards": list(port_forwards), "trigger": trigger_mode, "waits_for": list(resource_deps),
            "starts": auto_init, "labels": list(labels),
        }  # fmt: skip

    def local_resource(
        self, name: str, cmd: str, trigger_mode: str = "auto", auto_init: bool = True, labels: Sequence[str] = ()
    ) -> None:
        """Keep a command of the developer's machine."""
        self.checks[name] = {"command": cmd, "trigger": trigger_mode, "starts": auto_init, "labels": list(labels)}


API = (
    "getenv", "k8s_context", "allow_k8s_contexts", "fail", "local", "watch_file", "read_yaml", "encode_yaml",
    "filter_yaml", "k8s_yaml", "sync", "run", "docker_build", "port_forward", "k8s_resource", "local_resource",
)  # fmt: skip


def evaluate(text: str, context: str = "kind-lykta", environment: Mapping[str, str] | None = None) -> Tilt:
    """Evaluate a Tiltfile; raises RefusedError with the message of its `fail`, StarlarkError for what it does wrong."""
    tilt = Tilt(context, environment or {})
    module = starlark.Module()
    for name in API:
        module.add_callable(name, getattr(tilt, name))
    module["TRIGGER_MODE_AUTO"], module["TRIGGER_MODE_MANUAL"] = "auto", "manual"
    dialect = starlark.Dialect.standard()
    dialect.enable_top_level_stmt = True  # as in Tilt; f-strings are not there
    known = starlark.Globals.extended_by([starlark.LibraryExtension.StructType])
    starlark.eval(module, starlark.parse("prelude", PRELUDE, dialect), known)
    try:
        starlark.eval(module, starlark.parse("Tiltfile", text, dialect), known)
    except starlark.StarlarkError as error:
        if tilt.refusal:
            raise RefusedError(tilt.refusal) from error
        raise
    frozen = module.freeze()
    for item in tilt.objects:
        if item["kind"] in WORKLOADS:
            place = item["metadata"]
            name = str(frozen.call("name_workload", place["name"], item["kind"], place["namespace"]))
            if name in tilt.workloads:
                raise ValueError(f"two workloads are called {name}")
            tilt.workloads[name] = item
    return tilt


def loaded(text: str) -> list[Record]:
    """Every object of a YAML stream."""
    return [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]


def dumped(objects: list[Record]) -> str:
    """Objects as a YAML stream."""
    return yaml.dump_all(objects, Dumper=yaml.CSafeDumper)


def pod(workload: Record) -> Record:
    """The pod's spec of a workload."""
    spec: Record = workload["spec"] if workload["kind"] == "Pod" else workload["spec"]["template"]["spec"]
    return spec
