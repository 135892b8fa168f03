"""The bucket the log is published in: immutable objects under retention, and one checkpoint that is replaced."""

import asyncio

from lykta_common.errors import Code, PlatformError, unavailable
from lykta_common.logging import get_logger
from lykta_common.objectstore import ObjectStore
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from lykta_audit.errors import data_loss
from lykta_audit.tiles import CHECKPOINT_PATH

log = get_logger(__name__)


class LogBucket:
    """Publishes the log. Failures are PlatformError UNAVAILABLE; an object that differs is DATA_LOSS."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put_once(self, path: str, payload: bytes) -> None:
        """Write an immutable object; one that is there already must have the same bytes, else DATA_LOSS."""
        if await self._store.put_if_absent(path, payload):
            return
        if await self._store.get(path) != payload:
            raise data_loss(f"the published object {path} is not what the database gives; the log stops here")

    async def get(self, path: str) -> bytes:
        """Read a published object; raises NOT_FOUND."""
        return await self._store.get(path)

    async def put_checkpoint(self, note: bytes) -> None:
        """Replace the checkpoint."""
        await self._store.put(CHECKPOINT_PATH, note)

    async def checkpoint(self) -> bytes | None:
        """Read the published checkpoint; None when nothing was published yet."""
        try:
            return await self._store.get(CHECKPOINT_PATH)
        except PlatformError as error:
            if error.code is Code.NOT_FOUND:
                return None
            raise


class LockCheck:
    """Looks whether the bucket keeps what it is given: object lock, COMPLIANCE mode, a default retention."""

    def __init__(self, admin: Minio, bucket: str) -> None:
        self._admin = admin
        self._bucket = bucket

    async def require(self) -> None:
        """Return when the bucket is locked, or when this service's S3 user may not ask (which is logged).

        Raises FAILED_PRECONDITION when it is missing or not locked, UNAVAILABLE when S3 does not answer.
        """
        try:
            config = await asyncio.to_thread(self._admin.get_object_lock_config, self._bucket)
        except S3Error as error:
            if error.code == "AccessDenied":
                log.warning("bucket_lock_unknown", bucket=self._bucket)
                return
            raise self._unlocked(error.code) from error
        except (MinioException, HTTPError, OSError) as error:
            raise unavailable("the object store") from error
        if config.mode != COMPLIANCE or not config.duration:
            raise self._unlocked("no default retention in COMPLIANCE mode")

    def _unlocked(self, why: str | None) -> PlatformError:
        message = f"the bucket {self._bucket} does not protect the log ({why}); make it with object lock"
        return PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)
