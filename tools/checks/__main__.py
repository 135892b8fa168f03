"""Runs all house checks over the repository: `python -m tools.checks`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tools.checks import boundaries, budgets, documents, imports, logs, promises, words
from tools.checks.source import Finding, python_files

ROOT = Path(__file__).resolve().parent.parent.parent
PER_FILE = (budgets.check, boundaries.check, imports.check, logs.check, promises.check)
PER_TREE = (imports.check_domains, words.check, documents.check)


def findings(root: Path) -> Iterator[Finding]:
    """Every finding of every check, file by file."""
    for source in python_files(root):
        for check in PER_FILE:
            yield from check(source)
    for tree_check in PER_TREE:
        yield from tree_check(root)


def main() -> int:
    """Print what is broken; the exit code is 1 when anything is."""
    broken = sorted(findings(ROOT))
    for finding in broken:
        print(finding)
    print(f"house: {len(broken)} broken" if broken else "house: all rules hold")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
