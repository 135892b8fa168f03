"""Writes the Grafana dashboards (operations, coverage, legal) from their tables: `--check` compares only."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from tools.dashboards.coverage import COVERAGE
from tools.dashboards.legal import LEGAL
from tools.dashboards.operations import OPERATIONS
from tools.dashboards.panels import document

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDERS: Final = (ROOT / "deploy" / "grafana", ROOT / "deploy" / "helm" / "lykta" / "files" / "dashboards")
"""For people who import a file, and inside the chart, which can read nothing outside itself."""
DASHBOARDS: Final = (OPERATIONS, COVERAGE, LEGAL)


def outputs() -> dict[Path, str]:
    """Return every generated file with its text."""
    texts = {f"{one.name}.json": json.dumps(document(one), indent=1, ensure_ascii=False) + "\n" for one in DASHBOARDS}
    return {folder / name: text for folder in FOLDERS for name, text in texts.items()}


def main() -> int:
    """Write the dashboards, or with `--check` say which do not fit; 1 when one does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    stale = [path for path, text in outputs().items() if not path.exists() or path.read_text() != text]
    if not check:
        for path, text in outputs().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return 0
    for path in stale:
        print(f"{path.relative_to(ROOT)} does not fit: run python -m tools.generate_dashboards")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
