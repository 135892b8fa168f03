"""What the use cases ask of others: access-control in production, a fake in tests."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Decision:
    """Access-control's answer; `reason` and `message` say why not."""

    allowed: bool
    person_id: str
    reason: str = ""
    message: str = ""


class SearchPolicy(Protocol):
    """Decides who may search the log."""

    async def may_search(self, token: str, controller: str) -> Decision:
        """Decide for the person behind an OIDC token; raises UNAVAILABLE when nobody can decide."""
        ...
