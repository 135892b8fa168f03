"""Deletion that leaves nothing in the bucket: every version of an object, and its delete markers."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from lykta_common.errors import PlatformError, unavailable
from lykta_common.logging import get_logger
from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import MinioException
from urllib3.exceptions import HTTPError

log = get_logger(__name__)

_BATCH: Final = 1000
_DEADLINE_SECONDS: Final = 120.0
ResultT = TypeVar("ResultT")


class ObjectVersions:
    """The versions in one bucket; the SDK blocks, so its calls run in threads, each with a deadline."""

    def __init__(self, admin: Minio, bucket: str) -> None:
        self._admin = admin
        self._bucket = bucket

    async def keys(self, prefix: str) -> list[str]:
        """Return every key under a prefix that has any version left."""
        return await self._in_thread(lambda: sorted({key for key, _ in self._list(prefix)}))

    async def delete_under(self, prefix: str) -> None:
        """Delete every version of every object under a prefix; raises UNAVAILABLE when one is left."""
        await self._in_thread(lambda: self._delete(self._list(prefix)))

    async def delete(self, key: str) -> None:
        """Delete every version of one object; a missing one changes nothing."""
        await self._in_thread(lambda: self._delete([pair for pair in self._list(key) if pair[0] == key]))

    async def _in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                return await asyncio.to_thread(work)
        except (MinioException, HTTPError, OSError, TimeoutError) as error:
            raise self._away() from error

    def _list(self, prefix: str) -> list[tuple[str, str | None]]:
        found = self._admin.list_objects(self._bucket, prefix=prefix, recursive=True, include_version=True)
        return [(entry.object_name, entry.version_id) for entry in found if entry.object_name]

    def _delete(self, versions: list[tuple[str, str | None]]) -> None:
        doomed = [DeleteObject(key, version) for key, version in versions]
        for start in range(0, len(doomed), _BATCH):
            refused = list(self._admin.remove_objects(self._bucket, doomed[start : start + _BATCH]))
            for error in refused:
                log.error("object_not_deleted", key=error.name, error=error.code)
            if refused:
                raise self._away()

    def _away(self) -> PlatformError:
        return unavailable(f"the object store (bucket {self._bucket})")
