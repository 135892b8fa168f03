"""What the object lock of a real store keeps, against its own administrator: every version that was ever published."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from lykta.audit.v1 import log_service_pb2 as pb
from lykta_audit.config import Settings
from lykta_common.objectstore import open_admin, open_bucket
from lykta_testing import minio
from lykta_testing.platform import eventually
from lykta_verify.log import verify_log
from minio import Minio
from minio.commonconfig import COMPLIANCE, GOVERNANCE
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.retention import Retention

BUCKET = "lykta-audit"
FIVE_YEARS = timedelta(days=5 * 365)


@pytest.fixture
async def admin(harness: Any) -> Minio:
    """The object store's administrator, with a log of 3 and then 5 entries published."""
    async with harness.service(), harness.stub() as stub:
        for begin, end in ((0, 3), (3, 5)):
            await stub.Append(harness.batch(begin, end))
            await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=end), timeout=25)
    return open_admin(harness.backbone.s3_settings())


def versions(admin: Minio) -> list[tuple[str, str]]:
    """Every version of every object, without deletion markers."""
    found = admin.list_objects(BUCKET, recursive=True, include_version=True)
    return sorted((str(item.object_name), str(item.version_id)) for item in found if not item.is_delete_marker)


async def refused(work: Callable[[], Any]) -> str:
    """Do what must be refused, in a thread; give the store's code for it."""
    with pytest.raises(S3Error) as caught:
        await asyncio.to_thread(work)
    return str(caught.value.code)


async def test_no_version_can_be_deleted_by_the_administrator(harness: Any, admin: Minio, tmp_path: Path) -> None:
    """One by one, in bulk, and with the right to bypass: every tile and every checkpoint ever published stays."""
    before = await asyncio.to_thread(versions, admin)
    assert [name for name, _ in before].count("checkpoint") >= 2
    assert sum(name.startswith("tile/") for name, _ in before) >= 4
    for name, version in before:
        await refused(lambda name=name, version=version: admin.remove_object(BUCKET, name, version))
    doomed = [DeleteObject(name, version) for name, version in before]
    for bypass in (False, True):
        errors = await asyncio.to_thread(
            lambda bypass=bypass: list(admin.remove_objects(BUCKET, doomed, bypass_governance_mode=bypass))
        )
        assert sorted(str(error.name) for error in errors) == [name for name, _ in before]
    with pytest.raises(S3Error):
        await asyncio.to_thread(admin.remove_bucket, BUCKET)
    assert await asyncio.to_thread(versions, admin) == before
    assert verify_log(await harness.download(tmp_path / "log"), harness.vkey).holds


async def test_a_lock_can_be_made_longer_and_nothing_else(admin: Minio) -> None:
    """A tile is locked in compliance mode for the years the law asks; it cannot be shortened or softened, only grow."""
    (name, version), *_ = [pair for pair in await asyncio.to_thread(versions, admin) if pair[0].startswith("tile/0/")]
    kept = await asyncio.to_thread(admin.get_object_retention, BUCKET, name, version)
    assert kept is not None
    assert kept.mode == COMPLIANCE
    until = kept.retain_until_date
    assert timedelta() < until - datetime.now(UTC) - FIVE_YEARS + timedelta(hours=1) < timedelta(hours=2)

    def lock(mode: str, moment: datetime) -> None:
        admin.set_object_retention(BUCKET, name, Retention(mode, moment), version)

    await refused(lambda: lock(COMPLIANCE, until - timedelta(days=1)))
    await refused(lambda: lock(GOVERNANCE, until + timedelta(days=1)))
    await asyncio.to_thread(lock, COMPLIANCE, until + timedelta(days=1))
    grown = await asyncio.to_thread(admin.get_object_retention, BUCKET, name, version)
    assert grown is not None
    assert grown.retain_until_date == until + timedelta(days=1)


async def test_a_deletion_only_hides_and_the_next_start_shows_again(harness: Any, admin: Minio, tmp_path: Path) -> None:
    """A deletion marker over the whole log removes no version; started again, the service publishes over it."""
    before = await asyncio.to_thread(versions, admin)
    for name in sorted({name for name, _ in before}):
        await asyncio.to_thread(admin.remove_object, BUCKET, name)
    bucket = open_bucket(harness.backbone.s3_settings(), BUCKET)
    assert [found.key async for found in bucket.list("tile/")] == []
    assert await asyncio.to_thread(versions, admin) == before
    async with harness.service(), harness.stub() as stub:
        await stub.Append(harness.batch(5, 6))
        await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=6), timeout=25)
    assert verify_log(await harness.download(tmp_path / "log"), harness.vkey).holds
    assert set(before) < set(await asyncio.to_thread(versions, admin))


@pytest.mark.parametrize("config", [None, ObjectLockConfig(GOVERNANCE, 9, DAYS), ObjectLockConfig(None, None, None)])
async def test_a_bucket_that_does_not_keep_the_log_is_refused(harness: Any, config: ObjectLockConfig | None) -> None:
    """No lock, a lock that the administrator may lift, or no default: appends go on, and nothing is published there."""
    settings = harness.backbone.s3_settings()
    admin = open_admin(settings)
    await asyncio.to_thread(lambda: admin.make_bucket("soft", object_lock=config is not None))
    if config is not None:
        await asyncio.to_thread(admin.set_object_lock_config, "soft", config)
    more = {"bucket_audit": "soft", "s3_credentials_file": harness.backbone.s3_credentials_file}
    async with harness.service(**more), harness.stub() as stub:
        assert len((await stub.Append(harness.batch(0, 3))).receipts) == 3
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=3), timeout=1)
    assert await asyncio.to_thread(lambda: list(admin.list_objects("soft", recursive=True))) == []


async def test_the_service_itself_can_only_add(harness: Any, admin: Minio) -> None:
    """The service's account can neither delete nor hide an object, and touch neither its lock nor the bucket's."""
    if not minio.wanted():
        pytest.skip(f"accounts of services are in MinIO only; run with {minio.VARIABLE}=minio")
    settings: Settings = harness.settings()
    assert settings.s3_credentials_file != harness.backbone.s3_credentials_file
    own = open_admin(settings)
    before = await asyncio.to_thread(versions, admin)
    later = Retention(COMPLIANCE, datetime.now(UTC) + 2 * FIVE_YEARS)
    attempts: list[Callable[[], Any]] = [
        lambda: own.set_object_lock_config(BUCKET, ObjectLockConfig(GOVERNANCE, 1, DAYS)),
        lambda: own.delete_object_lock_config(BUCKET),
        lambda: own.remove_bucket(BUCKET),
    ]
    for name, version in before:
        attempts += [
            lambda name=name: own.remove_object(BUCKET, name),
            lambda name=name, version=version: own.remove_object(BUCKET, name, version),
            lambda name=name, version=version: own.set_object_retention(BUCKET, name, later, version),
        ]
    assert [await refused(attempt) for attempt in attempts] == ["AccessDenied"] * len(attempts)
    assert await asyncio.to_thread(versions, admin) == before
    bucket = open_bucket(settings, BUCKET)
    assert await eventually(lambda: bucket.get("checkpoint"))
