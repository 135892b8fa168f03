"""The S3 object store on the hot path (obstore); retention and locks go through the minio SDK where they are needed."""

import json
from collections.abc import AsyncIterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import obstore
from minio import Minio
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.exceptions import NotFoundError as MissingError
from obstore.store import S3Store

from lykta_common.config import ObjectStoreSettings
from lykta_common.errors import Code, PlatformError, invalid, not_found, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST_TIMEOUT: Final = timedelta(seconds=20)


@dataclass(frozen=True)
class ObjectInfo:
    """An object's key and size in bytes."""

    key: str
    size_bytes: int


class ObjectStore:
    """One bucket. A missing object is NOT_FOUND, a store that does not answer UNAVAILABLE."""

    def __init__(self, store: S3Store, bucket: str) -> None:
        self.bucket = bucket
        self._store = store

    async def put_if_absent(self, key: str, payload: bytes | bytearray) -> bool:
        """Write an object once (`If-None-Match: *`); return False when it exists already (and is left alone)."""
        try:
            with self._translated(key):
                await obstore.put_async(self._store, key, payload, mode="create", use_multipart=False)
        except PlatformError as error:
            if error.code is Code.ALREADY_EXISTS:
                return False
            raise
        return True

    async def put(self, key: str, payload: bytes) -> None:
        """Write an object, replacing what was there."""
        with self._translated(key):
            await obstore.put_async(self._store, key, payload, use_multipart=False)

    async def get(self, key: str) -> bytes:
        """Return the whole object."""
        with self._translated(key):
            response = await obstore.get_async(self._store, key)
            return bytes(await response.bytes_async())

    async def get_range(self, key: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`."""
        with self._translated(key):
            return bytes(await obstore.get_range_async(self._store, key, start=offset, length=length))

    async def head(self, key: str) -> ObjectInfo:
        """Return an object's size; raises NOT_FOUND."""
        with self._translated(key):
            meta = await obstore.head_async(self._store, key)
            return ObjectInfo(key, int(meta["size"]))

    async def delete(self, key: str) -> None:
        """Delete an object; deleting a missing one changes nothing."""
        try:
            with self._translated(key):
                await obstore.delete_async(self._store, key)
        except PlatformError as error:
            if error.code is not Code.NOT_FOUND:
                raise

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield every object under a prefix that ends in a slash, in key order."""
        with self._translated(prefix):
            async for page in obstore.list(self._store, prefix=prefix):
                for meta in page:
                    yield ObjectInfo(str(meta["path"]), int(meta["size"]))

    async def ping(self) -> None:
        """Health check: raises when the store does not answer."""
        try:
            await self.head("health/none")
        except PlatformError as error:
            if error.code is not Code.NOT_FOUND:
                raise

    @contextmanager
    def _translated(self, key: str) -> "Iterator[None]":
        try:
            yield
        except (MissingError, FileNotFoundError) as error:
            raise not_found(f"the object {key} in bucket {self.bucket}") from error
        except AlreadyExistsError as error:
            raise PlatformError(Code.ALREADY_EXISTS, "CONFLICT", f"the object {key} exists already") from error
        except (BaseError, OSError) as error:
            if _is_refusal(error):
                # Tried again like an outage: what is to be mended is the account, not the caller.
                message = f"the object store refuses this account at bucket {self.bucket}: look at its key and policy"
                raise PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message) from error
            raise unavailable(f"the object store (bucket {self.bucket})") from error


def _is_refusal(error: BaseException) -> bool:
    # Lists and deletions come as general errors: what S3 said is only in their text.
    return isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or "AccessDenied" in str(error)


def open_bucket(settings: ObjectStoreSettings, bucket: str, *, sign_payload: bool = True) -> ObjectStore:
    """Return a bucket of the store; nothing is contacted yet.

    Without `sign_payload` the request is signed and its body is not (SigV4 UNSIGNED-PAYLOAD): one SHA-256 less over
    every body, for objects that carry hashes of their own.
    """
    access_key, secret_key = read_credentials(settings.s3_credentials_file)
    store = S3Store(
        bucket,
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=access_key,
        secret_access_key=secret_key,
        virtual_hosted_style_request=False,
        unsigned_payload=not sign_payload,
        client_options={
            "allow_http": settings.s3_endpoint.startswith("http://"),
            "timeout": REQUEST_TIMEOUT,
            "connect_timeout": timedelta(seconds=3),
        },
        retry_config={
            "max_retries": 2,
            "retry_timeout": REQUEST_TIMEOUT,
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
        },
    )
    return ObjectStore(store, bucket)


def open_admin(settings: ObjectStoreSettings) -> Minio:
    """Return the SDK for buckets, versions, locks and holds (blocking: call it in a thread)."""
    access_key, secret_key = read_credentials(settings.s3_credentials_file)
    parts = urlsplit(settings.s3_endpoint)
    return Minio(
        parts.netloc,
        access_key=access_key,
        secret_key=secret_key,
        secure=parts.scheme == "https",
        region=settings.s3_region,
    )


def read_credentials(path: Path) -> tuple[str, str]:
    """Return access key and secret key from a JSON file; raises PlatformError that names the file."""
    try:
        parsed: Any = json.loads(path.read_text())
        return str(parsed["access_key"]), str(parsed["secret_key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise invalid(f"cannot read S3 credentials (access_key, secret_key) from {path}") from error
