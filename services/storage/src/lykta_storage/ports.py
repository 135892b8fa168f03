"""What storage asks of other services; real over gRPC, and in tests real servers with small answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lykta_contracts.audit import AuditRecord

from lykta_storage.domain.spans import Span


@dataclass(frozen=True)
class Ask:
    """One question to access-control; `span` is the footage interval."""

    action: str
    controller: str
    camera: str = ""
    span: Span | None = None
    grant_id: str = ""


@dataclass(frozen=True)
class Decision:
    """The answer; `reason` is an ErrorReason name when refused, `person_id` empty when the token does not verify."""

    allowed: bool
    reason: str
    message: str
    person_id: str
    case_id: str
    purpose: str
    valid_until: datetime | None


@dataclass(frozen=True)
class Receipt:
    """Says that a record is durable in the log."""

    entry_id: str
    index: int


class PolicyAuthority(Protocol):
    """Decides who may do what."""

    async def authorize(self, ask: Ask, bearer: str, deadline_seconds: float) -> Decision:
        """Ask one question; a refusal is an answer. Raises PlatformError when there is no answer."""
        ...


class AuditLog(Protocol):
    """The transparency log."""

    async def append(self, records: Sequence[AuditRecord], deadline_seconds: float) -> list[Receipt]:
        """Make records durable, in order; again changes nothing. Raises PlatformError when it is not certain."""
        ...
