"""One camera for as long as the recorder knows it: waits for its hours, its lease and its key, records, tries again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from lykta_common.backoff import Backoff
from lykta_common.logging import get_logger
from lykta_contracts.events import CameraLost, new_event
from lykta_contracts.instants import hour_of, to_ms
from lykta_contracts.mandates import MandateOrder
from lykta_contracts.media import GapCause

from lykta_ingest.address import parse_address, resolve
from lykta_ingest.credentials import find_credentials
from lykta_ingest.domain import CameraRef, State, Status, Why, duty_begins, next_change
from lykta_ingest.drafts import EventDraft, GapDraft
from lykta_ingest.errors import CameraError
from lykta_ingest.lease import CameraLease
from lykta_ingest.ledger import Ledger
from lykta_ingest.recording import Recording
from lykta_ingest.rtsp import connect
from lykta_ingest.rtsp_session import RtspSession
from lykta_ingest.station import Station
from lykta_ingest.watch import Watch

log = get_logger(__name__)

_LOOK_S = 1.0
_REST_MAX = timedelta(seconds=60)
_LEAVE_S = 2.0
_NOT_RUNNING = Why("PLATFORM", "the recorder was not running")
_AT_OPENING = Why("PLATFORM", "connecting to the camera at the beginning of the allowed hours")
_LEFT = Why("PLATFORM", "the recorder of this camera left, and another took it over")
_NO_KEY = Why("PLATFORM", "no media key for the hour is at hand; see that storage runs and reaches NATS")


class CameraSession:
    """The life of one camera; `obey` may be called at any time, `run` belongs to one task."""

    def __init__(self, ref: CameraRef, station: Station) -> None:
        self.ref = ref
        self._station = station
        mark = station.marks.get(ref.key, 0)
        self.status = Status(recorded_to_ms=mark)
        self.ledger = Ledger(ref, mark, round(station.settings.segment_seconds * 1000))
        self.lease = CameraLease(ref, station.replica, station.leases, station.clock, lambda: self.covered_to_ms)
        self.order: MandateOrder | None = None
        self.wake = asyncio.Event()
        self._backoff = Backoff(first=0.5, most=station.settings.camera_retry_seconds)
        self._why = _NOT_RUNNING
        self._declared_ms = 0
        self._declare_every_ms = round(station.settings.gap_seconds * 1000)
        self._recording = False
        self._explained_ms = 0

    @property
    def covered_to_ms(self) -> int:
        """Until when the camera's time is recorded or explained, safe in the spool (unix ms)."""
        return max(self.status.recorded_to_ms, self._explained_ms)

    def obey(self, order: MandateOrder, before: MandateOrder | None) -> None:
        """Take a new order; the session reacts at once."""
        if before is None and self.ledger.state.covered_to_ms == 0:
            self._why = _AT_OPENING
        elif before is not None and before.status != "live":
            self._explain(None, duty_begins(order), _AT_OPENING)
        elif before is not None and not self._recording and self.status.state is not State.LEASED_ELSEWHERE:
            self._explain(before, self._station.now_ms(), self._why)
        self.order = order
        self.status.mandate_id = order.mandate.mandate_id if order.status == "live" else ""
        self.wake.set()

    async def run(self) -> None:
        """Record whenever it is allowed, until cancelled."""
        try:
            while True:
                try:
                    await self._step()
                except CameraError as error:
                    await self._failed(error)
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """Give the camera up once its last pictures are safe, so that the next recorder goes on from there."""
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._station.keeper.flushed()
        except TimeoutError:
            log.warning("left_before_the_spool_was_written", camera=self.ref.key)
        await self.lease.release()

    async def _step(self) -> None:
        order, now = self.order, self._station.clock.now()
        until = order.allowed_until(now) if order else None
        if order is None or until is None:
            await self._rest(order)
        elif not await self._have_lease(order):
            await self._pause(_LOOK_S * 2)
        elif self._station.keys.recipient(self.ref, hour_of(now)) is None:
            self._show(State.NO_KEY, _NO_KEY.detail)
            self._because(order, _NO_KEY)
            await self._pause(_LOOK_S)
        else:
            await self._record(order, to_ms(until))

    async def _rest(self, order: MandateOrder | None) -> None:
        """Wait for the next allowed hour or a new order."""
        now = self._station.clock.now()
        if order is not None and order.status == "live":
            self._show(State.NOT_ALLOWED, "outside the hours of the mandate")
            self._explain(order, to_ms(now), self._why)
            opening = next_change(order, now, now + _REST_MAX)
        else:
            self._show(State.NOT_ALLOWED, "no mandate is in force")
            opening = now + _REST_MAX
        self._why = _AT_OPENING
        await self.lease.release()
        await self._pause(max(0.0, (opening - now).total_seconds()))

    async def _have_lease(self, order: MandateOrder) -> bool:
        claim = await self.lease.claim()
        if claim.covered_to_ms:
            self._explain(None, min(claim.covered_to_ms, self._station.now_ms()), self._why)
            self._why = _LEFT
        if claim.holder:
            self._show(
                State.LEASED_ELSEWHERE,
                f"{claim.holder} records this camera; stop one of the two, or wait until its lease of 15 s ends",
            )
            return False
        if not claim.reachable:
            log.warning("lease_unconfirmed", camera=self.ref.key, serial=order.serial)
        return True

    async def _record(self, order: MandateOrder, until_ms: int) -> None:
        """One RTSP session from connecting to the end; raises CameraError when the camera ended it."""
        settings, station = self._station.settings, self._station
        self._show(State.CONNECTING, "connecting")
        recording = Recording(station, self.ledger, self.status, order, self.lease.token)
        recording.until_ms, recording.why = until_ms, self._why
        address = parse_address(order.camera_address)
        credentials = find_credentials(settings.camera_credentials_file, order.credentials_ref)
        deadline_s = settings.camera_deadline_seconds
        pinned = await resolve(address, settings.camera_allow, deadline_s)
        connection = await connect(address, pinned, deadline_s, station.camera_tls)
        connection.authenticate_as(credentials)
        rtsp = RtspSession(connection, address.url, deadline_s)
        watch = Watch(self, recording, connection, rtsp)
        try:
            description = await rtsp.describe()
            depacketizer = recording.new_depacketizer(description.track)
            channel = await rtsp.set_up(description.track)
            connection.attach(channel, depacketizer, recording.on_control)
            self._recording = True
            if connection.read_in_turn():
                station.rota.join(connection)
            await rtsp.play()
            await watch.run()
        except CameraError as error:
            self._lost(recording, error)
            raise
        finally:
            self._recording = False
            connection.detach()
            self._end(recording)
            await rtsp.tear_down()
            station.rota.leave(connection)

    def _end(self, recording: Recording) -> None:
        """Close what is gathered; a GOP that reaches past the allowed end is dropped by the recording itself."""
        recording.assembler.finish()
        if recording.fragments:
            self._backoff.reset()
        until_ms = recording.until_ms if recording.until_ms <= self._station.now_ms() else 0
        order = recording.order if until_ms else None
        self._keep_gap(order, until_ms, recording.why, close_segment=True)
        self._why = recording.why

    def _lost(self, recording: Recording, error: CameraError) -> None:
        """Tell that a session ended against our will, and why the time from here on is missing."""
        if not recording.fragments:
            return
        recording.assembler.finish()
        recording.why = self._why = Why(error.cause, error.message)
        now = self._station.clock.now()
        data = CameraLost(
            controller=self.ref.controller, camera=self.ref.camera, cause=GapCause(error.cause), detail=error.message
        )
        event_id = f"lost.{self.ref.key}.{to_ms(now)}"
        self._station.keeper.keep(EventDraft(new_event(data, event_id, self._station.author.source, now)))

    async def _failed(self, error: CameraError) -> None:
        log.warning("camera_failed", camera=self.ref.key, code=error.code, reason=error.reason, error=error.message)
        self._show(State.CONNECTING if error.retryable else State.FAILED, error.message)
        if self.order is not None:
            self._because(self.order, Why(error.cause, error.message))
        wait_s = self._backoff.next()
        await self._pause(wait_s if error.retryable else self._station.settings.camera_retry_seconds)

    def _because(self, order: MandateOrder, why: Why) -> None:
        """Explain the time up to now by the cause so far when it changes, and every so often while it lasts."""
        now_ms = self._station.now_ms()
        if why != self._why or now_ms - self._declared_ms >= self._declare_every_ms:
            self._explain(order, now_ms, self._why)
        self._why = why

    def _explain(self, order: MandateOrder | None, until_ms: int, why: Why) -> None:
        self._declared_ms = until_ms
        self._keep_gap(order, until_ms, why)

    def declare_lost(self, recording: Recording) -> None:
        """Declare, while the spool refuses fragments, what was lost so far; gaps are small and fit its reserve."""
        if recording.failed_to_ms > self._declared_ms + self._declare_every_ms:
            self._explain(recording.order, recording.failed_to_ms, recording.why)

    def _keep_gap(self, order: MandateOrder | None, until_ms: int, why: Why, *, close_segment: bool = False) -> None:
        draft = GapDraft(
            self._station.author, self.ledger, order, until_ms, why, self.lease.token, close_segment=close_segment
        )
        self._station.keeper.keep(draft, settled=lambda error: self._kept_gap(until_ms, error))

    def _kept_gap(self, until_ms: int, error: Exception | None) -> None:
        if error is None:
            self._explained_ms = max(self._explained_ms, until_ms)

    def _show(self, state: State, detail: str) -> None:
        self.status.state, self.status.detail = state, detail

    async def _pause(self, seconds: float) -> None:
        """Wait, unless a new order comes."""
        self.wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            return
