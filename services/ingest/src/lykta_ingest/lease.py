"""Who records a camera: a KV lease with a fencing token. Without NATS everyone who has a mandate records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError
from lykta_common.messaging import KvEntry
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

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Delete a key."""
        ...


class LeaseDesk(Protocol):
    """Gives the bucket when NATS answers."""

    async def bucket(self) -> LeaseBucket:
        """Return the bucket; raises PlatformError UNAVAILABLE when NATS is away."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer of one try: `holder` names another recorder that has the lease, `reachable` whether NATS answered."""

    held: bool
    holder: str
    reachable: bool


class CameraLease:
    """The lease of one camera for one recorder (`me`); a lease of the same name left by a crash is taken over."""

    def __init__(self, ref: CameraRef, me: str, desk: LeaseDesk, clock: Clock) -> None:
        self._ref = ref
        self._me = me
        self._desk = desk
        self._clock = clock
        self._revision = 0
        self.token = 0

    async def claim(self) -> Claim:
        """Take or renew the lease. When NATS does not answer, what was held goes on being held."""
        try:
            bucket = await self._desk.bucket()
            if self._revision:
                self._revision = await bucket.update(self._ref.key, self._value(), self._revision)
            else:
                await self._take(bucket)
        except PlatformError as error:
            if error.code is not Code.ABORTED:
                return Claim(self._revision > 0, "", reachable=False)
            self._revision = 0
            return await self._after_conflict()
        return Claim(held=True, holder="", reachable=True)

    async def release(self) -> None:
        """Give the lease up, so that another may record at once; best effort."""
        if not self._revision:
            return
        revision, self._revision = self._revision, 0
        try:
            bucket = await self._desk.bucket()
            await bucket.delete(self._ref.key, revision)
        except PlatformError:
            # It ends by itself within its time to live.
            return

    async def _take(self, bucket: LeaseBucket) -> None:
        found = await bucket.get(self._ref.key)
        if found is not None and found.value is not None and _holder(found.value) == self._me:
            self._revision = await bucket.update(self._ref.key, self._value(), found.revision)
        else:
            self._revision = await bucket.create(self._ref.key, self._value())
        self.token = self._revision

    async def _after_conflict(self) -> Claim:
        """Look who has it. What ended while NATS was away, or what we wrote ourselves before it went, is ours again."""
        try:
            bucket = await self._desk.bucket()
            found = await bucket.get(self._ref.key)
            holder = _holder(found.value) if found is not None and found.value is not None else ""
            if holder in ("", self._me):
                await self._take(bucket)
                return Claim(held=True, holder="", reachable=True)
        except PlatformError as error:
            if error.code is not Code.ABORTED:
                return Claim(held=False, holder="", reachable=False)
            holder = "another recorder"
        return Claim(held=False, holder=holder, reachable=True)

    def _value(self) -> bytes:
        return Lease(holder=self._me, taken_at=self._clock.now()).to_json()


def _holder(value: bytes) -> str:
    try:
        return Lease.from_json(value).holder
    except ValidationError:
        return "an unreadable lease"
