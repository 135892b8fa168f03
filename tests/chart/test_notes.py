"""NOTES, as helm prints them after an install: what they tell people to type and to keep is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from typing import Any

import pytest
from lykta_standalone.cluster.plan import PreparePlan

from tests.chart.conftest import CHART, NAMESPACE, PROFILES, RELEASE, objects_of, of_kind, pod_specs
from tools import chart_values
from tools.helm import find_helm


@cache
def notes(profile: str, overrides: str = "{}") -> str:
    """What helm prints at an installation that changes nothing."""
    command = [find_helm(), "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--dry-run=client"]
    command += ["--values", str(CHART / "ci" / f"{profile}-values.yaml"), "--values", "-"]
    nowhere = os.environ | {"KUBECONFIG": os.devnull}
    done = subprocess.run(
        command, input=overrides, capture_output=True, text=True, timeout=120, check=False, env=nowhere
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:\n")[2]


@pytest.mark.parametrize("profile", PROFILES)
def test_pods_to_wait_for_are_there(profile: str) -> None:
    """The pods that one waits for are those that stay; jobs, which end, are left out of the selector."""
    selector = re.search(r"pod -l (\S+)", notes(profile))
    assert selector is not None
    terms = selector[1].split(",")
    for _, metadata, spec in pod_specs(objects_of(profile)):
        labels = metadata["labels"]
        taken = all(
            labels[key.rstrip("!")] != value if key.endswith("!") else labels[key] == value
            for key, _, value in (term.partition("=") for term in terms)
        )
        hook = labels["app.kubernetes.io/component"] in ("prepare", "cleanup")  # gone when the install is done
        assert taken is ("restartPolicy" not in spec) or hook


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_named_exists(profile: str) -> None:
    """Every Deployment, job and Secret in a command or a sentence is one that the chart or its prepare job makes."""
    text, objects = notes(profile), objects_of(profile)
    for deployment in re.findall(r"deploy/(\S+)", text):
        assert deployment in of_kind(objects, "Deployment")
    for job in re.findall(r"by the job (\S+);", text):
        assert job in of_kind(objects, "Job")
    plan = PreparePlan.model_validate_json(of_kind(objects, "ConfigMap")["demo-prepare"]["data"]["plan.json"])
    secrets = {plan.signing_keys.secret, plan.signing_keys.public_secret, plan.controller_keys.secret}
    secrets |= {entry.secret for entry in plan.required}
    secrets |= {plan.authority.secret} if plan.certificates else set()
    secrets |= {item["spec"]["secretName"] for item in of_kind(objects, "Certificate").values()}
    kept = re.search(r"Back up the Secrets (.+): without", text)
    named = {*re.findall(r"get secret (\S+)", text), *(kept[1].split(", ") if kept else ())}
    assert named <= secrets
    assert bool(named) is (profile != "evaluation")


def test_every_key_that_is_asked_for_exists() -> None:
    """A key that a note asks for is one of the values."""
    values: dict[str, Any] = {"keys": {"controllers": [], "existingKekSecret": ""}}
    values |= {"ingest": {"cameras": {"allow": []}}, "identity": {"platformOperators": []}}
    values |= {"networkPolicy": {"enabled": False}, "objectStore": {"external": {"enabled": False}}}
    values |= {"database": {"external": {"enabled": False}}}
    text = notes("production", json.dumps(values))
    known = {key.name for key in chart_values.leaves(chart_values.read((CHART / "values.yaml").read_text()))}
    asked = set(re.findall(r"([a-zA-Z]+(?:\.[a-zA-Z]+)+)(?= is (?:empty|false))", text))
    assert asked == {"keys.controllers", "ingest.cameras.allow", "identity.platformOperators", "networkPolicy.enabled"}
    assert asked <= known
    assert [int(number) for number in re.findall(r"(?m)^  (\d)\. ", text)] == [1, 2, 3, 4, 5]
    assert text.count("WARNING: ") == 3


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_is_asked_for_that_was_given(profile: str) -> None:
    """The values files warn of nothing, and their steps are numbered without a hole."""
    text = notes(profile)
    assert "WARNING" not in text
    numbers = [int(number) for number in re.findall(r"(?m)^  (\d)\. ", text)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert ("DEVELOPMENT ONLY" in text) is (profile == "evaluation")
