"""Panels, dashboards, the selectors of their queries, and the JSON that Grafana reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS: Final = 24


@dataclass(frozen=True)
class Panel:
    """One panel: `queries` are pairs of expression and legend; `good` and `bad` are limits of a single value."""

    title: str
    description: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    bad_above: float | None = None
    bad_below: float | None = None


@dataclass(frozen=True)
class Dashboard:
    """One dashboard: rows of panels under a heading each."""

    name: str
    title: str
    description: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]


def metric(name: str, **labels: str) -> str:
    """Return the selector of a metric in the chosen namespaces."""
    matchers = ['namespace=~"$namespace"', *(f'{key}="{value}"' for key, value in labels.items())]
    return f"lykta_{name}{{{','.join(matchers)}}}"


def every(pattern: str) -> str:
    """Return the selector of the same metric of every service."""
    return f'{{__name__=~"lykta_.+_{pattern}",namespace=~"$namespace"}}'


def rate(name: str, **labels: str) -> str:
    """Return the rate of a counter, a second."""
    return f"rate({metric(name, **labels)}[$__rate_interval])"


def quantile(share: float, name: str) -> str:
    """Return a quantile of a histogram of all processes."""
    return f"histogram_quantile({share}, sum by (le) ({rate(name + '_bucket')}))"


def latency(title: str, description: str, name: str) -> Panel:
    """Return a panel with the median and the 99th percentile of a histogram."""
    queries = ((quantile(0.5, name), "p50"), (quantile(0.99, name), "p99"))
    return Panel(title, description, queries, unit="s")


def coverage(balance: str) -> str:
    """Return the seconds of the last hour in a balance, by controller, whichever process looked."""
    return f"max by (controller) ({metric('storage_coverage_seconds', balance=balance)})"


def document(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    return {
        "uid": f"lykta-{dashboard.name}",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["lykta"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["lykta"], "title": "Lykta", "asDropdown": False, "keepTime": True}],
        "panels": _panels(dashboard.rows),
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {
            "name": "namespace",
            "type": "query",
            "label": "Namespace",
            "datasource": DATASOURCE,
            "query": {"query": "label_values(lykta_storage_ready, namespace)", "refId": "namespace"},
            "refresh": 2,
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _panels(rows: Sequence[tuple[str, Sequence[Panel]]]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    y = 0
    for heading, panels in rows:
        grid = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        made.append(
            {"id": len(made) + 1, "type": "row", "title": heading, "collapsed": False, "gridPos": grid, "panels": []}
        )
        x, y = 0, y + 1
        for panel in panels:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + 8
            made.append(_panel(panel, len(made) + 1, {"x": x, "y": y, "w": panel.width, "h": 8}))
            x += panel.width
        y += 8
    return made


def _panel(panel: Panel, number: int, grid: dict[str, int]) -> dict[str, Any]:
    stat = panel.kind == "stat"
    options: dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "auto"}
    if not stat:
        options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": grid,
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
            for place, (expr, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": None if stat else 0, "thresholds": _thresholds(panel)},
            "overrides": [],
        },
        "options": options,
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_above is not None:
        steps.append({"color": "red", "value": panel.bad_above})
    if panel.bad_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.bad_below}]
    return {"mode": "absolute", "steps": steps}
