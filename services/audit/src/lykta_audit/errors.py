"""The ways in which the log refuses or stops, as platform errors."""

from lykta_common.errors import Code, PlatformError


class LeaseLostError(Exception):
    """Another process has become the log's writer; this one must not write another byte."""


def data_loss(message: str) -> PlatformError:
    """Stored bytes are not those that were logged: writing stops until a person has looked."""
    return PlatformError(Code.DATA_LOSS, "INTEGRITY", message)


def entry_conflict(entry_id: str) -> PlatformError:
    """An entry id came again with another content; repeating it will not help."""
    message = f"the entry {entry_id} is in the log with another content; use a new entry id"
    return PlatformError(Code.FAILED_PRECONDITION, "CONFLICT", message)


def standing_by() -> PlatformError:
    """This process is not the log's writer now."""
    message = "this process stands by: another one writes the log, or it is still starting; try again"
    return PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message)


def too_much() -> PlatformError:
    """The bound of waiting records is reached."""
    return PlatformError(Code.RESOURCE_EXHAUSTED, "LIMIT", "too many records wait to be written; try again")
