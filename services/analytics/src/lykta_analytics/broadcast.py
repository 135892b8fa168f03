"""Tells committed steps to those who watch now; a watcher that is too slow is let go and told so."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lykta_common.errors import Code, PlatformError

from lykta_analytics.store import BookRow

_MOST_WAITING: Final = 256


class Watcher:
    """The rows of one controller that were committed since it began to watch."""

    def __init__(self, controller: str) -> None:
        self.controller = controller
        self._rows: asyncio.Queue[BookRow | None] = asyncio.Queue(_MOST_WAITING + 1)
        self._behind = False

    def tell(self, row: BookRow) -> None:
        """Adds a row without waiting; the one too many ends the watch."""
        if self._rows.qsize() < _MOST_WAITING:
            self._rows.put_nowait(row)
        elif not self._behind:
            self._behind = True
            self._rows.put_nowait(None)

    async def next(self) -> BookRow:
        """Waits for the next row; raises `PlatformError` RESOURCE_EXHAUSTED where rows were left out."""
        row = await self._rows.get()
        if row is None:
            message = "this watcher fell behind; list what it missed and watch again"
            raise PlatformError(Code.RESOURCE_EXHAUSTED, "LIMIT", message)
        return row


class Broadcast:
    """Fans rows out to watchers; never blocks the teller."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()

    def tell(self, row: BookRow) -> None:
        """Gives the row to every watcher of its controller."""
        for watcher in self._watchers:
            if watcher.controller == row.controller:
                watcher.tell(row)

    @contextmanager
    def watching(self, controller: str) -> Iterator[Watcher]:
        """A watcher of one controller for the block."""
        watcher = Watcher(controller)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
