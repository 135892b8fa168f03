"""A refusal as a value: a stable reason, and a message that says what to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Why something may not be done; `reason` is an ErrorReason name without its prefix."""

    reason: str
    message: str


class RefusedError(Exception):
    """Carries a refusal out of a transition; nothing has changed when it is raised."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason, message)


def not_found(what: str) -> RefusedError:
    """There is no such thing, or it is another controller's: one answer for both, on purpose."""
    return RefusedError("NOT_FOUND", f"{what} was not found; check the id, and that you are a member of its controller")


def invalid(message: str) -> RefusedError:
    """A field is missing, malformed or out of bounds."""
    return RefusedError("INVALID_FIELD", message)


def wrong_state(message: str) -> RefusedError:
    """The thing is in a state in which this cannot be done."""
    return RefusedError("WRONG_STATE", message)


def same_person(message: str) -> RefusedError:
    """The one who asked may not be the one who says yes."""
    return RefusedError("SECOND_PERSON", message)
