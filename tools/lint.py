"""Runs every static check by name: `make lint`; goes on after a failure, and says at the end what failed."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
TIMEOUT_S = 600


@dataclass(frozen=True)
class Check:
    """One static check: its name, what it makes sure of, and its command."""

    name: str
    ensures: str
    command: tuple[str, ...]


def sources() -> list[str]:
    """The source folders of all members, relative to the root."""
    return sorted(str(p.relative_to(ROOT)) for folder in ("libs", "services") for p in (ROOT / folder).glob("*/src"))


def checks() -> list[Check]:
    """All checks, the quick ones first."""
    module = (str(BIN / "python"), "-m")
    return [
        Check("format", "one layout of code", (str(BIN / "ruff"), "format", "--check", "-q", ".")),
        Check("rules", "ruff's rules, docstrings included", (str(BIN / "ruff"), "check", "-q", ".")),
        Check("house", "budgets, names, words, boundaries (tools/checks)", (*module, "tools.checks")),
        Check("imports", "who may import whom (import-linter)", (str(BIN / "lint-imports"), "--no-cache")),
        Check("buf", "protobuf style and comments", (str(BIN / "buf"), "lint")),
        Check("proto", "generated gRPC code fits proto/", (*module, "tools.generate_proto", "--check")),
        Check("schemas", "event schemas and docs/asyncapi.yaml fit", (*module, "tools.generate_schemas", "--check")),
        Check("docs", "docs/config.md fits the settings", (*module, "tools.generate_config_docs", "--check")),
        Check("chart", "the chart's table, schema and README fit", (*module, "tools.generate_chart", "--check")),
        Check("dashboards", "Grafana dashboards fit their tables", (*module, "tools.generate_dashboards", "--check")),
        Check("types", "mypy --strict", (*module, "mypy", *sources(), "tools")),
    ]


def run(check: Check) -> bool:
    """Run one check, show its output only when it fails, and answer whether it passed."""
    print(f"[lint] {check.name:<8} {check.ensures} … ", end="", flush=True)
    started = time.monotonic()
    try:
        done = subprocess.run(check.command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
        passed, output = done.returncode == 0, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        passed, output = False, f"ended after {TIMEOUT_S} s: too slow, or it hangs\n"
    print(f"{'ok' if passed else 'FAILED'} ({time.monotonic() - started:.1f} s)", flush=True)
    if not passed:
        print(output.rstrip(), flush=True)
    return passed


def main() -> int:
    """Run the checks (or the one named with `--only`); the exit code is the number that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="run one check by its name", choices=[check.name for check in checks()])
    only = parser.parse_args().only
    chosen = [check for check in checks() if only in (None, check.name)]
    failed = [check.name for check in chosen if not run(check)]
    print(
        f"[lint] {len(chosen) - len(failed)} passed, {len(failed)} failed{': ' + ', '.join(failed) if failed else ''}"
    )
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
