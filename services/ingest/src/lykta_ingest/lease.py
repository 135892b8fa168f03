"""Who records a camera: a KV lease with a fencing token. Without NATS everyone who has a mandate records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError
from lykta_common.messaging import KvEntry
from lykta_contracts.instants import from_ms, to_ms
from lykta_contracts.media import Lease
from pydantic import ValidationError

from lykta_ingest.domain import CameraRef


class LeaseBucket(Protocol):
    """What of a KV bucket is needed here; failures are PlatformError, a lost race is ABORTED."""

    async def get(self, key: str) -> KvEntry | None:
        """Return the entry, or None."""
        ...

    async def create(self, key: str, value: bytes) -> int:
        """Set a key that must not exist."""
        ...

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Set a key that must be at this revision."""
        ...


class LeaseDesk(Protocol):
    """Gives the bucket when NATS answers."""

    async def bucket(self) -> LeaseBucket:
        """Return the bucket; raises PlatformError UNAVAILABLE when NATS is away."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer of one try: `holder` names another recorder that has the lease, `reachable` whether NATS answered.

    `covered_to_ms` (unix) is until when another recorder accounted for the camera's time, 0 where none says so.
    """

    held: bool
    holder: str
    reachable: bool
    covered_to_ms: int = 0


class CameraLease:
    """The lease of one camera for one recorder (`me`); a lease of the same name left by a crash is taken over.

    `covered` tells until when this recorder accounted for the camera's time (unix ms, 0 for never); every renewal
    passes it on to whoever will be next.
    """

    def __init__(self, ref: CameraRef, me: str, desk: LeaseDesk, clock: Clock, covered: Callable[[], int]) -> None:
        self._ref = ref
        self._me = me
        self._desk = desk
        self._clock = clock
        self._covered = covered
        self._revision = 0
        self.token = 0

    async def claim(self) -> Claim:
        """Take or renew the lease. When NATS does not answer, what was held goes on being held."""
        covered_to_ms = 0
        try:
            bucket = await self._desk.bucket()
            if self._revision:
                self._revision = await bucket.update(self._ref.key, self._value(), self._revision)
            else:
                covered_to_ms = await self._take(bucket)
        except PlatformError as error:
            if error.code is not Code.ABORTED:
                return Claim(self._revision > 0, "", reachable=False)
            self._revision = 0
            return await self._after_conflict()
        return Claim(held=True, holder="", reachable=True, covered_to_ms=covered_to_ms)

    async def release(self) -> None:
        """Give the lease up, so that another may record at once, and say until when we did; best effort."""
        if not self._revision:
            return
        revision, self._revision = self._revision, 0
        try:
            bucket = await self._desk.bucket()
            await bucket.update(self._ref.key, self._value(free=True), revision)
        except PlatformError:
            # It ends by itself within its time to live.
            return

    async def _take(self, bucket: LeaseBucket) -> int:
        """Take what is free or ours; return until when another accounted for it. Raises PlatformError ABORTED."""
        found = await bucket.get(self._ref.key)
        if found is None or found.value is None:
            self._revision, covered_to_ms = await bucket.create(self._ref.key, self._value()), 0
        else:
            other, covered_to_ms = self._of_others(found.value)
            if other:
                raise PlatformError(Code.ABORTED, "CONFLICT", f"{other} records the camera")
            self._revision = await bucket.update(self._ref.key, self._value(), found.revision)
        self.token = self._revision
        return covered_to_ms

    async def _after_conflict(self) -> Claim:
        """Look who has it. What ended while NATS was away, or what we wrote ourselves before it went, is ours again."""
        try:
            bucket = await self._desk.bucket()
            found = await bucket.get(self._ref.key)
            value = found.value if found is not None else None
            holder, covered_to_ms = ("", 0) if value is None else self._of_others(value)
            if not holder:
                return Claim(held=True, holder="", reachable=True, covered_to_ms=await self._take(bucket))
        except PlatformError as error:
            if error.code is not Code.ABORTED:
                return Claim(held=False, holder="", reachable=False)
            holder, covered_to_ms = "another recorder", 0
        return Claim(held=False, holder=holder, reachable=True, covered_to_ms=covered_to_ms)

    def _value(self, *, free: bool = False) -> bytes:
        covered_to = from_ms(covered) if (covered := self._covered()) else None
        return Lease(holder=self._me, taken_at=self._clock.now(), covered_to=covered_to, free=free).to_json()

    def _of_others(self, value: bytes) -> tuple[str, int]:
        """Return which other recorder has the lease, and until when (unix ms) another one accounted for the time.

        Of our own time our spool knows better.
        """
        try:
            lease = Lease.from_json(value)
        except ValidationError:
            return "an unreadable lease", 0
        if lease.holder == self._me:
            return "", 0
        return "" if lease.free else lease.holder, to_ms(lease.covered_to) if lease.covered_to else 0
