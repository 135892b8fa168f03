"""Keeps a signed public key published for every hour ahead of every camera with a live order."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from lykta_common.clock import Clock
from lykta_common.errors import PlatformError
from lykta_common.logging import get_logger
from lykta_common.messaging import KvBucket
from lykta_common.signing import Signer
from lykta_contracts.instants import hour_of
from lykta_contracts.media import MEDIA_KEY_TYPE, MediaKey
from pydantic import ValidationError

from lykta_storage.domain.deletion import HourState
from lykta_storage.domain.footage import CameraHour
from lykta_storage.keyring import Keyring
from lykta_storage.store.hours import HourRow, HourStore, NewKey
from lykta_storage.store.terms import TermStore

log = get_logger(__name__)

ROUND_SECONDS: Final = 30.0
"""A round begins at the latest this long after the one before; the horizon makes the exact moment unimportant."""
FULL_ROUNDS: Final = 20
"""Every so many rounds what is published is read back and compared."""


class MediaKeys:
    """The keys of hours to come. The database is the truth; a published key is never replaced by another."""

    def __init__(self, hours: HourStore, terms: TermStore, keyring: Keyring, signer: Signer, clock: Clock) -> None:
        self._hours = hours
        self._terms = terms
        self._keyring = keyring
        self._signer = signer
        self._verifier = signer.verifier()
        self._clock = clock
        self._published: set[CameraHour] = set()
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Say that the live cameras changed."""
        self._changed.set()

    async def run(self, bucket: Callable[[], Awaitable[KvBucket]], horizon_hours: int) -> None:
        """Keep keys published until cancelled; what fails is tried again in the next round."""
        rounds = 0
        while True:
            self._changed.clear()
            if rounds % FULL_ROUNDS == 0:
                self._published.clear()
            try:
                board = await bucket()
                if rounds % FULL_ROUNDS == 0:
                    await self.sweep(board)
                await self.publish(board, horizon_hours)
                rounds += 1
                pause = ROUND_SECONDS
            except PlatformError as error:
                log.warning("media_keys_waiting", reason=error.reason, error=error.message)
                pause = 1.0 if error.retryable else ROUND_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def publish(self, bucket: KvBucket, horizon_hours: int) -> None:
        """Make and publish what is missing, the nearest hours first; running it again changes nothing."""
        now = self._clock.now()
        names = [hour_of(now + timedelta(hours=ahead)) for ahead in range(horizon_hours + 1)]
        cameras = await self._terms.live_cameras()
        failed: PlatformError | None = None
        for first in (names[:1], names[1:]):
            for controller, camera in cameras if first else []:
                try:
                    await self._publish_camera(bucket, controller, camera, first)
                except PlatformError as error:
                    if error.retryable:
                        raise
                    # One controller without its key must not stop the others.
                    log.error("media_key_not_made", controller=controller, camera=camera, error=error.message)
                    failed = error
        if failed is not None:
            raise failed

    async def sweep(self, bucket: KvBucket) -> None:
        """Take back the public keys of hours whose private half is destroyed."""
        for name in await bucket.keys():
            parts = name.split(".")
            row = await self._hours.get(CameraHour(*parts)) if len(parts) == 3 else None
            if row is not None and row.state is not HourState.OPEN:
                await bucket.delete(name)

    async def identity(self, hour: CameraHour) -> str | None:
        """Return the private half of an hour's key; None when it was destroyed or never was."""
        wrapped = await self._hours.wrapped_key(hour)
        return None if wrapped is None else self._keyring.unwrap(hour, wrapped)

    async def _publish_camera(self, bucket: KvBucket, controller: str, camera: str, names: list[str]) -> None:
        wanted = [CameraHour(controller, camera, name) for name in names]
        wanted = [hour for hour in wanted if hour not in self._published]
        if not wanted:
            return
        rows = await self._hours.rows(controller, camera, wanted[0].hour, wanted[-1].hour)
        fresh = [hour for hour in wanted if hour.hour not in rows and await self._is_free(bucket, hour)]
        if fresh:
            made = [NewKey(hour, *self._keyring.new_pair(hour)) for hour in fresh]
            await self._hours.add_keys(made)
            rows = await self._hours.rows(controller, camera, wanted[0].hour, wanted[-1].hour)
        for hour in wanted:
            if hour.hour in rows:
                await self._publish_hour(bucket, rows[hour.hour])

    async def _is_free(self, bucket: KvBucket, hour: CameraHour) -> bool:
        entry = await bucket.get(kv_key(hour))
        if entry is None:
            return True
        # Its private half is not ours (a lost database?): a second key would split the hour in two.
        log.error("media_key_orphaned", controller=hour.controller, camera=hour.camera, hour=hour.hour)
        return False

    async def _publish_hour(self, bucket: KvBucket, row: HourRow) -> None:
        hour = row.hour
        if row.state is not HourState.OPEN or not row.recipient:
            self._published.add(hour)
            return
        entry = await bucket.get(kv_key(hour))
        if entry is None or entry.value is None:
            key = MediaKey(controller=hour.controller, camera=hour.camera, hour=hour.hour, recipient=row.recipient)
            await bucket.create(kv_key(hour), self._signer.sign(MEDIA_KEY_TYPE, key.to_json()))
        elif self._recipient(entry.value) != row.recipient:
            log.error("media_key_conflict", controller=hour.controller, camera=hour.camera, hour=hour.hour)
        self._published.add(hour)

    def _recipient(self, envelope: bytes) -> str:
        try:
            return MediaKey.from_json(self._verifier.open(MEDIA_KEY_TYPE, envelope)).recipient
        except (PlatformError, ValidationError):
            return ""


def kv_key(hour: CameraHour) -> str:
    """Name the KV entry of an hour's public key."""
    return f"{hour.controller}.{hour.camera}.{hour.hour}"
