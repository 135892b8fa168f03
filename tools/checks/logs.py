"""Log calls name a constant lower_snake event; values go into keys, never into the text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tools.checks.source import Finding, Source

METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
LOGGER = re.compile(r"(^|\.)_?(log|logger)$", re.IGNORECASE)
EVENT = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")


def check(source: Source) -> Iterator[Finding]:
    """Every log call of one shipped file whose event is not a constant name."""
    if not source.is_shipped:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and is_log_call(node) and node.args:
            event = node.args[0]
            constant = isinstance(event, ast.Constant) and isinstance(event.value, str) and EVENT.match(event.value)
            if not constant:
                what = f"log event {ast.unparse(event)} is not a constant lower_snake name"
                yield Finding(
                    source.path, node.lineno, what, "Name the event and pass values as keys: log.info('x_done', n=3)"
                )


def is_log_call(node: ast.Call) -> bool:
    """Whether a call goes to a logger: `log.info(…)`, `self._log.error(…)`, `log.bind(…).info(…)`."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in METHODS:
        return False
    target = node.func.value
    while (
        isinstance(target, ast.Call) and isinstance(target.func, ast.Attribute) and target.func.attr in ("bind", "new")
    ):
        target = target.func.value
    return bool(LOGGER.search(ast.unparse(target)))
