"""The orders the recorder obeys: watched in KV, verified here, held on disk, never taken back by a replay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.messaging import KvEntry
from lykta_common.signing import Verifier
from lykta_contracts.mandates import MANDATE_ORDER_TYPE, MandateOrder
from pydantic import ValidationError

from lykta_ingest.domain import CameraRef, refusal_of
from lykta_ingest.held import HeldCopies

log = get_logger(__name__)


class MandateBook:
    """The newest good order of every camera; `on_order` is called with (camera, new order, order before or None)."""

    def __init__(self, held: HeldCopies, verifier: Verifier) -> None:
        self._held = held
        self._verifier = verifier
        self.orders: dict[CameraRef, MandateOrder] = {}
        self.on_order: Callable[[CameraRef, MandateOrder, MandateOrder | None], None] = lambda *_: None
        self.refused = 0

    def load(self) -> None:
        """Take the orders held on disk, each verified anew."""
        for key, envelope in self._held.values.items():
            self._take(key, envelope.encode(), save=False)

    async def changed(self, entry: KvEntry) -> None:
        """Take a value of the bucket. A deleted key changes nothing: an end is an order too."""
        if entry.value is None:
            log.warning("mandate_key_deleted", key=entry.key)
            return
        if self._take(entry.key, entry.value, save=True):
            try:
                await asyncio.to_thread(self._held.save)
            except OSError as error:
                log.error("mandate_not_held", key=entry.key, error=error.strerror)

    def _take(self, key: str, envelope: bytes, *, save: bool) -> bool:
        """Obey an order that is good and new; answer whether it was."""
        try:
            order = MandateOrder.from_json(self._verifier.open(MANDATE_ORDER_TYPE, envelope))
        except PlatformError as error:
            return self._refuse(key, f"{error.message}; check that access-control signs with the key this recorder has")
        except ValidationError as error:
            return self._refuse(key, f"not an order this release can read: {error.errors(include_url=False)[0]['msg']}")
        ref = CameraRef(order.controller, order.camera)
        held = self.orders.get(ref)
        if why := refusal_of(order, key, held):
            return self._refuse(key, why)
        if held == order:
            return False
        self.orders[ref] = order
        if save:
            self._held.values[key] = envelope.decode()
        log.info("mandate_taken", key=key, serial=order.serial, status=order.status, mandate=order.mandate.mandate_id)
        self.on_order(ref, order, held)
        return True

    def _refuse(self, key: str, why: str) -> bool:
        self.refused += 1
        log.error("mandate_refused", key=key, reason=why)
        return False
