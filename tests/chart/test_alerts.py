"""Alert rules, judged by Prometheus' own tool; dashboards; and that both name metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import generate_dashboards
from tools.metric_names import DECLARATIONS, exported, known, labels

from .alert_cases import CASES, Case

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "helm" / "lykta" / "files" / "alerts" / "platform.yaml"


def rules() -> list[dict[str, Any]]:
    """Every rule of the file."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboards() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every dashboard as committed, by name."""
    for path in sorted((ROOT / "deploy" / "grafana").glob("*.json")):
        yield path.stem, json.loads(path.read_text())


def panel_expressions() -> list[str]:
    """Every query of every panel, with Grafana's variables filled in."""
    found = [
        target["expr"]
        for _, dashboard in dashboards()
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    return [one.replace("$namespace", ".*").replace("$__rate_interval", "5m") for one in found]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool; skips where Prometheus is not installed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is missing; Debian has it in the package prometheus")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


def missing(expression: str) -> list[str]:
    """Return what an expression asks for and no service exports; a pattern must fit metrics of several services."""
    patterns = re.findall(r'__name__=~"([^"]+)"', expression)
    plain = re.sub(r'__name__=~"[^"]+"', "", expression)
    absent = [name for name in re.findall(r"\blykta_[a-z_]+", plain) if name not in known()]
    for pattern in patterns:
        fitting = [s for s in DECLARATIONS if any(re.fullmatch(pattern, name) for name in exported(s))]
        absent += [pattern] if len(fitting) < 4 else []
    return absent


def test_the_rules_are_well_formed() -> None:
    """Prometheus reads the file, expressions and texts included."""
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_says_what_to_do() -> None:
    """Each has a severity, a summary, an action and a runbook that is there and is about it."""
    for rule in rules():
        texts = rule["annotations"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert set(texts) == {"summary", "action", "runbook_url"}
        assert f"Alert `{rule['alert']}`" in (ROOT / texts["runbook_url"]).read_text()


def test_every_runbook_belongs_to_a_rule() -> None:
    """No page of an alert outlives its rule."""
    pages = {page.name for page in (ROOT / "docs" / "runbooks").glob("*.md") if "Alert `" in page.read_text()}
    assert pages == {Path(rule["annotations"]["runbook_url"]).name for rule in rules()}


def test_every_rule_has_cases_for_and_against_it() -> None:
    """No alert, in none of its severities, is without series that make it fire and series that do not."""
    for rule in rules():
        mine = [case for case in CASES if case.alert == rule["alert"]]
        severity = rule["labels"]["severity"]
        several = sum(one["alert"] == rule["alert"] for one in rules()) > 1
        assert any(case.firing and (case.severity == severity or not several) for case in mine), rule
        assert any(not case.firing for case in mine), rule


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """Prometheus evaluates all rules over the series of every case."""
    path = tmp_path / "cases.yaml"
    tests = [unit_test(case) for case in CASES]
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def unit_test(case: Case) -> dict[str, Any]:
    """Return a case as promtool's unit test; the count is of firing alerts."""
    severity = f',severity="{case.severity}"' if case.severity else ""
    return {
        "name": f"{case.alert}: {case.says}",
        "interval": "1m",
        "input_series": [{"series": name, "values": value} for name, value in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"{severity}}}) or vector(0)',
                "eval_time": f"{case.at}m",
                "exp_samples": [{"labels": "{}", "value": case.firing}],
            }
        ],
    }


def test_rules_and_dashboards_name_metrics_that_exist() -> None:
    """Every metric that an alert or a panel asks for is declared by a service's telemetry module."""
    for expression in (*(rule["expr"] for rule in rules()), *panel_expressions()):
        assert missing(expression) == [], expression


def test_a_metric_that_nobody_exports_is_found() -> None:
    """The check above does find a wrong name and a pattern that fits nothing."""
    assert missing("rate(lykta_ingest_fragment_total[5m])") == ["lykta_ingest_fragment_total"]
    assert missing('{__name__=~"lykta_.+_outbox_waiting"} > 0') == ["lykta_.+_outbox_waiting"]


def test_names_are_of_their_service_and_labels_of_no_person() -> None:
    """A service exports under its own name, and no label can hold a person, a case or a grant."""
    allowed = {"controller", "camera", "state", "cause", "reason", "durable", "check", "balance"}
    allowed |= {"category", "lifecycle", "allowed"}
    for service in DECLARATIONS:
        for name, used in labels(service).items():
            assert name.startswith(f"lykta_{service.replace('-', '_')}_")
            assert used <= allowed, name


def test_the_dashboards_are_the_generated_ones() -> None:
    """What is committed, in both folders, is what the tables give."""
    stale = [str(path) for path, text in generate_dashboards.outputs().items() if path.read_text() != text]
    assert stale == []


def test_every_query_of_a_panel_is_valid(tmp_path: Path) -> None:
    """Prometheus reads every query."""
    path = tmp_path / "queries.yaml"
    recorded = [{"record": f"panel:{place}", "expr": one} for place, one in enumerate(panel_expressions())]
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_do_not_overlap_and_say_what_they_show() -> None:
    """Every panel has its own place inside the grid, its own id, a unit and a description."""
    for name, dashboard in dashboards():
        taken: set[tuple[int, int]] = set()
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids)), name
        assert dashboard["uid"] == f"lykta-{name}"
        for panel in dashboard["panels"]:
            grid = panel["gridPos"]
            area = {
                (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
            }
            assert not taken & area, panel["title"]
            assert grid["x"] + grid["w"] <= 24, panel["title"]
            taken |= area
            assert panel["type"] == "row" or (panel["description"] and panel["fieldConfig"]["defaults"]["unit"])
