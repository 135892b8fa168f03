"""Watches a playing session (mandate, hours, lease, silence, connection) and ends it when one of them says so."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from lykta_common.logging import get_logger
from lykta_contracts.instants import to_ms
from lykta_contracts.mandates import MandateOrder

from lykta_ingest.domain import Why
from lykta_ingest.errors import CameraError
from lykta_ingest.lease import CameraLease, Claim
from lykta_ingest.recording import Recording
from lykta_ingest.rtsp import RtspConnection
from lykta_ingest.rtsp_session import RtspSession

log = get_logger(__name__)

_TICK_S = 1.0
_LEASE_EVERY_S = 5.0
_KEY_FRAME_WITHIN_S = 35.0
_LEASE_LOST = Why("PLATFORM", "another recorder took the camera over")
_MOVED = Why("PLATFORM", "connecting to the camera at its new address")


class Watched(Protocol):
    """What of the camera's session is needed here."""

    order: MandateOrder | None
    wake: asyncio.Event
    lease: CameraLease

    def declare_lost(self, recording: Recording) -> None:
        """Declare what the spool refused."""
        ...


class Watch:
    """Runs beside the stream; returns when recording must stop, raises CameraError when the camera failed."""

    def __init__(self, session: Watched, recording: Recording, connection: RtspConnection, rtsp: RtspSession) -> None:
        self._session = session
        self._recording = recording
        self._connection = connection
        self._rtsp = rtsp
        self._order = recording.order
        self._packets = 0
        self._silent_s = 0.0
        self._frameless_s = 0.0

    async def run(self) -> None:
        """Watch until the end; reacts to a new order at once and to everything else within a second."""
        keep_alive = asyncio.ensure_future(self._rtsp.keep_alive())
        lease = asyncio.ensure_future(self._keep_lease())
        wake = asyncio.ensure_future(self._session.wake.wait())
        try:
            while True:
                waits: set[asyncio.Future[Any]] = {keep_alive, lease, wake, self._connection.closed}
                done, _ = await asyncio.wait(waits, timeout=_TICK_S, return_when=asyncio.FIRST_COMPLETED)
                if self._connection.closed in done:
                    raise self._connection.closed.result()
                if keep_alive in done:
                    await keep_alive
                if lease in done:
                    log.warning("lease_lost", holder=lease.result().holder)
                    self._recording.why = _LEASE_LOST
                    return
                if wake in done:
                    self._session.wake.clear()
                    wake = asyncio.ensure_future(self._session.wake.wait())
                if self._must_stop():
                    return
                if not done:
                    self._look_at_media()
        finally:
            for task in (keep_alive, lease, wake):
                task.cancel()
            await asyncio.gather(keep_alive, lease, wake, return_exceptions=True)

    def _must_stop(self) -> bool:
        """Obey a new order, and the hours of the one in force."""
        recording, order = self._recording, self._session.order
        now = recording.now()
        if order is not None and order is not self._order:
            until = order.allowed_until(now)
            same_camera = (order.camera_address, order.credentials_ref) == (
                self._order.camera_address,
                self._order.credentials_ref,
            )
            if until is None:
                recording.until_ms = min(recording.until_ms, to_ms(min(order.issued_at, now)))
                return True
            self._order = order
            recording.follow(order, to_ms(until))
            if not same_camera:
                recording.why = _MOVED
                return True
        if to_ms(now) >= recording.until_ms:
            until = self._order.allowed_until(now)
            if until is None:
                return True
            recording.until_ms = to_ms(until)
        return False

    def _look_at_media(self) -> None:
        recording = self._recording
        packets = recording.depacketizer.packets if recording.depacketizer else 0
        self._silent_s = 0.0 if packets != self._packets else self._silent_s + _TICK_S
        self._packets = packets
        limit_s = recording.silence_limit_s
        if self._silent_s >= limit_s:
            raise CameraError("UNAVAILABLE", "CAMERA", f"the camera sent no video for {limit_s:g} s")
        self._frameless_s = 0.0 if recording.assembler.frames else self._frameless_s + _TICK_S
        if self._frameless_s >= _KEY_FRAME_WITHIN_S:
            raise CameraError(
                "UNAVAILABLE",
                "CAMERA",
                "the camera sends video without key frames; set its key frame interval to 2 s",
            )
        self._session.declare_lost(recording)

    async def _keep_lease(self) -> Claim:
        """Renew the lease; returns once another recorder has it."""
        while True:
            await asyncio.sleep(_LEASE_EVERY_S)
            claim = await self._session.lease.claim()
            if claim.holder:
                return claim
            self._recording.fence(self._session.lease.token)
