"""Reads the repository's Python files once and hands them to the checks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FOLDERS = ("libs", "services", "tests", "tools", "bench", "examples")
GENERATED = "libs/contracts/src/lykta/"
IGNORED = {".venv", "__pycache__", "build", "dist", "node_modules", ".cache", ".state"}


@dataclass(frozen=True, order=True)
class Finding:
    """One broken rule: where, what, and what to do."""

    path: str
    line: int
    what: str
    todo: str

    def __str__(self) -> str:
        """The finding as an editor can jump to it."""
        return f"{self.path}:{self.line}: {self.what}. {self.todo}."


@dataclass(frozen=True)
class Source:
    """One Python file: its path relative to the root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file; raises SyntaxError with the file's name."""
        return ast.parse(self.text, filename=self.path)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the file, without their ends."""
        return self.text.splitlines()

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders and the file name, as a tuple."""
        return tuple(self.path.split("/"))

    @property
    def is_shipped(self) -> bool:
        """Whether the file is part of a member's package and not of its tests."""
        return "src" in self.parts[:3] and self.parts[0] in ("libs", "services") and self.parts[1] != "testing"

    @property
    def package(self) -> str:
        """The member's import name, or nothing for a file outside a member's package."""
        return self.parts[3] if len(self.parts) > 4 and self.parts[2] == "src" else ""

    @property
    def room(self) -> str:
        """The module or first sub-package inside the member: `store` for `store.py` and for `store/rows.py`."""
        return self.parts[4].removesuffix(".py") if self.package else ""


def python_files(root: Path) -> Iterator[Source]:
    """Every Python file written by hand."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            relative = path.relative_to(root).as_posix()
            if not relative.startswith(GENERATED) and not IGNORED & set(path.relative_to(root).parts):
                yield Source(relative, path.read_text(encoding="utf-8"))


def imported(node: ast.AST) -> list[str]:
    """The dotted names an import statement brings in; relative imports bring none."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module]
    return []
