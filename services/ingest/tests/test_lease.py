"""The lease of a camera: who has it after a race, after NATS stood still, and after it ran out."""

from lykta_common.errors import Code, PlatformError
from lykta_common.messaging import KvEntry
from lykta_contracts.media import Lease
from lykta_ingest.domain import CameraRef
from lykta_ingest.lease import CameraLease
from lykta_testing.clock import ManualClock

REF = CameraRef("ks", "torg-1")


class Bucket:
    """One key of a KV bucket; `late` takes a write and tells its writer that nobody answered."""

    def __init__(self) -> None:
        self.entry: KvEntry | None = None
        self.revision = 0
        self.late = False

    async def bucket(self) -> "Bucket":
        """Be the desk too."""
        return self

    async def get(self, key: str) -> KvEntry | None:
        """Return the entry."""
        return self.entry

    async def create(self, key: str, value: bytes) -> int:
        """Set the key when it is free."""
        return await self.update(key, value, 0)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Set the key when it is at the revision."""
        if revision != (self.entry.revision if self.entry else 0):
            raise PlatformError(Code.ABORTED, "CONFLICT", "changed")
        self.revision += 1
        self.entry = KvEntry(key, value, self.revision)
        if self.late:
            raise PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "no answer")
        return self.revision

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Free the key."""
        self.entry = None


async def test_a_renewal_whose_answer_was_lost_is_ours() -> None:
    """A write of ours that arrived without an answer does not make us a stranger to our own lease."""
    bucket = Bucket()
    lease = CameraLease(REF, "ingest-0", bucket, ManualClock())
    assert (await lease.claim()).held
    bucket.late = True
    assert not (await lease.claim()).reachable
    bucket.late = False
    claim = await lease.claim()
    assert (claim.held, claim.holder) == (True, "")


async def test_a_lease_that_ran_out_is_taken_anew_with_a_higher_token() -> None:
    """A lease that ended while NATS stood still is taken again at once, under a token that only grows."""
    bucket = Bucket()
    lease = CameraLease(REF, "ingest-0", bucket, ManualClock())
    await lease.claim()
    token = lease.token
    bucket.entry = None
    assert (await lease.claim()).held
    assert lease.token > token


async def test_a_lease_that_another_took_is_lost() -> None:
    """Who finds another's name in the lease stops."""
    bucket = Bucket()
    lease = CameraLease(REF, "ingest-0", bucket, ManualClock())
    await lease.claim()
    bucket.entry = None
    await bucket.create(REF.key, Lease(holder="ingest-1", taken_at=ManualClock().now()).to_json())
    claim = await lease.claim()
    assert (claim.held, claim.holder) == (False, "ingest-1")
