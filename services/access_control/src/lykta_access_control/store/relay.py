"""Brings each camera's newest signed order into the KV bucket, and heals the bucket from the database."""

import asyncio
from typing import Final

from lykta_common.backoff import Backoff
from lykta_common.database import Database
from lykta_common.errors import Code, PlatformError
from lykta_common.logging import get_logger
from lykta_common.messaging import KvBucket, Messaging
from lykta_common.signing import Verifier
from lykta_contracts.mandates import MANDATE_ORDER_TYPE, MandateOrder
from lykta_contracts.streams import MANDATES
from pydantic import ValidationError

from lykta_access_control.store.mandate_rows import MandateRows, OrderRow

log = get_logger(__name__)

POLL_SECONDS: Final = 2.0
"""Orders of another process, or of an earlier life, are found at this interval."""
RECONCILE_SECONDS: Final = 300.0
"""The whole bucket is compared with the database at start and at this interval."""


class OrderRelay:
    """Publishes orders until each key of the bucket holds its camera's newest one; never replaces a newer one."""

    def __init__(self, database: Database, messaging: Messaging, verifier: Verifier) -> None:
        self._database = database
        self._messaging = messaging
        self._verifier = verifier
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look for waiting orders now."""
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled; an unavailable NATS or database is waited for."""
        backoff = Backoff()
        reconciled_at: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            due = reconciled_at is None or loop.time() - reconciled_at >= RECONCILE_SECONDS
            try:
                await self.publish(waiting_only=not due)
            except PlatformError as error:
                log.warning("orders_waiting", reason=error.reason, error=error.message)
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            if due:
                reconciled_at = loop.time()
            await self._rest()

    async def publish(self, *, waiting_only: bool) -> int:
        """Publish waiting orders, or compare all; return how many were put. Raises UNAVAILABLE, ABORTED on a race."""
        async with self._database.reading() as connection:
            rows = await MandateRows(connection).orders(waiting_only=waiting_only)
        if not rows:
            return 0
        bucket = await self._messaging.bucket(MANDATES.name)
        done = 0
        for row in rows:
            done += await self._bring(bucket, row)
            async with self._database.transaction() as connection:
                await MandateRows(connection).mark_published(row)
        return done

    async def _bring(self, bucket: KvBucket, row: OrderRow) -> bool:
        key = f"{row.controller}.{row.camera}"
        entry = await bucket.get(key)
        present = self._serial(entry.value) if entry is not None and entry.value is not None else 0
        if present > row.serial:
            # Only a database restored from an older copy is behind its bucket; recorders would refuse our order.
            log.error("order_behind_bucket", key=key, serial=row.serial, present=present)
            return False
        if entry is not None and entry.value == row.envelope:
            return False
        try:
            if entry is None:
                await bucket.create(key, row.envelope)
            else:
                await bucket.update(key, row.envelope, entry.revision)
        except PlatformError as error:
            if error.code is not Code.ABORTED:
                raise
            return await self._bring(bucket, row)
        log.info("order_published", key=key, serial=row.serial, status=row.status)
        return True

    def _serial(self, envelope: bytes) -> int:
        """Return the serial of an order in the bucket; 0 for anything that is not ours."""
        try:
            return MandateOrder.from_json(self._verifier.open(MANDATE_ORDER_TYPE, envelope)).serial
        except (PlatformError, ValidationError):
            return 0

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
