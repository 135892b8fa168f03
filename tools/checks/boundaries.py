"""What shipped code must not do: assert, sleep a thread, swallow every exception, leave work undone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TypeGuard

from tools.checks.source import Finding, Source

WIDE = {"Exception", "BaseException"}
MARK = "# boundary:"
UNDONE = re.compile(r"#.*\b(TODO|FIXME|XXX)\b")


def check(source: Source) -> Iterator[Finding]:
    """Every forbidden construct in one shipped file; wide handlers are looked for in every file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            yield from handler(source, node)
        elif source.is_shipped:
            yield from shipped(source, node)
    for number, line in enumerate(source.lines, 1):
        if UNDONE.search(line) and not source.path.startswith("tools/"):
            yield Finding(source.path, number, "unfinished work is marked here", "Finish it, or open an issue for it")


def handler(source: Source, node: ast.ExceptHandler) -> Iterator[Finding]:
    """A bare handler, or an all-catching one that neither raises again nor carries its mark."""
    if node.type is None:
        yield Finding(source.path, node.lineno, "bare except", "Name the exceptions this code can do something about")
        return
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    wide = [kind.id for kind in kinds if isinstance(kind, ast.Name) and kind.id in WIDE]
    passes_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
    if wide and not passes_on and MARK not in source.lines[node.lineno - 1]:
        todo = f"Name the exceptions, or, at one of the four boundaries, say which on this line: `{MARK} …`"
        yield Finding(source.path, node.lineno, f"except {wide[0]} away from a boundary", todo)


def shipped(source: Source, node: ast.AST) -> Iterator[Finding]:
    """Constructs that have no place in shipped code."""
    if isinstance(node, ast.Assert):
        todo = "Raise an error that names the broken promise; python -O removes asserts"
        yield Finding(source.path, node.lineno, "assert in shipped code", todo)
    elif blocks_a_thread(node):
        yield Finding(source.path, node.lineno, "time.sleep in shipped code", "Await a condition with a deadline")
    elif isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.unparse(node.exc):
        yield Finding(source.path, node.lineno, "NotImplementedError in shipped code", "Build it, or leave it out")


def blocks_a_thread(node: ast.AST) -> TypeGuard[ast.stmt | ast.expr]:
    """Whether a node calls `time.sleep`, or imports it by its name."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "time.sleep"
    return isinstance(node, ast.ImportFrom) and node.module == "time" and any(a.name == "sleep" for a in node.names)
