"""Size budgets: files, functions, classes and positional parameters, and names that say nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tools.checks.source import Finding, Source

FILE_LINES = 500
FUNCTION_LINES = 60
CLASS_LINES = 400
POSITIONAL = 6
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "misc", "base", "shared", "stuff"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def check(source: Source) -> Iterator[Finding]:
    """Every budget one file breaks."""
    if len(source.lines) > FILE_LINES:
        what = f"{len(source.lines)} lines, at most {FILE_LINES} are allowed"
        yield Finding(source.path, 1, what, "Make it a package of the same name with one module per noun")
    name = source.parts[-1].removesuffix(".py")
    if EMPTY_NAMES & {name, *source.parts[4:-1]}:
        yield Finding(source.path, 1, f"the module name {name!r} says nothing", "Name it after the noun it is about")
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            yield from function(source, node)
        elif isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno + 1 > CLASS_LINES:
            size = (node.end_lineno or 0) - node.lineno + 1
            what = f"class {node.name} has {size} lines, at most {CLASS_LINES} are allowed"
            yield Finding(source.path, node.lineno, what, "Give one of its duties a class of its own")


def function(source: Source, node: Function) -> Iterator[Finding]:
    """The budgets of one function; its docstring does not count."""
    size = (node.end_lineno or 0) - node.lineno + 1 - docstring_lines(node)
    if size > FUNCTION_LINES:
        what = f"{node.name}() has {size} lines without its docstring, at most {FUNCTION_LINES} are allowed"
        yield Finding(source.path, node.lineno, what, "Name a step of it and make that a function")
    arguments = (*node.args.posonlyargs, *node.args.args)
    positional = [a.arg for a in arguments if a.arg not in ("self", "cls") and not is_option(a)]
    if len(positional) > POSITIONAL and not node.name.startswith("test_"):  # pytest fills those by name
        what = f"{node.name}() takes {len(positional)} positional parameters, at most {POSITIONAL} are allowed"
        yield Finding(source.path, node.lineno, what, "Put * before the optional ones, or pass one frozen dataclass")


def docstring_lines(node: Function) -> int:
    """How many lines the docstring of a function takes."""
    first = node.body[0]
    if ast.get_docstring(node) is None or not isinstance(first, ast.Expr):
        return 0
    return (first.end_lineno or first.lineno) - first.lineno + 1


def is_option(argument: ast.arg) -> bool:
    """Whether a parameter is an option of the command line, which Typer fills by name."""
    return argument.annotation is not None and "typer." in ast.unparse(argument.annotation)
