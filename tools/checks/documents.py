"""Pages stay short and whole: README, Makefile, decisions, one page per service, lock files without addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tools.checks.source import Finding

LIMITS = {"README.md": 200, "Makefile": 120}
DECISION_LINES = 35
DECISION_NAME = re.compile(r"^\d{4}-[a-z0-9-]+\.md$")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
NAMED_PATH = re.compile(r"`([\w.-]+/[\w./-]+)`")
TARGET = re.compile(r"(?m)^([a-z-]+):")
COMMAND = re.compile(r"(?m)(?:^|`)make ([a-z-]+)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def check(root: Path) -> Iterator[Finding]:
    """Every broken rule about pages."""
    for name, limit in LIMITS.items():
        if (root / name).exists() and (count := len((root / name).read_text().splitlines())) > limit:
            yield Finding(name, count, f"{count} lines, at most {limit} are allowed", "Move detail to docs/")
    yield from decisions(root)
    for manifest in sorted(root.glob("services/*/pyproject.toml")):
        if not (manifest.parent / "README.md").exists():
            path = (manifest.parent / "README.md").relative_to(root).as_posix()
            todo = "Write one page: owns, consumes, emits, RPCs, failure table, targets"
            yield Finding(path, 1, "the service has no page", todo)
    for lock in (*root.glob("requirements*.lock"), *root.glob("tools/requirements*.txt")):
        if "://" in lock.read_text():
            path = lock.relative_to(root).as_posix()
            yield Finding(path, 1, "an address stands in a lock file", "Write it again with `make lock`")
    yield from links(root)
    yield from targets(root)


def decisions(root: Path) -> Iterator[Finding]:
    """Decisions: name, length, and the check that enforces each; the numbers run without a hole."""
    numbers = []
    for path in sorted((root / "docs" / "decisions").glob("*.md")):
        text, relative = path.read_text(), path.relative_to(root).as_posix()
        if not DECISION_NAME.match(path.name):
            yield Finding(relative, 1, "not named NNNN-title.md", "Give it the next free number")
            continue
        numbers.append(int(path.name[:4]))
        if (count := len(text.splitlines())) > DECISION_LINES:
            yield Finding(relative, count, f"{count} lines, at most {DECISION_LINES} are allowed", "Say less")
        if "**Check:**" not in text:
            yield Finding(relative, 1, "names no check that enforces it", "Add a line `**Check:** …`")
        for name in NAMED_PATH.findall(text.partition("**Check:**")[2]):
            if not (root / name).exists():
                yield Finding(
                    relative, count, f"its check names {name}, which is not there", "Name what enforces it now"
                )
        if numbers != sorted(set(numbers)):
            yield Finding(relative, 1, "its number is taken", "Give it the next free number")


def links(root: Path) -> Iterator[Finding]:
    """Links between pages that lead nowhere."""
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("services/*/*.md"), *root.glob("libs/*/*.md")]
    for page in sorted(pages):
        text = CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), page.read_text())
        for number, line in enumerate(text.splitlines(), 1):
            for target in LINK.findall(line):
                if not (page.parent / target).exists():
                    path = page.relative_to(root).as_posix()
                    yield Finding(path, number, f"the link to {target} leads nowhere", "Mend the path or take it out")


def targets(root: Path) -> Iterator[Finding]:
    """Commands of the pages that the Makefile does not know."""
    known = set(TARGET.findall((root / "Makefile").read_text())) if (root / "Makefile").exists() else set()
    for page in sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")]):
        for number, line in enumerate(page.read_text().splitlines(), 1):
            for name in COMMAND.findall(line):
                if name not in known:
                    path = page.relative_to(root).as_posix()
                    yield Finding(path, number, f"there is no `make {name}`", "Mend the command, or the Makefile")
