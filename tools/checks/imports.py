"""The part of the import law import-linter cannot say: which rooms of a service may know a transport."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from tools.checks.source import Finding, Source, imported

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
    if service and source.room == "domain" and not is_pure(source, name):
        todo = "domain knows the standard library, lykta_contracts and itself; pass the value in"
        yield Finding(source.path, line, f"domain imports {name}", todo)
    if source.package == "lykta_contracts" and top in NOUN_LIBRARY_FORBIDDEN:
        todo = "contracts hold nouns without mechanism; this belongs in libs/common"
        yield Finding(source.path, line, f"contracts import {top}", todo)
    if source.package == "lykta_verify" and top not in VERIFY_ALLOWED | set(sys.stdlib_module_names):
        todo = "the offline verifier uses the standard library and cryptography only"
        yield Finding(source.path, line, f"verify imports {name}", todo)


def is_pure(source: Source, name: str) -> bool:
    """Whether a domain module may import this: the standard library, contracts, its own domain and errors."""
    own = (f"{source.package}.domain", f"{source.package}.errors")
    return name.split(".")[0] in PURE_ALLOWED | set(sys.stdlib_module_names) or name.startswith(own)
