"""Words that would show a thing in the wrong room: nouns in libs/common, deployment words in services."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tools.checks.source import IGNORED, Finding

RULES = (
    (
        ("libs/common/src",),
        re.compile(r"camera|segment|incident|mandate|footage", re.IGNORECASE),
        "libs/common is mechanism without nouns: pass it in, or move it to contracts or a service",
    ),
    (
        ("services",),
        re.compile(r"standalone|embedded", re.IGNORECASE),
        "A service cannot know how it is deployed: make it a setting named after what it does",
    ),
)
SUFFIXES = {".py", ".md", ".toml", ".cedar", ".cedarschema", ".sql", ".json", ".yaml"}


def check(root: Path) -> Iterator[Finding]:
    """Every forbidden word in the folders it is forbidden in."""
    for folders, words, todo in RULES:
        for path in sorted(path for folder in folders for path in (root / folder).rglob("*")):
            relative = path.relative_to(root)
            if path.is_file() and path.suffix in SUFFIXES and not IGNORED & set(relative.parts):
                yield from lines(relative.as_posix(), path.read_text(encoding="utf-8"), words, todo)


def lines(path: str, text: str, words: re.Pattern[str], todo: str) -> Iterator[Finding]:
    """Every line of one file with a forbidden word."""
    for number, line in enumerate(text.splitlines(), 1):
        if hit := words.search(line):
            yield Finding(path, number, f"the word {hit.group()!r} may not occur here", todo)
