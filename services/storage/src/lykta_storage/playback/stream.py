"""One open playback: credits, the order of items, its end, and the closing audit entry."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError
from lykta_common.logging import get_logger
from lykta_contracts.audit import AuditRecord, Result
from lykta_contracts.instants import from_ms, to_wire

from lykta_storage.audit_trail import AuditTrail
from lykta_storage.domain.coverage import SEAM_MS
from lykta_storage.domain.spans import Span, total_ms, union
from lykta_storage.playback.admission import Admitted, person, trace_id
from lykta_storage.playback.reader import FragmentPart, Part, Reader
from lykta_storage.playback.vigil import Ended, Revocations, Verdict, Vigil

log = get_logger(__name__)

MOST_CREDITS: Final = 3
"""Fragments that may be under way: the bound on what a revoked reader already holds."""
LINGER_SECONDS: Final = 10.0
"""How long a playback whose right has ended waits for its reader to take the news."""
CLOSED: Final = "footage.playback.closed"
LONGEST_LIST: Final = 50
"""Delivered intervals that are listed in the closing entry; the rest are counted."""


class Credits:
    """What the client has asked for and not got; a fourth credit is not counted."""

    def __init__(self) -> None:
        self._left = 1
        self._closed = False
        self._changed = asyncio.Event()
        self._changed.set()

    def give(self, count: int) -> None:
        """Add credits; raises PlatformError INVALID_FIELD for none or less."""
        if count < 1:
            raise PlatformError(Code.INVALID_ARGUMENT, "INVALID_FIELD", "credits must be 1 or more")
        self._left = min(MOST_CREDITS, self._left + count)
        self._changed.set()

    def close(self) -> None:
        """Say that no more will come."""
        self._closed = True
        self._changed.set()

    async def take(self, wait_seconds: float) -> None:
        """Use one, waiting for it; raises PlatformError when none comes."""
        while self._left == 0:
            if self._closed:
                message = "the client stopped giving credits before the end of the footage"
                raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._changed.wait()
            except TimeoutError as error:
                message = f"no credit came for {wait_seconds:g} s"
                raise PlatformError(Code.DEADLINE_EXCEEDED, "DEADLINE", message) from error
        self._left -= 1


@dataclass(frozen=True)
class Desk:
    """What every playback needs."""

    reader: Reader
    vigil: Vigil
    revocations: Revocations
    trail: AuditTrail
    clock: Clock
    credit_wait_seconds: float


class PlaybackStream:
    """A playback after admission: `run` fills it, `next` empties it; both end when the right to it ends."""

    def __init__(self, admitted: Admitted, desk: Desk) -> None:
        self.credits = Credits()
        self.abandoned = False
        """True when the right ended and the reader did not take the news in time."""
        self._admitted = admitted
        self._desk = desk
        self._verdict = Verdict()
        self._items: asyncio.Queue[Part | PlatformError | None] = asyncio.Queue(maxsize=1)
        self._delivered: list[Span] = []
        self._over = asyncio.Event()
        self._closed = asyncio.Event()
        self._reason = ""

    async def run(self) -> None:
        """Work until the reader is done or gone, then write the closing entry, cancelled or not."""
        grant_id = self._admitted.grant.grant_id
        self._desk.revocations.watch(grant_id, self._verdict)
        try:
            async with asyncio.TaskGroup() as tasks:
                working = [tasks.create_task(self._watch()), tasks.create_task(self._fill())]
                await self._wait_until_over()
                for task in working:
                    task.cancel()
        finally:
            self._desk.revocations.forget(grant_id, self._verdict)
            await self._close()

    async def next(self) -> Part | Ended | None:
        """Return the next item, the end of the right to it, or None at the end; raises what broke the playback."""
        getting = asyncio.ensure_future(self._items.get())
        ending = asyncio.ensure_future(self._verdict.event.wait())
        try:
            await asyncio.wait((getting, ending), return_when=asyncio.FIRST_COMPLETED)
            if self._verdict.ended is not None:
                return self._ended(self._verdict.ended)
            item = getting.result()
        finally:
            getting.cancel()
            ending.cancel()
        if isinstance(item, PlatformError):
            raise item
        if isinstance(item, FragmentPart):
            # Counted when it is handed over: rather one too many than one too few.
            self._delivered.append(item.fragment.span)
        return item

    def refuse(self, error: PlatformError) -> None:
        """End the playback because of what the client asks."""
        self._verdict.end(Ended(error.reason, error.message, error))

    def end(self) -> None:
        """Say that the reader is done or gone; called more than once it changes nothing."""
        self._over.set()

    async def finished(self) -> None:
        """Wait until the closing entry is written."""
        self.end()
        await self._closed.wait()

    def _ended(self, ended: Ended) -> Ended:
        self._broken(ended.reason)
        if ended.error is not None:
            raise ended.error
        return ended

    def _broken(self, reason: str) -> None:
        # The first reason stands: what breaks in the wake of a revocation is not why the playback ended.
        ended = self._verdict.ended
        self._reason = self._reason or (ended.reason if ended else reason)

    async def _wait_until_over(self) -> None:
        over = asyncio.ensure_future(self._over.wait())
        ended = asyncio.ensure_future(self._verdict.event.wait())
        try:
            await asyncio.wait((over, ended), return_when=asyncio.FIRST_COMPLETED)
            # A reader who takes nothing any more must not keep an ended playback open.
            await asyncio.wait((over,), timeout=LINGER_SECONDS)
            self.abandoned = not self._over.is_set()
        finally:
            over.cancel()
            ended.cancel()

    async def _watch(self) -> None:
        try:
            await self._desk.vigil.keep(self._admitted, self._verdict)
        except Exception as error:  # boundary: worker; a playback that nobody watches must end
            log.error("playback_vigil_failed", exc_info=error)
            defect = _defect()
            self._verdict.end(Ended(defect.reason, defect.message, defect))

    async def _fill(self) -> None:
        try:
            async with aclosing(self._desk.reader.read(self._admitted)) as parts:
                async for part in parts:
                    if isinstance(part, FragmentPart):
                        await self.credits.take(self._desk.credit_wait_seconds)
                    await self._items.put(part)
            await self._items.put(None)
        except PlatformError as error:
            await self._fail(error)
        except Exception as error:  # boundary: worker; the reader is told, the service goes on
            log.error("playback_failed", exc_info=error)
            await self._fail(_defect())

    async def _fail(self, error: PlatformError) -> None:
        self._broken(error.reason)
        if error.code is Code.DATA_LOSS:
            wanted = self._admitted.wanted
            log.error("footage_integrity_failed", controller=wanted.controller, camera=wanted.camera, why=error.message)
            await self._note("footage.integrity.failed", "failed", {"why": error.message})
        await self._items.put(error)

    async def _close(self) -> None:
        delivered = union(self._delivered, SEAM_MS)
        spans = ",".join(f"{to_wire(from_ms(low))}/{to_wire(from_ms(high))}" for low, high in delivered[:LONGEST_LIST])
        details = {
            "delivered": spans,
            "delivered_intervals": str(len(delivered)),
            "delivered_ms": str(total_ms(delivered)),
            "delivered_fragments": str(len(self._delivered)),
        }
        try:
            await self._note(CLOSED, "failed" if self._reason else "done", details)
        finally:
            self._closed.set()

    async def _note(self, action: str, result: Result, details: dict[str, str]) -> None:
        try:
            await self._desk.trail.note(self._record(action, result, details))
        except PlatformError as error:
            # Neither the log nor our own database took it: what is left is to say so.
            log.error("audit_entry_lost", action=action, playback_id=self._admitted.playback_id, reason=error.reason)

    def _record(self, action: str, result: Result, details: dict[str, str]) -> AuditRecord:
        admitted, grant = self._admitted, self._admitted.grant
        return AuditRecord(
            entry_id=f"{action}/{admitted.playback_id}",
            occurred_at=self._desk.clock.now(),
            actor=person(grant.person_id, admitted.caller.workload),
            controller=admitted.wanted.controller,
            action=action,
            object=f"camera/{admitted.wanted.camera}",
            purpose=grant.purpose,
            case_id=grant.case_id,
            grant_id=grant.grant_id,
            result=result,
            reason=self._reason,
            details={"playback_id": admitted.playback_id, **details},
            correlation_id=trace_id(),
        )


def _defect() -> PlatformError:
    return PlatformError(Code.INTERNAL, "INTERNAL", "a defect in the platform; the log has the cause")
