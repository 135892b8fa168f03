"""Runs all tests in named parts, each within a time limit, and closes with one table and one plain line."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".cache" / "tests"
ORDINARY = "not fault and not foreign"
GRACE_S = 20


@dataclass(frozen=True)
class Part:
    """One part of the tests: what it covers, which files and marker, workers, seconds, and on which servers."""

    name: str
    covers: str
    paths: tuple[str, ...]
    markers: str
    limit_s: int
    workers: int = 0
    servers: tuple[tuple[str, str], ...] = ()
    """Variables of the environment that choose other servers than the embedded ones."""


@dataclass
class Outcome:
    """What became of one part."""

    part: Part
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    note: str = ""


def member_parts() -> Iterable[Part]:
    """One part for the tests of every library and service, described by its own pyproject.toml."""
    for manifest in sorted(ROOT.glob("libs/*/pyproject.toml")) + sorted(ROOT.glob("services/*/pyproject.toml")):
        folder = manifest.parent
        if any((folder / "tests").rglob("test_*.py")):
            covers = tomllib.loads(manifest.read_text())["project"]["description"]
            path = str((folder / "tests").relative_to(ROOT))
            yield Part(folder.name, covers, (path,), ORDINARY, limit_s=300, workers=2)


def suites(folder: str, *names: str) -> tuple[str, ...]:
    """The test files of these names in a folder."""
    return tuple(f"{folder}/tests/test_{name}.py" for name in names)


def server_parts() -> Iterable[Part]:
    """The suites in which the server matters, again on the servers of a cluster."""
    postgresql, minio = ("LYKTA_TEST_DATABASE", "postgresql"), ("LYKTA_TEST_OBJECT_STORE", "minio")
    yield Part(
        "postgresql",
        "rows, outboxes, leases and migrations on a real PostgreSQL",
        (
            *suites("services/access_control", "service", "relay", "store", "isolation", "people", "migrations"),
            *suites("services/storage", "catalogue", "media_keys", "retention", "store", "timeline", "migrations"),
            *suites("services/audit", "writer", "migrations"),
            *suites("services/analytics", "grpc_server", "usecases", "migrations"),
        ),
        ORDINARY,
        300,
        2,
        (postgresql,),
    )
    yield Part(
        "minio",
        "objects, locks, holds and least rights on a real MinIO, rows on PostgreSQL",
        (
            *suites("services/audit", "object_lock", "recovery", "service", "rebuild"),
            *suites("services/storage", "retention", "playback", "sealing"),
            *suites("services/ingest", "recording"),
            *suites("libs/common", "rows_and_objects"),
            *suites("libs/standalone", "cluster_jobs"),
        ),
        "not foreign",
        420,
        2,
        (postgresql, minio),
    )


def parts() -> list[Part]:
    """All parts, in the order they run."""
    folders = (*sorted(ROOT.glob("*/*/tests")), ROOT / "tests" / "integration")
    everything = tuple(str(folder.relative_to(ROOT)) for folder in folders if folder.exists())
    return [
        Part("tools", "the checks, generators and runners of this repository", ("tools/tests",), ORDINARY, 180, 2),
        *member_parts(),
        *server_parts(),
        Part(
            "chart",
            "the chart rendered by the real helm, its alerts and servers; the Tiltfile",
            ("tests/chart", "tests/tilt"),
            ORDINARY,
            300,
            2,
        ),
        Part("flows", "whole ways through the running platform, real servers", ("tests/integration",), ORDINARY, 900),
        Part(
            "faults", "kills, outages, duplicates and poison while it works", everything, "fault and not foreign", 1300
        ),
        Part(
            "foreign",
            "strangers' programs agree with ours (age, ffprobe, GStreamer, tlog)",
            everything,
            "foreign",
            1000,
        ),
    ]


def command(part: Part, report: Path, extra: list[str]) -> list[str]:
    """The pytest command of one part."""
    workers = ["-n", str(part.workers), "--dist", "loadfile"] if part.workers > 1 else []
    options = ["-q", "--no-header", f"--junit-xml={report}", "--durations=3", "--durations-min=5", *workers]
    return [sys.executable, "-m", "pytest", *part.paths, "-m", part.markers, *options, *extra]


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a part that took too long: ask first, so that its servers are stopped, then kill what is left."""
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for left in psutil.wait_procs(started, timeout=1)[1]:
        left.kill()


def count(outcome: Outcome, report: Path) -> None:
    """Read the counts of a part from its JUnit report; a part without a report counts as failed."""
    if not report.exists():
        outcome.failed += 1
        outcome.note = outcome.note or "ended without a report"
        return
    for suite in ET.parse(report).getroot().iter("testsuite"):
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        outcome.failed += failed
        outcome.skipped += skipped
        outcome.passed += int(suite.get("tests", 0)) - failed - skipped


def run(part: Part, limit_s: float, extra: list[str]) -> Outcome:
    """Run one part, showing pytest's own output as it comes."""
    print(f"\n=== {part.name}: {part.covers}\n    (limit {limit_s:.0f} s; {' '.join(part.paths)})", flush=True)
    report = RESULTS / f"{part.name}.xml"
    report.unlink(missing_ok=True)
    outcome, started = Outcome(part), time.monotonic()
    environment = os.environ | dict(part.servers)
    process = subprocess.Popen(command(part, report, extra), cwd=ROOT, env=environment, start_new_session=True)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        stop(process)
        code, outcome.failed, outcome.note = 0, 1, f"ended after its limit of {limit_s:.0f} s"
        print(f"=== {part.name}: FAILED, {outcome.note}", flush=True)
    except KeyboardInterrupt:
        stop(process)
        raise
    outcome.seconds = time.monotonic() - started
    count(outcome, report)
    if code == 5:
        outcome.note = "no tests"
    if code not in (0, 5) and not outcome.failed:
        outcome.failed, outcome.note = 1, f"pytest ended with code {code}"
    return outcome


def summary(outcomes: list[Outcome]) -> str:
    """The closing table and the plain line with the totals."""
    rows = [f"{'part':<16}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}"]
    for o in outcomes:
        note = f"  {o.note}" if o.note else ""
        rows.append(f"{o.part.name:<16}{o.passed:>8}{o.failed:>8}{o.skipped:>9}{o.seconds:>9.0f}{note}")
    passed, failed, skipped = (sum(getattr(o, field) for o in outcomes) for field in ("passed", "failed", "skipped"))
    return "\n".join(["", *rows, f"{passed} passed, {failed} failed, {skipped} skipped"])


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen parts; the exit code is 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="append", help="run only this part (may be repeated)")
    parser.add_argument("--list", action="store_true", help="say the parts and what they cover, run nothing")
    parser.add_argument("--total", type=float, default=2600, help="seconds for all parts together")
    parser.add_argument("extra", nargs="*", help="further arguments for pytest, after --")
    options = parser.parse_args(arguments)
    known = {part.name: part for part in parts()}
    if unknown := set(options.part or ()) - set(known):
        parser.error(f"no part named {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    chosen = [known[name] for name in options.part or known]
    if options.list:
        print("\n".join(f"{part.name:<16}{part.covers}" for part in chosen))
        return 0
    RESULTS.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + options.total
    outcomes = []
    for part in chosen:
        left = deadline - time.monotonic()
        if left < 1:
            outcomes.append(Outcome(part, failed=1, note="not run: the time for all parts was used up"))
        else:
            outcomes.append(run(part, min(part.limit_s, left), options.extra))
    print(summary(outcomes), flush=True)
    return int(any(o.failed for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
