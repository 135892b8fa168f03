"""Durable consumption: an explicit decision for every message, and nothing dropped in silence."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import structlog
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from lykta_contracts.events import CloudEvent, UnreadableEventError, read_event
from lykta_contracts.model import Message
from lykta_contracts.streams import Durable, dead_letter_subject

from lykta_common.backoff import jittered
from lykta_common.errors import AnotherReplicaError, Code, Delivery, PlatformError, delivery_of
from lykta_common.logging import clean, get_logger

if TYPE_CHECKING:
    from lykta_common.messaging.connection import Messaging

log = get_logger(__name__)

Handler = Callable[[CloudEvent, Message], Awaitable[None]]

BATCH: Final = 16
"""Messages fetched and handled at once; order between them is not kept."""
FETCH_SECONDS: Final = 1.0
"""A stop waits for the fetch under way, so this bounds it too."""
RETRY_FIRST: Final = 0.5
RETRY_MOST: Final = 30.0
HAND_ON_STEP: Final = 0.05
"""Seconds by which the wait grows each time a message came to the wrong replica: with two it comes right in moments."""
HAND_ON_MOST: Final = 2.0
OUTAGES: Final = frozenset({"DEPENDENCY_UNAVAILABLE", "AUDIT_UNAVAILABLE", "DEADLINE"})
MOST_COUNTED: Final = 10_000
"""Messages whose failures are remembered; beyond it the oldest begin anew."""


def add_consumer(broker: NatsBroker, inbox: str, durable: Durable, handler: Handler, messaging: "Messaging") -> None:
    """Register a pull consumer with manual acknowledgement (the framework's default would drop failures)."""
    subscriber = broker.subscriber(
        durable.filters[0],
        durable=durable.name,
        stream=JStream(durable.stream, declare=False),
        pull_sub=PullSub(batch_size=BATCH, timeout=FETCH_SECONDS),
        ack_policy=AckPolicy.MANUAL,
        decoder=_undecoded,
        # The framework would use the global inbox, which this user may not read.
        inbox_prefix=f"{inbox}.".encode(),
    )

    consumption = _Consumption(durable, handler, messaging)

    async def on_message(message: NatsMessage) -> None:
        await consumption.handle(message)

    subscriber(on_message)


async def _undecoded(message: Any) -> bytes:
    return bytes(message.body)


class _Consumption:
    """The messages of one durable, each from its arrival to its decision."""

    def __init__(self, durable: Durable, handler: Handler, messaging: "Messaging") -> None:
        self._durable = durable
        self._handler = handler
        self._messaging = messaging
        self._failures: dict[int, int] = {}

    async def handle(self, message: NatsMessage) -> None:
        """Run the handler and decide."""
        if self._messaging.halted is not None:
            await message.nack(delay=RETRY_MOST)
            return
        try:
            await self._run(message)
        except asyncio.CancelledError:
            raise
        except AnotherReplicaError as error:
            await self._hand_on(message, error)
        except Exception as error:  # boundary: the handler wrapper decides for every failure
            await self._decide(message, error)
        else:
            await message.ack()

    async def _run(self, message: NatsMessage) -> None:
        try:
            event, data = read_event(message.body)
        except UnreadableEventError as error:
            raise PlatformError(Code.INVALID_ARGUMENT, error.reason, str(error)) from error
        with (
            structlog.contextvars.bound_contextvars(event_id=event.id),
            self._messaging.telemetry.span(f"consume {self._durable.name}", event.traceparent, event_type=event.type),
        ):
            async with asyncio.timeout(self._durable.ack_wait.total_seconds() * 0.9):
                await self._handler(event, data)

    async def _hand_on(self, message: NatsMessage, error: AnotherReplicaError) -> None:
        delivered = int(message.raw_message.metadata.num_delivered)
        log.debug("message_handed_on", durable=self._durable.name, delivered=delivered, error=str(error))
        # Not in a rhythm, which with that of the replicas' fetches would bring it to the same one again and again.
        await message.nack(delay=jittered(min(HAND_ON_MOST, HAND_ON_STEP * delivered)))

    async def _decide(self, message: NatsMessage, error: Exception) -> None:
        delivered = int(message.raw_message.metadata.num_delivered)
        decision = delivery_of(error)
        if decision is Delivery.RETRY and self._too_often(message, error):
            decision = Delivery.DEAD_LETTER
        known = isinstance(error, PlatformError)
        log.log(
            30 if known else 40,
            "message_failed",
            durable=self._durable.name,
            decision=decision.value,
            delivered=delivered,
            error=str(error) or type(error).__name__,
            exc_info=None if known else error,
        )
        match decision:
            case Delivery.ACK:
                await message.ack()
            case Delivery.RETRY:
                await message.nack(delay=min(RETRY_MOST, RETRY_FIRST * float(2 ** min(delivered - 1, 8))))
            case Delivery.HALT:
                self._messaging.halted = error
                await message.nack(delay=RETRY_MOST)
            case Delivery.DEAD_LETTER:
                await self._dead_letter(message, error)

    def _too_often(self, message: NatsMessage, error: Exception) -> bool:
        """Count this failure; an outage of something the handler needs is no fault of the message and not counted.

        Counted here and not by the server, which cannot tell the two apart. A new process begins to count anew.
        """
        if isinstance(error, PlatformError) and error.reason in OUTAGES:
            return False
        sequence = int(message.raw_message.metadata.sequence.stream)
        count = self._failures.pop(sequence, 0) + 1
        if count >= self._durable.max_failures:
            return True
        self._failures[sequence] = count
        while len(self._failures) > MOST_COUNTED:
            del self._failures[next(iter(self._failures))]
        return False

    async def _dead_letter(self, message: NatsMessage, error: Exception) -> None:
        subject = message.raw_message.subject
        reason = error.reason if isinstance(error, PlatformError) else "INTERNAL"
        headers = {
            "Nats-Msg-Id": f"{self._durable.name}:{message.raw_message.metadata.sequence.stream}",
            "Lykta-Reason": reason,
            "Lykta-Message": clean(str(error))[:500].replace("\n", " "),
            "Lykta-Subject": subject,
        }
        target = dead_letter_subject(subject, self._durable.stream, self._durable.name)
        try:
            await self._messaging.publish_raw(target, message.body, headers)
        except PlatformError:
            # Not stored, so not let go: it comes again.
            await message.nack(delay=RETRY_MOST)
            return
        self._messaging.metrics.dead_letters.labels(self._durable.name, reason).inc()
        await message.reject()
