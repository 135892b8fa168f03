"""One camera under one mandate: from live parts to rows in the incident book."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from lykta_common.backoff import Backoff
from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.messaging import CoreMessage, Messaging
from lykta_common.telemetry import Telemetry, traceparent
from lykta_contracts.instants import from_ms, to_ms
from lykta_contracts.mandates import MandateOrder
from lykta_contracts.streams import MEDIA_SUBJECT

from lykta_analytics.cascade import CameraAnalysis
from lykta_analytics.decoder.process import DecoderError, DecoderProcess, Picture
from lykta_analytics.domain import Step
from lykta_analytics.incidents import Scene
from lykta_analytics.parts import MediaPart, PartQueue, read_part
from lykta_analytics.ports import ObjectDetector
from lykta_analytics.rules import zone_rules
from lykta_analytics.telemetry import AnalyticsMetrics
from lykta_analytics.usecases import IncidentBook

log = get_logger(__name__)

_IDLE_SECONDS: Final = 1.0
_TOUCH_MS: Final = 2_000


@dataclass(frozen=True)
class Means:
    """What every session works with; `worker` runs the analysis, one picture at a time for each detector."""

    messaging: Messaging
    telemetry: Telemetry
    clock: Clock
    book: IncidentBook
    detector: ObjectDetector
    worker: Executor
    metrics: AnalyticsMetrics
    queue_parts: int
    stale_seconds: float
    refuse_weak_sandbox: bool


@dataclass
class Counters:
    """What a session did, for health and tests."""

    parts: int = 0
    drops: int = 0
    dropped: int = 0
    unreadable: int = 0
    refused: int = 0
    pictures: int = 0
    skipped: int = 0
    looked: int = 0
    decoder_failures: dict[str, int] = field(default_factory=dict)


class CameraSession:
    """Analyses one camera until cancelled; a cancelled session leaves its incidents open for the next one."""

    def __init__(self, order: MandateOrder, scene: Scene, means: Means) -> None:
        self.order = order
        self.counters = Counters()
        self._labels = (order.controller, order.camera)
        self.weak: tuple[str, ...] = ()
        self._scene = scene
        self._means = means
        self._queue = PartQueue(means.queue_parts)
        self._allowed: tuple[datetime, datetime] | None = None
        self._decoder_backoff = Backoff(first=0.5, most=30.0)
        self._decoder_rests_until = 0.0
        self._last_picture_s = means.clock.monotonic()
        self._touched_ms = 0
        self._analysis: CameraAnalysis | None = None

    async def run(self) -> None:
        """Subscribes, resumes what was open, and works until cancelled."""
        order, book = self.order, self._means.book
        rules = zone_rules(order.mandate.analytics)
        resumed = await book.resume(order.controller, order.camera)
        analysis = self._analysis = CameraAnalysis(rules, self._means.detector, resumed)
        await book.close(order.controller, order.camera, "rule_removed", analysis.open_since)
        subject = MEDIA_SUBJECT.format(controller=order.controller, camera=order.camera)
        async with (
            DecoderProcess(on_weak=self._on_weak, refuse_weak=self._means.refuse_weak_sandbox) as decoder,
            self._means.messaging.subscribe_core(subject, self._on_message),
        ):
            log.info("analysis_started", controller=order.controller, camera=order.camera, rules=len(rules))
            while True:
                try:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        part = await self._queue.get()
                except TimeoutError:
                    await self._idle(analysis)
                    continue
                await self._handle(part, decoder, analysis)

    async def _on_message(self, message: CoreMessage) -> None:
        self.counters.parts += 1
        self._means.metrics.parts.labels(*self._labels).inc()
        try:
            part = read_part(message.payload, message.headers)
        except ValueError as error:
            self.counters.unreadable += 1
            if _is_worth_a_line(self.counters.unreadable):
                log.warning(
                    "part_unreadable", camera=self.order.camera, error=str(error), so_far=self.counters.unreadable
                )
            return
        dropped = self._queue.put(part)
        if dropped:
            self.counters.drops += 1
            self.counters.dropped += dropped
            self._means.metrics.parts_dropped.labels(*self._labels).inc(dropped)
            if _is_worth_a_line(self.counters.drops):
                log.warning("parts_dropped", camera=self.order.camera, so_far=self.counters.dropped)

    def _on_weak(self, possible: Sequence[str]) -> None:
        self.weak = tuple(possible)
        log.error("decoder_isolation_incomplete", camera=self.order.camera, still_possible=self.weak)

    async def _handle(self, part: MediaPart, decoder: DecoderProcess, analysis: CameraAnalysis) -> None:
        if not self._covered(from_ms(part.from_ms)):
            self.counters.refused += 1
            await decoder.stop()
            await self._commit(analysis.end(part.from_ms, "outside_hours"))
            return
        attributes = {"controller": self.order.controller, "camera": self.order.camera}
        with self._means.telemetry.span("analyse part", part.traceparent, **attributes):
            for picture in self._affordable(await self._pictures(part, decoder)):
                await self._look(picture, analysis)

    def _affordable(self, pictures: list[Picture]) -> list[Picture]:
        """Behind by one part: only the newest picture; by more: none, so that decoding catches up without a gap."""
        behind = len(self._queue)
        kept = pictures if behind == 0 else pictures[-1:] if behind == 1 else []
        self.counters.skipped += len(pictures) - len(kept)
        return kept

    def _covered(self, instant: datetime) -> bool:
        if self._allowed is None or not self._allowed[0] <= instant < self._allowed[1]:
            until = self.order.allowed_until(instant)
            self._allowed = (instant, until) if until is not None else None
        return self._allowed is not None

    async def _pictures(self, part: MediaPart, decoder: DecoderProcess) -> list[Picture]:
        if self._means.clock.monotonic() < self._decoder_rests_until:
            return []
        try:
            pictures = await decoder.decode(part.from_ms, part.init, part.body)
        except DecoderError as error:
            failures = self.counters.decoder_failures
            failures[error.reason] = failures.get(error.reason, 0) + 1
            self._means.metrics.decoder_failures.labels(error.reason).inc()
            if error.reason in ("hang", "crash", "protocol", "weak"):
                rest_seconds = self._decoder_backoff.next()
                self._decoder_rests_until = self._means.clock.monotonic() + rest_seconds
                log.error("decoder_killed", camera=self.order.camera, reason=error.reason, rest_seconds=rest_seconds)
            elif error.reason == "corrupt" and _is_worth_a_line(failures[error.reason]):
                log.warning("part_corrupt", camera=self.order.camera, so_far=failures[error.reason])
            return []
        self._decoder_backoff.reset()
        return pictures

    async def _look(self, picture: Picture, analysis: CameraAnalysis) -> None:
        loop = asyncio.get_running_loop()
        verdict = await loop.run_in_executor(self._means.worker, analysis.analyse, picture.at_ms, picture.image)
        self.counters.pictures += 1
        self._means.metrics.pictures.labels(*self._labels).inc()
        self.counters.looked += verdict.looked
        self._last_picture_s = self._means.clock.monotonic()
        frame = (picture.source_width, picture.source_height)
        if frame != self._scene.frame:
            self._scene = replace(self._scene, frame=frame)
        await self._commit(verdict.steps)
        if analysis.open_since and abs(picture.at_ms - self._touched_ms) >= _TOUCH_MS:
            self._touched_ms = picture.at_ms
            await self._touch(analysis.open_since)

    async def _touch(self, open_since: dict[str, int]) -> None:
        try:
            await self._means.book.store.touch(self.order.controller, self.order.camera, open_since)
        except PlatformError as error:
            log.warning("incident_not_touched", camera=self.order.camera, reason=error.reason)

    async def _idle(self, analysis: CameraAnalysis) -> None:
        """Nothing comes: after the stale time, what is open ends, because nobody can say that it goes on."""
        silent_seconds = self._means.clock.monotonic() - self._last_picture_s
        if analysis.open_since and silent_seconds > self._means.stale_seconds:
            await self._commit(analysis.end(to_ms(self._means.clock.now()), "no_picture"))

    async def _commit(self, steps: Sequence[Step]) -> None:
        """Writes the steps in order; while the database is away it waits, and the bounded queue gives up parts."""
        backoff = Backoff()
        for step in steps:
            while True:
                try:
                    await self._means.book.record(self._scene, step, traceparent())
                    break
                except PlatformError as error:
                    log.warning("incident_waits_for_database", camera=self.order.camera, reason=error.reason)
                    await asyncio.sleep(backoff.next())


def _is_worth_a_line(count: int) -> bool:
    """True for 1, 2, 4, 8, …: a broken camera must not fill the log."""
    return count & (count - 1) == 0
