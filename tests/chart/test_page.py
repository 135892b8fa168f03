"""The chart's page: what it tells others to bring and to type is what the code and the chart have."""

from __future__ import annotations

import re

import pytest
import yaml
from lykta_contracts.permissions import all_permissions
from lykta_standalone.cluster import table

from tests.chart.conftest import CHART, PROFILES, of_kind, rendered

PAGE = (CHART / "README.md").read_text()


def test_it_names_what_external_servers_must_have() -> None:
    """Every NATS user, every account with its rights and every database of the code stands on the page."""
    section = PAGE.partition("## External servers")[2].partition("## Values")[0]
    for user in all_permissions():
        assert f"`{user.user}`" in section
    for account, (_, on_bucket, on_objects) in table.S3_ACTIONS.items():
        row = next(line for line in section.splitlines() if line.startswith(f"| `{account}.json`"))
        assert set(re.findall(r"`(s3:\w+)`", row)) == {*on_bucket, *on_objects}
    for database in table.DATABASES:
        assert f"`{database}`" in section


@pytest.mark.parametrize("profile", PROFILES)
def test_each_values_file_is_explained(profile: str) -> None:
    """The page says what each values file is for, and the file begins with the same."""
    assert f"| `ci/{profile}-values.yaml` |" in PAGE
    assert (CHART / "ci" / f"{profile}-values.yaml").read_text().startswith("# ")


@pytest.mark.parametrize("profile", ["production", "external"])
def test_needed_operators_are_named(profile: str) -> None:
    """Kinds that a values file needs of the cluster belong to operators that its row names."""
    operators = {"cert-manager.io": "cert-manager", "keda.sh": "KEDA", "monitoring.coreos.com": "prometheus-operator"}
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `ci/{profile}-values.yaml`"))
    groups = {item["apiVersion"].partition("/")[0] for item in yaml.safe_load_all(rendered(profile)[1]) if item}
    assert {operators[group] for group in groups & operators.keys()} == {o for o in operators.values() if o in row}


def test_paths_and_jobs_on_it_exist() -> None:
    """Every file that the page names is in the chart, and every job is one that the evaluation makes."""
    for path in re.findall(r"`((?:ci|templates|files)/[\w./-]+)`", PAGE):
        assert (CHART / path).exists(), path
    jobs = of_kind([item for item in yaml.safe_load_all(rendered("evaluation")[1]) if item], "Job")
    for name in re.findall(r"(?m)^\d\. `([a-z]+)`", PAGE):
        assert any(job.startswith(f"demo-{name}") for job in jobs), name
