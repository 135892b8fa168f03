"""Media keys: the public half of each camera-hour, watched in KV, verified here, held on disk for days ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.messaging import KvEntry
from lykta_common.signing import Verifier
from lykta_contracts.instants import hour_of
from lykta_contracts.media import MEDIA_KEY_TYPE, MediaKey
from pydantic import ValidationError

from lykta_ingest.agefile import Recipient
from lykta_ingest.domain import CameraRef
from lykta_ingest.held import HeldCopies

log = get_logger(__name__)

_SAVE_EVERY_S = 1.0
_PAST_KEPT = timedelta(hours=2)


class KeyRing:
    """Recipients by camera and hour. A value whose signature is bad never replaces a good one."""

    def __init__(self, held: HeldCopies, verifier: Verifier, clock: Clock) -> None:
        self._held = held
        self._verifier = verifier
        self._clock = clock
        self._recipients: dict[str, Recipient] = {}
        self._dirty = asyncio.Event()
        self.on_key: Callable[[CameraRef], None] = lambda _: None

    def recipient(self, ref: CameraRef, hour: str) -> Recipient | None:
        """Return the recipient of a camera-hour (UTC); None when no good key is at hand."""
        key = f"{ref.key}.{hour}"
        found = self._recipients.get(key)
        if found is None and key in self._held.values:
            found = self._open(key, self._held.values[key].encode())
            if found is not None:
                self._recipients[key] = found
        return found

    async def changed(self, entry: KvEntry) -> None:
        """Take a value of the bucket; a deleted key stays usable until its hour is over."""
        if entry.value is None or self._held.values.get(entry.key, "").encode() == entry.value:
            return
        recipient = self._open(entry.key, entry.value)
        if recipient is None:
            return
        self._recipients.pop(entry.key, None)
        self._held.values[entry.key] = entry.value.decode()
        self._dirty.set()
        controller, camera, _ = entry.key.split(".")
        self.on_key(CameraRef(controller, camera))

    async def run(self) -> None:
        """Write new keys to disk, at most once a second, and forget those of past hours; until cancelled."""
        while True:
            await self._dirty.wait()
            await self._clock.sleep(_SAVE_EVERY_S)
            self._dirty.clear()
            oldest = hour_of(self._clock.now() - _PAST_KEPT)
            for key in [key for key in self._held.values if key.rpartition(".")[2] < oldest]:
                del self._held.values[key]
                self._recipients.pop(key, None)
            try:
                await asyncio.to_thread(self._held.save)
            except OSError as error:
                log.error("media_keys_not_held", error=error.strerror)

    def _open(self, key: str, envelope: bytes) -> Recipient | None:
        try:
            media_key = MediaKey.from_json(self._verifier.open(MEDIA_KEY_TYPE, envelope))
            if key != f"{media_key.controller}.{media_key.camera}.{media_key.hour}":
                log.error("media_key_refused", key=key, reason="the key is for another camera-hour")
                return None
            return Recipient.parse(media_key.recipient)
        except PlatformError as error:
            log.error("media_key_refused", key=key, reason=error.message)
        except (ValidationError, ValueError):
            log.error("media_key_refused", key=key, reason="not a media key this release can read")
        return None
