"""The lease of a camera: who has it after a race, after NATS stood still, and after it ran out."""

import pytest
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


def lease_of(name: str, bucket: Bucket, covered_ms: int = 0) -> CameraLease:
    """The lease as a recorder of that name sees it, which accounted for the camera's time until then."""
    return CameraLease(REF, name, bucket, ManualClock(), lambda: covered_ms)


async def test_a_renewal_whose_answer_was_lost_is_ours() -> None:
    """A write of ours that arrived without an answer does not make us a stranger to our own lease."""
    bucket = Bucket()
    lease = lease_of("ingest-0", bucket)
    assert (await lease.claim()).held
    bucket.late = True
    assert not (await lease.claim()).reachable
    bucket.late = False
    claim = await lease.claim()
    assert (claim.held, claim.holder) == (True, "")


async def test_a_lease_that_ran_out_is_taken_anew_with_a_higher_token() -> None:
    """A lease that ended while NATS stood still is taken again at once, under a token that only grows."""
    bucket = Bucket()
    lease = lease_of("ingest-0", bucket)
    await lease.claim()
    token = lease.token
    bucket.entry = None
    assert (await lease.claim()).held
    assert lease.token > token


async def test_a_lease_that_another_took_is_lost() -> None:
    """Who finds another's name in the lease stops."""
    bucket = Bucket()
    lease = lease_of("ingest-0", bucket)
    await lease.claim()
    bucket.entry = None
    await bucket.create(REF.key, Lease(holder="ingest-1", taken_at=ManualClock().now()).to_json())
    claim = await lease.claim()
    assert (claim.held, claim.holder) == (False, "ingest-1")


async def test_who_waits_learns_until_when_the_holder_accounted() -> None:
    """Every renewal says it, so that it is known even when the holder is lost."""
    bucket = Bucket()
    assert (await lease_of("ingest-0", bucket, covered_ms=5_000).claim()).held
    claim = await lease_of("ingest-1", bucket).claim()
    assert (claim.held, claim.holder, claim.covered_to_ms) == (False, "ingest-0", 5_000)


async def test_what_was_given_up_is_free_at_once_and_says_until_when() -> None:
    """The next recorder goes on where the last one ended, under a higher token."""
    bucket = Bucket()
    first, second = lease_of("ingest-0", bucket, covered_ms=7_000), lease_of("ingest-1", bucket)
    await first.claim()
    await first.release()
    claim = await second.claim()
    assert (claim.held, claim.covered_to_ms) == (True, 7_000)
    assert second.token > first.token
    assert (await first.claim()).holder == "ingest-1"


@pytest.mark.parametrize("orderly", [True, False])
async def test_of_its_own_time_a_recorder_believes_its_spool_only(orderly: bool) -> None:
    """What an earlier process of the same name left does not hide what the spool lost, nor is it another's leaving."""
    bucket = Bucket()
    before = lease_of("ingest-0", bucket, covered_ms=9_000)
    await before.claim()
    if orderly:
        await before.release()
    claim = await lease_of("ingest-0", bucket).claim()
    assert (claim.held, claim.covered_to_ms) == (True, 0)


async def test_an_unreadable_lease_is_left_to_its_end() -> None:
    """Nobody records on the word of a value that nobody understands, and nothing is taken to be accounted for."""
    bucket = Bucket()
    await bucket.create(REF.key, b"{")
    claim = await lease_of("ingest-0", bucket).claim()
    assert (claim.held, claim.holder, claim.covered_to_ms) == (False, "an unreadable lease", 0)
