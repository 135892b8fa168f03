"""Hands drafts to the journal, and what became of them to the uploader and to the announcements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from lykta_common.clock import Clock
from lykta_common.logging import get_logger
from lykta_contracts.events import CloudEvent

from lykta_ingest.announcements import Announcements
from lykta_ingest.commit import GroupCommit
from lykta_ingest.drafts import EventDraft, FragmentDraft, GapDraft, NothingDraft
from lykta_ingest.journal import Location, SpoolBusyError, SpoolFullError
from lykta_ingest.segments import Stored
from lykta_ingest.upload import Uploader

log = get_logger(__name__)

AnyDraft = FragmentDraft | GapDraft | EventDraft
Settled = Callable[[Exception | None], None]
_LOG_EVERY_S = 10.0


class Keeper:
    """The one door to the spool for everything that must not be lost."""

    def __init__(self, commit: GroupCommit, uploader: Uploader, announcements: Announcements, clock: Clock) -> None:
        self._commit = commit
        self._uploader = uploader
        self._announcements = announcements
        self._clock = clock
        self._logged_at = -_LOG_EVERY_S
        self.lost_drafts = 0
        self.on_kept: Callable[[FragmentDraft | GapDraft], None] = lambda _: None
        """Called with every fragment and gap that is safe."""

    def keep(self, draft: AnyDraft, weight_bytes: int = 0, settled: Settled | None = None) -> None:
        """Queue a draft; `settled` learns None when it is safe, or why it is not."""
        future = self._commit.submit(draft, weight_bytes)
        future.add_done_callback(lambda done: self._settle(draft, done, settled))

    async def flushed(self) -> None:
        """Return once everything that was queued before is safe, or refused."""
        with suppress(SpoolBusyError):
            await self._commit.submit(NothingDraft(), 0)

    def announce_kept(self, event: CloudEvent) -> None:
        """Announce an event that the journal holds, and forget it there when it is out."""
        self._announcements.announce(event, lambda: self._commit.done(f"event/{event.id}"))

    def _settle(self, draft: AnyDraft, done: asyncio.Future[list[Location]], settled: Settled | None) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self._log(error)
        if not isinstance(draft, EventDraft):
            if error is None:
                self._pass_on(draft, done.result())
            for key in draft.closed:
                self._uploader.close(key)
        elif error is None:
            self.announce_kept(draft.event)
        if settled is not None:
            settled(error if isinstance(error, Exception) or error is None else SpoolBusyError(str(error)))

    def _pass_on(self, draft: FragmentDraft | GapDraft, locations: list[Location]) -> None:
        self.on_kept(draft)
        for event in draft.events:
            self.announce_kept(event)
        if isinstance(draft, FragmentDraft) and draft.fragment is not None:
            self._uploader.add(Stored(draft.fragment, locations[-1]))

    def _log(self, error: BaseException) -> None:
        self.lost_drafts += 1
        now = self._clock.monotonic()
        if now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            known = isinstance(error, SpoolFullError | SpoolBusyError | OSError)
            log.error("spool_refused", lost=self.lost_drafts, error=str(error), exc_info=None if known else error)
