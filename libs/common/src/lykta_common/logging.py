"""Structured logs: a constant event name and key-values; only known fields pass, credentials never."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal

import structlog

_CREDENTIALS_IN_URL: Final = re.compile(r"([a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)
_TOKEN: Final = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+|AGE-SECRET-KEY-1[0-9A-Z]+")
_SECRET_FIELDS: Final = ("password", "token", "secret", "authorization", "cookie", "credential", "private")


def get_logger(name: str) -> Any:
    """Return a logger; configuration is the process's own business."""
    return structlog.get_logger(name)


def configure(service: str, form: Literal["json", "console"], level: str) -> None:
    """Set up logging for the process, to standard error. Called once, in `__main__`."""
    threshold = getattr(logging, level.upper())
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "console":
        # Plain tracebacks: the default would print local variables, which may hold anything.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(service=service)
    # Libraries log through the standard library; their warnings matter, their chatter does not.
    logging.basicConfig(level=max(threshold, logging.WARNING), stream=sys.stderr, format="%(name)s: %(message)s")


def redact(logger: Any, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take credentials out of every field (a structlog processor); `logger` and `method` are not used."""
    for key, value in fields.items():
        if any(word in key.lower() for word in _SECRET_FIELDS) and not key.endswith("_ref"):
            fields[key] = "[redacted]"
        elif isinstance(value, str):
            fields[key] = clean(value)
    return fields


def clean(text: str) -> str:
    """Take credentials in URLs, JSON web tokens and age keys out of a text."""
    return _TOKEN.sub("[redacted]", _CREDENTIALS_IN_URL.sub(r"\1[redacted]@", text))
