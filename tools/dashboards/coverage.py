"""Recording coverage: what became of every second that a mandate asked for."""

from __future__ import annotations

from typing import Final

from tools.dashboards.panels import Dashboard, Panel, coverage, metric, rate

_DUE: Final = f"max by (controller, camera) ({metric('ingest_camera_due')})"
_RECORDED: Final = f"max by (controller, camera) ({metric('ingest_camera_recording')})"
_SETTLED: Final = f"({coverage('scheduled')} - {coverage('pending')})"

COVERAGE: Final = Dashboard(
    "coverage",
    "Lykta: recording coverage",
    "Every second that a mandate asked for is recorded, explained, or somebody's task",
    (
        (
            "The last hour",
            (
                Panel(
                    "Recorded",
                    "Share of the time that mandates asked for; the last minute does not count",
                    ((f"{coverage('recorded')} / {_SETTLED}", "{{controller}}"),),
                    unit="percentunit",
                    kind="stat",
                    bad_below=0.99,
                ),
                Panel(
                    "Unexplained",
                    "Neither recorded nor declared as a gap; must be nothing",
                    ((coverage("unexplained"), "{{controller}}"),),
                    unit="s",
                    kind="stat",
                    bad_above=1,
                ),
                Panel(
                    "Cameras lost",
                    "Cameras that should be recorded now and are not",
                    ((f"count({_DUE} == 1 unless {_RECORDED} == 1) or vector(0)", "cameras"),),
                    kind="stat",
                    bad_above=1,
                ),
                Panel(
                    "Balance",
                    "Of all cameras, by what became of the time",
                    (
                        (
                            f"max by (controller, balance) ({metric('storage_coverage_seconds')})",
                            "{{controller}} {{balance}}",
                        ),
                    ),
                    unit="s",
                    width=24,
                ),
            ),
        ),
        (
            "Cameras",
            (
                Panel(
                    "What recorders do",
                    "Cameras by state, all recorders",
                    ((f"sum by (state) ({metric('ingest_sessions')})", "{{state}}"),),
                    width=12,
                ),
                Panel(
                    "Not recorded though due",
                    "By camera",
                    ((f"{_DUE} == 1 unless {_RECORDED} == 1", "{{controller}} {{camera}}"),),
                    width=12,
                ),
                Panel(
                    "Gaps declared",
                    "Seconds of the last hour, by cause",
                    (
                        (
                            f"sum by (controller, cause) (increase({metric('ingest_gap_seconds_total')}[1h]))",
                            "{{controller}} {{cause}}",
                        ),
                    ),
                    unit="s",
                    width=12,
                ),
                Panel(
                    "Fragments",
                    "Made durable, a second",
                    ((f"sum by (pod) ({rate('ingest_fragments_total')})", "{{pod}}"),),
                    unit="ops",
                    width=12,
                ),
            ),
        ),
    ),
)
