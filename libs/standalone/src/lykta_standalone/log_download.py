"""Downloads the transparency log from its bucket, as any reader of C2SP tlog-tiles would."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lykta_common.config import ObjectStoreSettings
from lykta_common.errors import Code, PlatformError, invalid
from lykta_common.objectstore import ObjectStore, open_bucket
from lykta_contracts.platform_file import PlatformFile

PARALLEL: Final = 8


class _ReaderSettings(ObjectStoreSettings):
    """Object-store settings of a reader."""


def bucket_of(platform: PlatformFile, use: str) -> ObjectStore:
    """Open a bucket of the platform (`footage` or `audit`) with the reader's credentials."""
    values = {"s3_endpoint": platform.s3_endpoint, "s3_credentials_file": platform.s3_credentials_file}
    return open_bucket(_ReaderSettings.model_validate(values), platform.s3_buckets[use])


async def download_log(platform: PlatformFile, directory: Path, progress: Callable[[int, int], None]) -> int:
    """Copy the log into an empty directory and return how many files it has; `progress` gets done and total.

    The checkpoint is read first, so that everything it covers is there. Raises PlatformError.
    """
    _claim(directory)
    store = bucket_of(platform, "audit")
    try:
        checkpoint = await store.get("checkpoint")
    except PlatformError as error:
        if error.code is Code.NOT_FOUND:
            message = "the log has no checkpoint yet; try again in a second"
            raise PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message) from error
        raise
    keys = [item.key async for item in store.list("tile/")]
    _keep(directory, "checkpoint", checkpoint)
    gate, done = asyncio.Semaphore(PARALLEL), 0

    async def fetch(key: str) -> None:
        nonlocal done
        async with gate:
            _keep(directory, key, await store.get(key))
            done += 1
            progress(done, len(keys))

    async with asyncio.TaskGroup() as tasks:
        for key in keys:
            tasks.create_task(fetch(key))
    return len(keys) + 1


def _claim(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise invalid(f"{directory} is not an empty directory; name another with --output")
    directory.mkdir(parents=True, exist_ok=True)


def _keep(directory: Path, key: str, payload: bytes) -> None:
    path = directory / key
    if not path.resolve().is_relative_to(directory.resolve()):
        raise invalid(f"the bucket holds an object with an impossible name: {key!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(payload)
