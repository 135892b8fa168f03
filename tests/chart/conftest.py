"""Fixtures of the chart tests: the chart rendered by the real helm, once for each values file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.helm import find_helm

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "lykta"
PROFILES = ("evaluation", "production", "external")
NAMESPACE = "town"
RELEASE = "demo"

Objects = list[dict[str, Any]]


@cache
def rendered(profile: str, overrides: str = "{}") -> tuple[int, str, str]:
    """Render the chart with a values file and overrides (JSON); returns exit code, output and complaint."""
    command = [find_helm(), "template", RELEASE, str(CHART), "--namespace", NAMESPACE]
    command += ["--values", str(CHART / "ci" / f"{profile}-values.yaml")] if profile else []
    command += ["--values", "-"]  # the overrides come last, so that they win
    done = subprocess.run(command, input=overrides, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def objects_of(profile: str, overrides: dict[str, Any] | None = None) -> Objects:
    """Return every object of a rendering; fails with helm's complaint."""
    code, output, complaint = rendered(profile, json.dumps(overrides or {}))
    assert code == 0, complaint
    return [item for item in yaml.load_all(output, Loader=yaml.CSafeLoader) if item]


def refusal_of(profile: str, overrides: dict[str, Any]) -> str:
    """Return helm's complaint about values that must be refused."""
    code, _, complaint = rendered(profile, json.dumps(overrides))
    assert code != 0, "helm took values that must be refused"
    return complaint


@pytest.fixture(scope="session", params=PROFILES)
def objects(request: pytest.FixtureRequest) -> Objects:
    """Every object of the chart, for each values file in turn."""
    return objects_of(request.param)


@pytest.fixture
def render() -> Callable[..., Objects]:
    """Render with a values file and overrides."""
    return objects_of


@pytest.fixture
def refused() -> Callable[[str, dict[str, Any]], str]:
    """Render values that must be refused, and return the complaint."""
    return refusal_of


def pod_specs(objects: Objects) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return name, metadata and spec of every pod that the objects make."""
    found = []
    for item in objects:
        name = f"{item['kind']}/{item['metadata']['name']}"
        if item["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = item["spec"]["template"]
            found.append((name, template["metadata"], template["spec"]))
        elif item["kind"] == "Pod":
            found.append((name, item["metadata"], item["spec"]))
    return found


def of_kind(objects: Objects, *kinds: str) -> dict[str, dict[str, Any]]:
    """Return objects of these kinds by name."""
    return {item["metadata"]["name"]: item for item in objects if item["kind"] in kinds}
