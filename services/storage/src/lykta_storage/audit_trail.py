"""Writes to the transparency log: entries that must be there first, and entries that must be there at last."""

from typing import Final

from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.telemetry import traceparent
from lykta_contracts.audit import AuditRecord
from lykta_contracts.events import AuditObserved, new_event
from lykta_contracts.instants import from_ms, to_ms

from lykta_storage.ports import AuditLog, Receipt
from lykta_storage.store.hours import HourStore

log = get_logger(__name__)

MUST_SECONDS: Final = 5.0
"""How long a reader waits for the entry that opens footage."""
NOTE_SECONDS: Final = 2.0


class AuditTrail:
    """Storage's side of the log."""

    def __init__(self, audit: AuditLog, store: HourStore, clock: Clock, source: str) -> None:
        self._audit = audit
        self._store = store
        self._clock = clock
        self._source = source

    async def must(self, record: AuditRecord) -> Receipt:
        """Append and return the receipt; raises PlatformError AUDIT_UNAVAILABLE when there is none."""
        return (await self._audit.append([to_milliseconds(record)], MUST_SECONDS))[0]

    async def note(self, record: AuditRecord) -> None:
        """Append now, or hand the entry to the outbox when the log does not answer; it is not lost either way."""
        record = to_milliseconds(record)
        try:
            await self._audit.append([record], NOTE_SECONDS)
        except PlatformError as error:
            log.warning("audit_entry_deferred", action=record.action, entry_id=record.entry_id, reason=error.reason)
            fact = AuditObserved(record=record)
            event = new_event(fact, f"audit.observed:{record.entry_id}", self._source, self._clock.now(), traceparent())
            await self._store.announce(event)


def to_milliseconds(record: AuditRecord) -> AuditRecord:
    """Round the instant down to what the leaf shows, so that both ends hash the same bytes."""
    return record.model_copy(update={"occurred_at": from_ms(to_ms(record.occurred_at))})
