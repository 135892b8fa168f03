"""The part of the import law import-linter cannot say: which rooms may know a transport, and what pure code is."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.checks.source import Finding, Source, imported, python_files

TRANSPORTS = {"grpc", "grpc_health", "grpc_reflection", "faststream", "nats", "minio", "obstore", "sqlalchemy"}
ROOMS = {"app", "handlers", "grpc_server", "store"}
MEDIA_LIBRARIES = {"av", "cv2", "imageio_ffmpeg", "openvino"}
PURE_ALLOWED = {"lykta_contracts"}
NOUN_LIBRARY_FORBIDDEN = TRANSPORTS - {"grpc"}
VERIFY_ALLOWED = {"lykta_verify", "cryptography"}


def check(source: Source) -> Iterator[Finding]:
    """Every import of one shipped file that its room may not have."""
    if not source.is_shipped:
        return
    for node in ast.walk(source.tree):
        for name in imported(node):
            yield from judge(source, node.lineno if isinstance(node, ast.stmt) else 1, name)


def judge(source: Source, line: int, name: str) -> Iterator[Finding]:
    """Judge one imported name in one file."""
    top = name.split(".")[0]
    service = source.parts[0] == "services"
    if service and top in TRANSPORTS and source.room not in ROOMS:
        todo = f"Only {', '.join(sorted(ROOMS))} may; give this module a port or plain values"
        yield Finding(source.path, line, f"{top} is imported in the room {source.room!r}", todo)
    if service and top in MEDIA_LIBRARIES and source.package != "lykta_analytics":
        todo = "Decoding happens only in the sandboxed children of analytics"
        yield Finding(source.path, line, f"{top} is imported outside analytics", todo)
    if source.package == "lykta_contracts" and top in NOUN_LIBRARY_FORBIDDEN:
        todo = "contracts hold nouns without mechanism; this belongs in libs/common"
        yield Finding(source.path, line, f"contracts import {top}", todo)
    if source.package == "lykta_verify" and top not in VERIFY_ALLOWED | set(sys.stdlib_module_names):
        todo = "the offline verifier uses the standard library and cryptography only"
        yield Finding(source.path, line, f"verify imports {name}", todo)


def check_domains(root: Path) -> Iterator[Finding]:
    """Every impure import of a service's domain, or of a module of the service that its domain stands on."""
    modules = {module_name(s): s for s in python_files(root) if s.parts[0] == "services" and s.is_shipped}
    reached, waiting = set(), sorted(name for name, source in modules.items() if source.room == "domain")
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for line, target in imports_of(modules[name]):
            if target in modules and target.split(".")[0] == modules[name].package:
                waiting.append(target)
            elif target.split(".")[0] not in PURE_ALLOWED | {modules[name].package} | set(sys.stdlib_module_names):
                todo = "domain, and what it stands on, know the standard library and lykta_contracts; pass the value in"
                yield Finding(modules[name].path, line, f"pure code imports {target}", todo)


def module_name(source: Source) -> str:
    """The dotted name of a shipped file: `lykta_audit.store.rows`."""
    return ".".join(source.parts[3:]).removesuffix(".py").removesuffix(".__init__")


def imports_of(source: Source) -> Iterator[tuple[int, str]]:
    """Every imported name with its line; `from a import b` gives `a` and `a.b`, relative imports are resolved."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = list(source.parts[3:])[: -node.level] if node.level else []
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield node.lineno, module
            if module.split(".")[0] == source.package:
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
