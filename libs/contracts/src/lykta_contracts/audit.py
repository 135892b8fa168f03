"""The audit record and the exact bytes of its leaf in the transparency log."""

import json
from typing import Literal

from pydantic import Field

from lykta_contracts.instants import Instant
from lykta_contracts.model import Message

Result = Literal["allowed", "denied", "done", "failed"]


class Actor(Message):
    """Who did it."""

    kind: Literal["person", "service"]
    id: str = Field(min_length=1, description="OIDC subject or workload")


class AuditRecord(Message):
    """One line of the log."""

    entry_id: str = Field(min_length=1, max_length=200, description="makes Append idempotent")
    occurred_at: Instant
    actor: Actor
    controller: str = ""
    action: str = Field(min_length=1)
    object: str = ""
    purpose: str = ""
    case_id: str = ""
    grant_id: str = ""
    result: Result
    reason: str = ""
    details: dict[str, str] = Field(default_factory=dict)
    correlation_id: str = ""


def leaf_bytes(record: AuditRecord) -> bytes:
    """Encode the record canonically: JSON, keys sorted, no spaces, UTF-8 (RFC 8785 for these types)."""
    return json.dumps(
        record.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
