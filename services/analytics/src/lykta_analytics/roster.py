"""Which cameras are analysed: exactly those with a live, verified mandate order; each failure stays with its camera."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lykta_common.backoff import Backoff
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.messaging import KvBucket, KvEntry, Messaging
from lykta_contracts.mandates import MandateOrder
from lykta_contracts.streams import MANDATES

from lykta_analytics.mandates import MandateOrders, Place
from lykta_analytics.session import CameraSession
from lykta_analytics.usecases import IncidentBook

log = get_logger(__name__)

_ENDED: Final = "mandate_ended"


@dataclass
class _Running:
    session: CameraSession
    task: asyncio.Task[None]


class Roster:
    """Starts, replaces and ends camera sessions as orders come; `run` owns them all."""

    def __init__(
        self, orders: MandateOrders, book: IncidentBook, new_session: Callable[[MandateOrder], CameraSession]
    ) -> None:
        self._orders = orders
        self._book = book
        self._new_session = new_session
        self._running: dict[Place, _Running] = {}
        self._current = asyncio.Event()

    @property
    def sessions(self) -> list[CameraSession]:
        """The sessions that run now."""
        return [running.session for running in self._running.values()]

    @property
    def is_current(self) -> bool:
        """True once all orders of the bucket have been seen."""
        return self._current.is_set()

    async def run(self, messaging: Messaging) -> None:
        """Analyses by the archived orders at once and by the bucket from then on; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for order in await self._orders.load():
                await self._obey(order, tasks)
            bucket = await self._bucket(messaging)

            async def on_change(entry: KvEntry) -> None:
                await self._on_entry(entry, tasks)

            tasks.create_task(self._tidy(), name="incident-tidy")
            await bucket.watch(on_change, self._current.set)

    async def _bucket(self, messaging: Messaging) -> KvBucket:
        backoff = Backoff()
        while True:
            try:
                return await messaging.bucket(MANDATES.name)
            except PlatformError as error:
                log.warning("mandates_unavailable", reason=error.reason)
                await asyncio.sleep(backoff.next())

    async def _tidy(self) -> None:
        """Ends what was open under mandates that ended while this service was away."""
        await self._current.wait()
        backoff = Backoff()
        while True:
            try:
                ended = await self._book.close_where_not(self._orders.live, _ENDED)
            except PlatformError:
                await asyncio.sleep(backoff.next())
                continue
            if ended:
                log.info("incidents_closed_without_mandate", count=ended)
            return

    async def _on_entry(self, entry: KvEntry, tasks: asyncio.TaskGroup) -> None:
        """A deleted key changes nothing: a mandate ends by a signed order, not by a missing one."""
        if entry.value is None:
            log.warning("mandate_key_deleted", key=entry.key)
            return
        backoff = Backoff()
        while True:
            try:
                order = await self._orders.accept(entry.key, entry.value)
                break
            except PlatformError as error:
                if error.retryable:
                    await asyncio.sleep(backoff.next())
                    continue
                log.error("mandate_order_refused", key=entry.key, reason=error.reason, error=error.message)
                return
        if order is not None:
            await self._obey(order, tasks)

    async def _obey(self, order: MandateOrder, tasks: asyncio.TaskGroup) -> None:
        place = (order.controller, order.camera)
        await self._stop(place)
        log.info("mandate_order_obeyed", camera=order.camera, serial=order.serial, status=order.status)
        if order.status == "live":
            session = self._new_session(order)
            task = tasks.create_task(self._keep_running(session), name=f"analyse-{order.camera}")
            self._running[place] = _Running(session, task)
        else:
            tasks.create_task(self._close(order), name=f"close-{order.camera}")

    async def _stop(self, place: Place) -> None:
        running = self._running.pop(place, None)
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])

    async def _close(self, order: MandateOrder) -> None:
        backoff = Backoff()
        while (order.controller, order.camera) not in self._orders.live:
            try:
                await self._book.close(order.controller, order.camera, _ENDED)
            except PlatformError:
                await asyncio.sleep(backoff.next())
                continue
            return

    async def _keep_running(self, session: CameraSession) -> None:
        backoff = Backoff(first=1.0, most=60.0)
        while True:
            try:
                await session.run()
            except Exception as error:  # boundary: a camera that fails must not stop the others
                log.error("analysis_failed", camera=session.order.camera, exc_info=error)
            await asyncio.sleep(backoff.next())
