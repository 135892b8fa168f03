"""Tests: each states its promise in a docstring, and none is skipped without saying what to install."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from tools.checks.source import Finding, Source

Function = ast.FunctionDef | ast.AsyncFunctionDef


def check(source: Source) -> Iterator[Finding]:
    """Every test function of one file without a promise, every skip without a reason."""
    if not source.parts[-1].startswith("test_"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, Function) and node.name.startswith("test_") and not ast.get_docstring(node):
            yield Finding(
                source.path, node.lineno, f"{node.name} has no docstring", "Say in one sentence what it promises"
            )
        elif is_silent_skip(node, source):
            yield Finding(
                source.path, node.lineno, "a skip without a reason", "Say what to install, or delete the test"
            )


def is_silent_skip(node: ast.AST, source: Source) -> TypeGuard[ast.expr]:
    """Whether a node is a skip mark that gives no reason, called or bare."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.skip":
        return not node.args and not any(keyword.arg == "reason" for keyword in node.keywords)
    return isinstance(node, ast.Attribute) and source.lines[node.lineno - 1].strip() == "@pytest.mark.skip"
