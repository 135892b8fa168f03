"""JetStream in: observed facts become entries, and are acknowledged when they are durable."""

from lykta_common.errors import AnotherReplicaError, invalid
from lykta_common.messaging import Messaging
from lykta_contracts.events import AuditObserved, CloudEvent
from lykta_contracts.model import Message
from lykta_contracts.streams import AUDIT_OBSERVED

from lykta_audit.keeper import LogKeeper
from lykta_audit.usecases import append_records


class ObservedHandler:
    """Logs what `audit.observed` events carry; a redelivered event finds its entry in the log."""

    def __init__(self, keeper: LogKeeper) -> None:
        self._keeper = keeper

    def register(self, messaging: Messaging) -> None:
        """Consume the durable `audit-observed`."""
        messaging.consume(AUDIT_OBSERVED, self.on_observed)

    async def on_observed(self, event: CloudEvent, data: Message) -> None:
        """Log one fact; returns when it is durable. Raises INVALID_FIELD for an event of another type.

        On a process that stands by it raises AnotherReplicaError: the writer is to have the event, and soon.
        """
        if self._keeper.standing_by:
            raise AnotherReplicaError("another process writes the log")
        if not isinstance(data, AuditObserved):
            raise invalid(f"an event of type {event.type} is not for the log")
        await append_records(self._keeper, [data.record])
