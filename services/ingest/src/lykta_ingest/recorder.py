"""All cameras of this process: one task each, begun by the first order, none able to harm another."""

from __future__ import annotations

import asyncio

from lykta_common.logging import get_logger
from lykta_contracts.mandates import MandateOrder

from lykta_ingest.domain import CameraRef, State, Status
from lykta_ingest.session import CameraSession
from lykta_ingest.station import Station

log = get_logger(__name__)

_RESTART_S = 5.0


class Recorder:
    """Gives every camera with an order a session; `run` owns their tasks."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._tasks: asyncio.TaskGroup | None = None
        self.sessions: dict[CameraRef, CameraSession] = {}

    def obey(self, ref: CameraRef, order: MandateOrder, before: MandateOrder | None) -> None:
        """Take an order that was verified; called on the event loop."""
        session = self.sessions.get(ref)
        if session is None:
            if order.status != "live":
                return
            session = self.sessions[ref] = CameraSession(ref, self._station)
            session.status.fragments_spooled = self._station.backlog.get(ref.key, 0)
            if self._tasks is not None:
                self._begin(session)
        session.obey(order, before)

    def key_arrived(self, ref: CameraRef) -> None:
        """Wake a camera that waits for its media key."""
        session = self.sessions.get(ref)
        if session is not None and session.status.state is State.NO_KEY:
            session.wake.set()

    def uploaded(self, ref: CameraRef) -> None:
        """Count a segment object."""
        if status := self._status(ref):
            status.segments_uploaded += 1

    def stored(self, ref: CameraRef, fragments: int) -> None:
        """Count fragments that storage has confirmed."""
        if status := self._status(ref):
            status.fragments_spooled = max(0, status.fragments_spooled - fragments)

    async def run(self) -> None:
        """Keep every camera's task running until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for session in self.sessions.values():
                self._begin(session)
            await asyncio.Event().wait()

    def _status(self, ref: CameraRef) -> Status | None:
        session = self.sessions.get(ref)
        return session.status if session else None

    def _begin(self, session: CameraSession) -> None:
        if self._tasks is not None:
            self._tasks.create_task(self._keep_running(session), name=f"camera {session.ref.key}")

    async def _keep_running(self, session: CameraSession) -> None:
        while True:
            try:
                await session.run()
            except Exception as error:  # boundary: supervisor; one camera's defect must not stop the others
                log.error("camera_task_failed", camera=session.ref.key, exc_info=error)
                session.status.state = State.FAILED
                session.status.detail = "a defect in the recorder; the log has the cause, trying again"
                await self._station.clock.sleep(_RESTART_S)
