"""What our images hold: everything that their members import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from tools.images import packages
from tools.images.layers import sources


@cache
def distributions() -> dict[str, set[str]]:
    """Which distributions bring an importable name."""
    return {name: {packages.canonical(one) for one in found} for name, found in packages_distributions().items()}


def imported(tree: ast.Module) -> Iterator[str]:
    """The names a module imports when it is imported itself, dotted; what its functions import is left out."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def brings(name: str, held: set[str]) -> bool:
    """Say whether the standard library or a held distribution brings a top-level name."""
    return name in sys.stdlib_module_names or bool(distributions().get(name, set()) & held)


@pytest.mark.parametrize("image", sorted(set(packages.MEMBERS) - {packages.SHARED}))
def test_an_image_holds_what_its_members_import(image: str) -> None:
    """Each module-level import of a member in an image is of its pinned packages or of another member in it."""
    table = packages.table(packages.ROOT)
    folders = packages.members(packages.ROOT, image)
    held = {packages.canonical(name) for name in (*table[packages.SHARED], *table[image])}
    own = {path.name for folder in folders for path in (folder / "src").iterdir()}
    missing = {
        f"{path.relative_to(packages.ROOT)}: {name}"
        for folder in folders
        for path in sources(folder)
        if path.suffix == ".py"
        for name in imported(ast.parse(path.read_text()))
        if (top := name.partition(".")[0]) not in own and not brings(top, held)
    }
    assert missing == set()
