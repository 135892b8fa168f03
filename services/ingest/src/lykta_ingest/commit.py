"""Group commit: gathers what all cameras want kept and flushes it together, at most once per interval."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lykta_ingest.journal import Draft, Journal, Location, SpoolBusyError

T = TypeVar("T")
_PENDING_BYTES_MAX = 256 << 20


class GroupCommit:
    """The one writer of a journal: hashing, encryption, writing and flushing run in its single worker thread.

    The interval bounds the number of flushes however many cameras there are; at most 256 MiB may wait, what comes
    beyond that is refused with SpoolBusyError, which the caller declares as a gap.
    """

    def __init__(self, journal: Journal, interval_s: float) -> None:
        self._journal = journal
        self._interval_s = interval_s
        self._drafts: list[tuple[Draft, int, asyncio.Future[list[Location]]]] = []
        self._done: list[str] = []
        self._pending_bytes = 0
        self._wake = asyncio.Event()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._closing = False
        self.commits = 0

    def submit(self, draft: Draft, weight_bytes: int) -> asyncio.Future[list[Location]]:
        """Queue a draft; the future resolves once its records are flushed, or with the reason why they are not."""
        future: asyncio.Future[list[Location]] = asyncio.get_running_loop().create_future()
        if self._closing or self._pending_bytes + weight_bytes > _PENDING_BYTES_MAX:
            future.set_exception(
                SpoolBusyError(
                    "the recorder cannot keep up with its cameras; give it a faster disk or processor, or fewer cameras"
                )
            )
            return future
        self._drafts.append((draft, weight_bytes, future))
        self._pending_bytes += weight_bytes
        self._wake.set()
        return future

    def done(self, key: str) -> None:
        """Forget the records of a key with the next commit; unknown keys are ignored."""
        self._done.append(key)
        self._wake.set()

    async def in_worker(self, function: Callable[[], T]) -> T:
        """Run a function in the writer's thread, between two commits."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, function)

    async def run(self) -> None:
        """Commit until closed; the owner's task."""
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._drafts and not self._done):
            await self._wake.wait()
            self._wake.clear()
            began = loop.time()
            await self._commit()
            if not self._closing:
                await asyncio.sleep(max(0.0, self._interval_s - (loop.time() - began)))

    async def close(self) -> None:
        """Refuse new drafts; `run` writes what is queued and returns."""
        self._closing = True
        self._wake.set()

    def shutdown(self) -> None:
        """Stop the worker thread after `run` has returned."""
        self._worker.shutdown(wait=True)

    async def _commit(self) -> None:
        batch, self._drafts = self._drafts, []
        done, self._done = self._done, []
        if not batch and not done:
            return
        drafts = [draft for draft, _, _ in batch]
        loop = asyncio.get_running_loop()
        results = await loop.run_in_executor(self._worker, self._journal.commit, drafts, done)
        self.commits += 1
        _resolve(batch, results)
        self._pending_bytes -= sum(weight for _, weight, _ in batch)


def _resolve(
    batch: Sequence[tuple[Draft, int, asyncio.Future[list[Location]]]], results: Sequence[list[Location] | Exception]
) -> None:
    for (_, _, future), result in zip(batch, results, strict=True):
        if future.cancelled():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
