"""What one can ask the log: append, search, one entry, proofs, the published checkpoint."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError, invalid, not_found
from lykta_common.ids import new_id
from lykta_contracts.audit import Actor, AuditRecord
from lykta_contracts.ids import is_slug

from lykta_audit.checkpoint import CheckpointSigner
from lykta_audit.domain import Place, SearchQuery, StoredEntry, make_entry
from lykta_audit.inspection import check_entry
from lykta_audit.keeper import LogKeeper
from lykta_audit.ports import Decision, SearchPolicy
from lykta_audit.proofs import ProofReader
from lykta_audit.store import LogRows

MAX_RECORDS = 1000
PUBLIC_ACTIONS = frozenset({"footage.hour.sealed"})
"""Entries that name no person and that a clip's holder needs: any workload may read them."""
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """An entry's place and its RFC 6962 path in the tree of `size`."""

    index: int
    size: int
    leaf_hash: bytes
    hashes: list[bytes]


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    """The newest signed note that is published; empty and 0 before the first."""

    note: bytes
    size: int


async def append_records(keeper: LogKeeper, records: Sequence[AuditRecord]) -> tuple[Place, ...]:
    """Log 1 to 1000 records durably, all or none; idempotent by entry id. See LogWriter.append for refusals."""
    if not 1 <= len(records) <= MAX_RECORDS:
        raise invalid(f"an append carries 1 to {MAX_RECORDS} records")
    try:
        entries = [make_entry(record) for record in records]
    except ValueError as error:
        raise invalid(str(error)) from error
    return await keeper.append(entries)


class LogReader:
    """Reads for people and workloads. Every look of a person into the log is itself logged before it is answered."""

    def __init__(self, rows: LogRows, keeper: LogKeeper, policy: SearchPolicy, clock: Clock) -> None:
        self._rows = rows
        self._keeper = keeper
        self._policy = policy
        self._clock = clock

    async def search(self, token: str, query: SearchQuery) -> list[StoredEntry]:
        """Find entries of one controller for a person, newest first, one more than a page when there are more.

        Raises INVALID_FIELD without a controller, NOT_FOUND for somebody else's, PERMISSION_DENIED by role, and
        UNAVAILABLE when the look cannot be decided or logged.
        """
        if not is_slug(query.controller):
            raise invalid("a person searches within one controller: name it")
        asked = {"actor": query.actor_id, "case": query.case_id, "action": query.action, "object": query.object}
        details = {name: value for name, value in asked.items() if value}
        await self._admit(token, query.controller, "audit.searched", f"controller/{query.controller}", details)
        return [self._checked(entry) for entry in await self._rows.search(query)]

    async def entry(self, token: str, index: int, entry_id: str) -> StoredEntry:
        """Read one entry by id, or else by index; public ones for any workload, others as `search` would.

        Raises NOT_FOUND, also for an entry of somebody else's controller.
        """
        if entry_id:
            found = await self._rows.entry_by_id(entry_id)
        else:
            found = next(iter(await self._rows.entries(index, index + 1)), None)
        if found is None:
            raise not_found("the entry")
        self._checked(found)
        if found.columns.action not in PUBLIC_ACTIONS:
            if not is_slug(found.columns.controller):
                raise not_found("the entry")
            try:
                await self._admit(token, found.columns.controller, "audit.entry.read", f"entry/{found.index}", {})
            except PlatformError as error:
                if error.code is Code.NOT_FOUND:
                    # Somebody else's entry must look like none, down to the words.
                    raise not_found("the entry") from error
                raise
        return found

    def _checked(self, entry: StoredEntry) -> StoredEntry:
        """Never serve an entry that is not what was logged."""
        try:
            check_entry(entry)
        except PlatformError:
            self._keeper.suspect()
            raise
        return entry

    async def _admit(self, token: str, controller: str, action: str, target: str, details: dict[str, str]) -> None:
        """Have access-control decide, log the look or the refusal, and raise the refusal."""
        if not token:
            raise PlatformError(Code.UNAUTHENTICATED, "UNAUTHENTICATED", "no person's token was sent; log in first")
        decision = await self._policy.may_search(token, controller)
        if not decision.person_id:
            raise _refusal(decision)
        record = AuditRecord(
            entry_id=new_id("aud", self._clock),
            occurred_at=self._clock.now(),
            actor=Actor(kind="person", id=decision.person_id),
            controller=controller,
            action=action,
            object=target,
            result="allowed" if decision.allowed else "denied",
            reason="" if decision.allowed else decision.reason,
            details=details,
        )
        await append_records(self._keeper, [record])
        if not decision.allowed:
            raise _refusal(decision)


def _refusal(decision: Decision) -> PlatformError:
    """Turn access-control's no into an error; somebody else's controller looks like none."""
    if decision.reason == "NOT_FOUND":
        return not_found("the controller")
    if decision.reason == "UNAUTHENTICATED" or not decision.person_id:
        message = decision.message or "the token does not verify; log in again"
        return PlatformError(Code.UNAUTHENTICATED, "UNAUTHENTICATED", message)
    return PlatformError(Code.PERMISSION_DENIED, "ROLE", decision.message or "your role may not search the log")


class LogProver:
    """Gives proofs and checkpoints; they hold hashes only, so any workload may ask."""

    def __init__(self, rows: LogRows, signer: CheckpointSigner) -> None:
        self._rows = rows
        self._signer = signer
        self._proofs = ProofReader(rows)
        self._published = asyncio.Event()

    def announce(self) -> None:
        """A checkpoint was published: wake those who wait for one."""
        self._published.set()

    @property
    def verifier_key(self) -> str:
        """The log's `vkey`."""
        return self._signer.vkey

    async def checkpoint(self, min_size: int) -> PublishedCheckpoint:
        """Read the published checkpoint, waiting up to 30 s for one of at least `min_size` entries.

        Raises DEADLINE_EXCEEDED when it does not come.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    self._published.clear()
                    state = await self._rows.state(self._signer.origin)
                    if state.published_size >= min_size:
                        return PublishedCheckpoint(state.checkpoint, state.published_size)
                    await self._wait()
        except TimeoutError as error:
            message = f"no checkpoint of {min_size} entries was published in time; try again"
            raise PlatformError(Code.DEADLINE_EXCEEDED, "DEADLINE", message) from error

    async def inclusion(self, index: int, size: int) -> InclusionProof:
        """Prove an entry in the tree of `size`, 0 for the published one. Raises INVALID_FIELD outside the tree."""
        size = await self._bounded(size)
        if not 0 <= index < size:
            raise invalid(f"there is no entry {index} in the tree of {size}")
        (leaf,) = await self._rows.leaf_hashes(index, index + 1)
        return InclusionProof(index, size, leaf, await self._proofs.inclusion(index, size))

    async def consistency(self, old: int, new: int) -> tuple[int, list[bytes]]:
        """Prove that the tree of `new` (0 for the published one) extends that of `old`; gives new and the proof."""
        new = await self._bounded(new)
        if not 0 <= old <= new:
            raise invalid(f"a tree of {new} entries cannot extend one of {old}")
        return new, await self._proofs.consistency(old, new)

    async def _bounded(self, size: int) -> int:
        """Only published sizes are proved: what is not signed yet may still be lost with the database."""
        published = (await self._rows.state(self._signer.origin)).published_size
        if not 0 <= size <= published:
            raise invalid(f"the published log has {published} entries, not {size}")
        return size or published

    async def _wait(self) -> None:
        """Wait for the next publication; on a standby it is another process's, so look anyway."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._published.wait()
        except TimeoutError:
            return
