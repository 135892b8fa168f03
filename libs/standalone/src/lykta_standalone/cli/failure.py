"""From an error to what the person reads and the exit code: 0 done, 1 refused, 2 wrong usage, 3 unavailable."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, Final

import typer
from lykta_common.errors import Code, PlatformError

REFUSED: Final = 1
WRONG_USAGE: Final = 2
UNAVAILABLE: Final = 3
_TRY_AGAIN: Final = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.ABORTED}


class UsageError(Exception):
    """The command line does not make sense; the message says how it would."""


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command to its end; errors become one line on standard error and an exit code."""
    try:
        asyncio.run(work)
    except UsageError as error:
        _leave(str(error), WRONG_USAGE)
    except PlatformError as error:
        _leave(explain(error), code_of(error))
    except BaseExceptionGroup as group:
        known, other = group.split(PlatformError)
        if other is not None or known is None:
            raise
        found = [error for error in _leaves(known) if isinstance(error, PlatformError)]
        _leave("; ".join(explain(error) for error in found), code_of(found[0]))
    except KeyboardInterrupt:
        _leave("interrupted", REFUSED)


def explain(error: PlatformError) -> str:
    """Write a refusal for people: what happened, and its stable reason."""
    return f"{error.message} [{error.reason}]"


def code_of(error: PlatformError) -> int:
    """Return the exit code of an error."""
    return UNAVAILABLE if error.code in _TRY_AGAIN else REFUSED


def _leave(message: str, code: int) -> None:
    sys.stderr.write(f"lykta: {message}\n")
    raise typer.Exit(code)


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
