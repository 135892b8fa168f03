"""The two buckets: copied into the backup object by object, only what is new, and put back with their locks."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from lykta_common.backoff import Backoff
from lykta_common.config import ObjectStoreSettings
from lykta_common.errors import Code, PlatformError, unavailable
from lykta_common.objectstore import ObjectStore, open_admin, open_bucket
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.error import MinioException, S3Error
from minio.retention import Retention
from urllib3.exceptions import HTTPError

from lykta_standalone.backup.manifest import Stored, below, fingerprint, write_durably
from lykta_standalone.bootstrap import AUDIT_BUCKET, FOOTAGE_BUCKET

ResultT = TypeVar("ResultT")
AT_ONCE: Final = 8
PATIENCE_SECONDS: Final = 30.0
CHECKPOINT: Final = "checkpoint"
_UNLOCKED: Final = {"NoSuchObjectLockConfiguration", "InvalidRequest", "ObjectLockConfigurationNotFoundError"}


class Buckets:
    """Both buckets of a platform, with the administrator's credentials."""

    def __init__(self, settings: ObjectStoreSettings) -> None:
        self._settings = settings
        self._admin: Minio = open_admin(settings)

    async def mirror_footage(self, directory: Path, known: dict[str, Stored]) -> dict[str, Stored]:
        """Copy what is missing; objects are written once, so that one of the known size is the known one."""
        bucket = open_bucket(self._settings, FOOTAGE_BUCKET)
        found = await _patiently(lambda: _sizes(bucket))
        return await self._mirror(bucket, directory, found, known, locked=False)

    async def mirror_log(self, directory: Path, known: dict[str, Stored]) -> dict[str, Stored]:
        """Copy what is missing of the log; the checkpoint is read first, so that all it covers is there."""
        bucket = open_bucket(self._settings, AUDIT_BUCKET)
        try:
            checkpoint = await _patiently(lambda: bucket.get(CHECKPOINT))
        except PlatformError as error:
            if error.code is Code.NOT_FOUND:
                return {}
            raise
        sizes = await _patiently(lambda: _sizes(bucket))
        del sizes[CHECKPOINT]
        stored = await self._mirror(bucket, directory, sizes, known, locked=True)
        await asyncio.to_thread(write_durably, directory / CHECKPOINT, checkpoint)
        stored[CHECKPOINT] = await asyncio.to_thread(fingerprint, directory / CHECKPOINT)
        return stored

    async def put_footage(self, directory: Path, stored: dict[str, Stored]) -> None:
        """Put every object back."""
        bucket = open_bucket(self._settings, FOOTAGE_BUCKET)

        async def put(key: str) -> None:
            payload = await asyncio.to_thread(below(directory, key).read_bytes)
            await _patiently(lambda: bucket.put_if_absent(key, payload))

        await _each(put, stored)

    async def put_log(self, directory: Path, retained: dict[str, Stored]) -> int:
        """Put a copy of the log back, each object locked until when it was, the checkpoint last; return how many."""
        keys = sorted(
            path.relative_to(directory).as_posix() for path in (directory / "tile").rglob("*") if path.is_file()
        )

        async def put(key: str) -> None:
            until = retained[key].retain_until if key in retained else None
            payload = await asyncio.to_thread(below(directory, key).read_bytes)
            await _patiently(lambda: self._in_thread(lambda: self._put_locked(key, payload, until)))

        # The first alone: a fresh SeaweedFS takes seconds when its very first writes come at once.
        for part in (keys[:1], keys[1:], [CHECKPOINT]):
            await _each(put, part)
        return len(keys) + 1

    async def _mirror(
        self, bucket: ObjectStore, directory: Path, sizes: dict[str, int], known: dict[str, Stored], *, locked: bool
    ) -> dict[str, Stored]:
        stored: dict[str, Stored] = {}

        async def copy(key: str) -> None:
            file = below(directory, key)
            if key in known and known[key].size_bytes == sizes[key] and file.is_file():
                stored[key] = known[key]
                return
            try:
                payload = await _patiently(lambda: bucket.get(key))
            except PlatformError as error:
                if error.code is not Code.NOT_FOUND:
                    raise
                return  # deleted by retention since it was listed
            await asyncio.to_thread(write_durably, file, payload)
            found = await asyncio.to_thread(fingerprint, file)
            until = await self._retained_until(bucket.bucket, key) if locked else None
            stored[key] = found.model_copy(update={"retain_until": until})

        await _each(copy, sizes)
        return stored

    async def _retained_until(self, bucket: str, key: str) -> datetime | None:
        def ask() -> datetime | None:
            try:
                found = self._admin.get_object_retention(bucket, key)
            except S3Error as error:
                if error.code in _UNLOCKED:
                    return None
                raise
            return None if found is None else found.retain_until_date.astimezone(UTC)

        return await _patiently(lambda: self._in_thread(ask))

    def _put_locked(self, key: str, payload: bytes, until: datetime | None) -> None:
        still = until is not None and until > datetime.now(UTC)
        retention = Retention(COMPLIANCE, until) if still and until is not None else None
        self._admin.put_object(AUDIT_BUCKET, key, io.BytesIO(payload), len(payload), retention=retention)

    async def _in_thread(self, work: Callable[[], datetime | None] | Callable[[], None]) -> datetime | None:
        try:
            return await asyncio.to_thread(work)
        except (MinioException, HTTPError, OSError) as error:
            raise unavailable("the object store") from error


async def _sizes(bucket: ObjectStore) -> dict[str, int]:
    return {entry.key: entry.size_bytes async for entry in bucket.list("")}


async def _patiently(work: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Try again for a while: a store that was just started takes seconds until it serves what it holds."""
    backoff, loop = Backoff(first=0.2, most=2.0), asyncio.get_running_loop()
    end = loop.time() + PATIENCE_SECONDS
    while True:
        try:
            return await work()
        except PlatformError as error:
            if error.code is not Code.UNAVAILABLE or loop.time() > end:
                raise
        await asyncio.sleep(backoff.next())


async def _each(work: Callable[[str], Awaitable[None]], keys: Iterable[str]) -> None:
    """Do something for every key, a few at once; the first failure ends it."""
    left = iter(list(keys))

    async def worker() -> None:
        for key in left:
            await work(key)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(worker())
