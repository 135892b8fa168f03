"""Takes in signed mandate orders from the KV bucket and mandate events, for keys, coverage and retention."""

import asyncio
from collections.abc import Callable

from lykta_common.backoff import Backoff
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.messaging import KvEntry
from lykta_common.signing import Verifier
from lykta_contracts.events import CloudEvent, MandateApproved, MandateEnded
from lykta_contracts.instants import to_ms
from lykta_contracts.mandates import MANDATE_ORDER_TYPE, MandateOrder
from lykta_contracts.model import Message
from pydantic import ValidationError

from lykta_storage.store.terms import TermStore

log = get_logger(__name__)


class MandateBook:
    """The history of mandates as storage has seen it."""

    def __init__(self, terms: TermStore, verifier: Verifier, on_change: Callable[[], None]) -> None:
        self._terms = terms
        self._verifier = verifier
        self._on_change = on_change

    async def on_order(self, entry: KvEntry) -> None:
        """Take in one KV entry; what is not signed by access-control, or older than what is known, is refused."""
        if entry.value is None:
            # An ended mandate is a signed order; a missing key proves nothing.
            log.warning("mandate_order_missing", key=entry.key)
            return
        try:
            order = MandateOrder.from_json(self._verifier.open(MANDATE_ORDER_TYPE, entry.value))
        except PlatformError as error:
            log.error("mandate_order_refused", key=entry.key, reason=error.reason, error=error.message)
            return
        except ValidationError as error:
            log.error("mandate_order_refused", key=entry.key, reason="INVALID_FIELD", error=str(error.error_count()))
            return
        if entry.key != f"{order.controller}.{order.camera}":
            log.error("mandate_order_refused", key=entry.key, reason="BAD_SIGNATURE", error="signed for another camera")
            return
        if await self._keep(order):
            self._on_change()
        else:
            log.warning("mandate_order_refused", key=entry.key, reason="CONFLICT", error="an older serial")

    async def _keep(self, order: MandateOrder) -> bool:
        # The watch delivers a value once, so it is held here until the database has taken it.
        backoff = Backoff()
        while True:
            try:
                return await self._terms.see_order(order)
            except PlatformError as error:
                log.warning("mandate_order_waiting", reason=error.reason, error=error.message)
                await asyncio.sleep(backoff.next())

    async def on_event(self, event: CloudEvent, data: Message) -> None:
        """Take in `mandate.approved` and `mandate.ended`; other events mean nothing here."""
        if isinstance(data, MandateApproved):
            await self._terms.approved(data.controller, data.mandate_id, data.version, to_ms(event.time))
        elif isinstance(data, MandateEnded):
            await self._terms.ended(data.controller, data.mandate_id, to_ms(event.time))
