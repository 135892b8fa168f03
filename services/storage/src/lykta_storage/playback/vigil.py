"""Watches over an open playback, so that it ends with the right to it: by push at once, by asking within a second."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError
from lykta_common.logging import get_logger
from lykta_common.messaging import CoreMessage
from lykta_contracts.events import GrantRevoked, UnreadableEventError, read_event

from lykta_storage.playback.admission import Admitted
from lykta_storage.ports import PolicyAuthority

log = get_logger(__name__)

ASK_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Ended:
    """Why a playback ended before its time; `error` is set when it ends with a failure instead of a refusal."""

    reason: str
    message: str
    error: PlatformError | None = None


class Verdict:
    """The end of one playback's right, once it has come."""

    def __init__(self) -> None:
        self.ended: Ended | None = None
        self.event = asyncio.Event()

    def end(self, ended: Ended) -> None:
        """Say that it ended; the first word counts."""
        if self.ended is None:
            self.ended = ended
            self.event.set()


class Revocations:
    """Tells open playbacks of revoked grants as access-control pushes them."""

    def __init__(self) -> None:
        self._watching: dict[str, set[Verdict]] = defaultdict(set)

    def watch(self, grant_id: str, verdict: Verdict) -> None:
        """Tell a playback when its grant is revoked."""
        self._watching[grant_id].add(verdict)

    def forget(self, grant_id: str, verdict: Verdict) -> None:
        """Stop telling it."""
        self._watching[grant_id].discard(verdict)
        if not self._watching[grant_id]:
            del self._watching[grant_id]

    async def on_message(self, message: CoreMessage) -> None:
        """Take in a push; what cannot be read is logged, for the next question brings the answer as well."""
        try:
            _, data = read_event(message.payload)
        except UnreadableEventError as error:
            log.error("revocation_unreadable", reason=error.reason)
            return
        if isinstance(data, GrantRevoked):
            for verdict in tuple(self._watching.get(data.grant_id, ())):
                verdict.end(Ended("GRANT_REVOKED", "the grant was revoked"))


@dataclass(frozen=True)
class Pace:
    """How often access-control is asked, and how long it may be silent, seconds."""

    every_seconds: float
    limit_seconds: float


class Vigil:
    """Asks access-control again and again while a playback is open."""

    def __init__(self, authority: PolicyAuthority, clock: Clock, pace: Pace) -> None:
        self._authority = authority
        self._clock = clock
        self._pace = pace

    async def keep(self, admitted: Admitted, verdict: Verdict) -> None:
        """Watch until the verdict falls; fails closed when nobody has confirmed the right for too long."""
        loop = asyncio.get_running_loop()
        confirmed = loop.time()
        while verdict.ended is None:
            if admitted.grant.expires_at <= self._clock.now().timestamp():
                verdict.end(Ended("GRANT_EXPIRED", "the grant has expired"))
                return
            try:
                async with asyncio.timeout(self._pace.every_seconds):
                    await verdict.event.wait()
                return
            except TimeoutError:
                pass
            try:
                decision = await self._authority.authorize(admitted.ask(), admitted.caller.bearer, ASK_SECONDS)
            except PlatformError as error:
                if loop.time() - confirmed > self._pace.limit_seconds:
                    message = "access-control has not confirmed the right to this footage; try again"
                    failure = PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message)
                    verdict.end(Ended(failure.reason, message, failure))
                else:
                    log.warning("recheck_failed", reason=error.reason)
                continue
            if not decision.allowed:
                verdict.end(Ended(decision.reason or "ROLE", decision.message or "access-control refused it"))
            confirmed = loop.time()
