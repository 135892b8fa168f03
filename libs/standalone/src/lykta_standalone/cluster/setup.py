"""Makes what services need in the servers: streams, durables, KV buckets, S3 buckets and accounts; repeatable."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import nats.errors
import nats.js.errors
from lykta_common.config import ObjectStoreSettings
from lykta_common.errors import Code, PlatformError, unavailable
from lykta_common.logging import get_logger
from lykta_common.objectstore import open_admin, read_credentials
from lykta_common.tls import TlsFiles
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, S3Error
from minio.minioadmin import MinioAdmin
from minio.objectlockconfig import DAYS, ObjectLockConfig
from urllib3.exceptions import HTTPError

from lykta_standalone.bootstrap import bootstrap_nats
from lykta_standalone.cluster.plan import NatsSetup, S3Setup, SetupPlan
from lykta_standalone.cluster.table import S3_ACTIONS, s3_policy

log = get_logger(__name__)

SECONDS: Final = 420.0
"""How long servers may take to answer after an install; the job's own deadline is longer."""
_PAUSE: Final = 2.0
_ATTEMPT: Final = 20.0


async def setup(plan: SetupPlan, secrets: Path, tls: TlsFiles, seconds: float = SECONDS) -> None:
    """Set up both servers; waits for them, and raises PlatformError that says what to do when one cannot serve."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            _until(lambda: set_up_nats(plan.nats, secrets / "nats-password", tls), f"NATS at {plan.nats.url}", seconds)
        )
        tasks.create_task(
            _until(
                lambda: set_up_object_store(plan.s3, secrets / "s3"), f"the object store at {plan.s3.endpoint}", seconds
            )
        )
    log.info("cluster_set_up", replicas=plan.nats.replicas, endpoint=plan.s3.endpoint)


async def _until(work: Callable[[], Awaitable[None]], what: str, seconds: float) -> None:
    """Repeat work that may be too early, until it is done or the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        try:
            async with asyncio.timeout(min(_ATTEMPT, max(1.0, end - loop.time()))):
                await work()
        except TimeoutError as error:
            if loop.time() > end:
                raise unavailable(what) from error
        except PlatformError as error:
            if error.code is not Code.UNAVAILABLE or loop.time() > end:
                raise
            log.info("setup_waits", server=what, cause=str(error.__cause__ or error.message))
        else:
            return
        await asyncio.sleep(_PAUSE)


async def set_up_nats(wanted: NatsSetup, password: Path, tls: TlsFiles) -> None:
    """Make streams, durables and KV buckets; raises PlatformError UNAVAILABLE when NATS cannot do it yet."""
    try:
        await bootstrap_nats(wanted.url, password, tls, wanted.replicas)
    except nats.js.errors.ServiceUnavailableError as error:
        message = (
            f"NATS at {wanted.url} has no JetStream (turn it on there: jetstream {{}}), or too few servers for "
            f"{wanted.replicas} copies of each stream (nats.streamReplicas)"
        )
        raise PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message) from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise unavailable(f"NATS at {wanted.url}") from error


async def set_up_object_store(wanted: S3Setup, credentials: Path) -> None:
    """Make buckets and accounts; raises PlatformError UNAVAILABLE when the store cannot do it yet."""
    try:
        await asyncio.to_thread(_make_buckets, wanted, credentials)
    except (S3Error, MinioAdminException, HTTPError, OSError) as error:
        raise unavailable(f"the object store at {wanted.endpoint}") from error


def _make_buckets(wanted: S3Setup, credentials: Path) -> None:
    settings = ObjectStoreSettings(
        s3_endpoint=wanted.endpoint, s3_region=wanted.region, s3_credentials_file=credentials / "bootstrap.json"
    )
    client = open_admin(settings)
    if not client.bucket_exists(wanted.footage_bucket):
        client.make_bucket(wanted.footage_bucket, wanted.region)
    if not client.bucket_exists(wanted.audit_bucket):
        client.make_bucket(wanted.audit_bucket, wanted.region, object_lock=True)
        client.set_object_lock_config(wanted.audit_bucket, ObjectLockConfig(COMPLIANCE, wanted.audit_lock_days, DAYS))
    _require_lock(client, wanted.audit_bucket)
    if wanted.accounts:
        _make_accounts(wanted, credentials)


def _require_lock(client: Minio, bucket: str) -> None:
    try:
        mode = client.get_object_lock_config(bucket).mode
    except S3Error as error:
        if error.code not in ("ObjectLockConfigurationNotFoundError", "InvalidRequest"):
            raise
        mode = None
    if mode != COMPLIANCE:
        message = (
            f"the bucket {bucket} has no object lock in compliance mode, and the log is not written without; "
            "name another in objectStore.buckets.audit, or make it anew with object lock"
        )
        raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)


def _make_accounts(wanted: S3Setup, credentials: Path) -> None:
    access_key, secret_key = read_credentials(credentials / "bootstrap.json")
    parts = urlsplit(wanted.endpoint)
    admin = MinioAdmin(
        endpoint=parts.netloc,
        credentials=StaticProvider(access_key, secret_key),
        region=wanted.region,
        secure=parts.scheme == "https",
    )
    buckets = {"footage": wanted.footage_bucket, "audit": wanted.audit_bucket}
    for name in S3_ACTIONS:
        user, secret = read_credentials(credentials / f"{name}.json")
        policy = f"lykta-{name}"
        admin.user_add(user, secret)
        admin.policy_add(policy, policy=s3_policy(name, buckets))
        admin.policy_set(policy, user=user)
        log.info("object_store_account", account=name)
