"""KV buckets: the last value of each key, with revisions for fencing, and a watch that survives reconnection."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import nats.errors
import nats.js.errors

from lykta_common.cancellation import obeying
from lykta_common.errors import Code, PlatformError, unavailable
from lykta_common.logging import get_logger

log = get_logger(__name__)

RESYNC_SECONDS: Final = 60.0
"""A silent watch is opened again this often, so that nothing is missed for longer."""
_FAILURES: Final = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


@dataclass(frozen=True)
class KvEntry:
    """A key's value and revision; the value is None when the key was deleted."""

    key: str
    value: bytes | None
    revision: int


OnChange = Callable[[KvEntry], Awaitable[None]]


class KvBucket:
    """One bucket; failures of NATS are PlatformError UNAVAILABLE, a lost race is ABORTED."""

    def __init__(self, name: str, store: Any, reconnects: set[asyncio.Event]) -> None:
        self.name = name
        self._store = store
        self._reconnects = reconnects

    async def get(self, key: str) -> KvEntry | None:
        """Return the entry of a key; None when there is none."""
        try:
            entry = await obeying(self._store.get(key))
        except (nats.js.errors.KeyNotFoundError, nats.js.errors.NotFoundError):
            return None
        except _FAILURES as error:
            raise self._away() from error
        return KvEntry(key, entry.value, entry.revision)

    async def put(self, key: str, value: bytes) -> int:
        """Set a key whatever it held; return the revision."""
        try:
            return int(await obeying(self._store.put(key, value)))
        except _FAILURES as error:
            raise self._away() from error

    async def create(self, key: str, value: bytes) -> int:
        """Set a key that must not exist; raises ABORTED CONFLICT when it does."""
        try:
            return int(await obeying(self._store.create(key, value)))
        except nats.js.errors.KeyWrongLastSequenceError as error:
            raise self._conflict(key) from error
        except _FAILURES as error:
            raise self._away() from error

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Set a key that must be at this revision; raises ABORTED CONFLICT when it is not."""
        try:
            return int(await obeying(self._store.update(key, value, last=revision)))
        except nats.js.errors.KeyWrongLastSequenceError as error:
            raise self._conflict(key) from error
        except _FAILURES as error:
            raise self._away() from error

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Delete a key, at this revision when given; deleting a missing key changes nothing."""
        try:
            await obeying(self._store.delete(key, last=revision))
        except nats.js.errors.KeyWrongLastSequenceError as error:
            raise self._conflict(key) from error
        except _FAILURES as error:
            raise self._away() from error

    async def keys(self) -> list[str]:
        """Return every key that has a value."""
        try:
            return list(await obeying(self._store.keys()))
        except nats.js.errors.NoKeysError:
            return []
        except _FAILURES as error:
            raise self._away() from error

    async def watch(self, on_change: OnChange, on_current: Callable[[], None] | None = None) -> None:
        """Call back for every value now and every change from now on; runs until cancelled.

        `on_current` is called each time all present values have been delivered. Each revision is delivered once.
        """
        seen: dict[str, int] = {}
        again = asyncio.Event()
        self._reconnects.add(again)
        try:
            while True:
                try:
                    await self._watch_once(seen, again, on_change, on_current)
                except _FAILURES as error:
                    log.warning("kv_watch_failed", bucket=self.name, error=str(error) or type(error).__name__)
                    await asyncio.sleep(1)
        finally:
            self._reconnects.discard(again)

    async def _watch_once(
        self,
        seen: dict[str, int],
        again: asyncio.Event,
        on_change: OnChange,
        on_current: Callable[[], None] | None,
    ) -> None:
        again.clear()
        watcher = await obeying(self._store.watchall())
        silent_since = asyncio.get_running_loop().time()
        try:
            while not again.is_set():
                now = asyncio.get_running_loop().time()
                if now - silent_since > RESYNC_SECONDS:
                    return
                try:
                    entry = await obeying(watcher.updates(timeout=1.0))
                except TimeoutError:
                    continue
                silent_since = now
                if entry is None:
                    if on_current is not None:
                        on_current()
                elif seen.get(entry.key, 0) < entry.revision:
                    seen[entry.key] = entry.revision
                    gone = entry.operation in ("DEL", "PURGE")
                    await on_change(KvEntry(entry.key, None if gone else entry.value, entry.revision))
        finally:
            await watcher.stop()

    def _away(self) -> PlatformError:
        return unavailable(f"the KV bucket {self.name}")

    def _conflict(self, key: str) -> PlatformError:
        return PlatformError(Code.ABORTED, "CONFLICT", f"{key} was changed by another at the same time")
