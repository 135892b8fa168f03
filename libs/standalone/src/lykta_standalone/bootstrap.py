"""Creates streams, durable consumers, KV buckets and S3 buckets from the tables of the contracts; safe to run again."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Final

import nats
from lykta_common.config import ObjectStoreSettings, read_secret
from lykta_common.objectstore import open_admin
from lykta_common.tls import TlsFiles, client_context
from lykta_contracts.permissions import BOOTSTRAP_USER
from lykta_contracts.streams import BUCKETS, DUPLICATE_WINDOW, DURABLES, STREAMS
from minio.commonconfig import COMPLIANCE
from minio.objectlockconfig import DAYS, ObjectLockConfig
from nats.js import api
from nats.js.errors import NotFoundError

FOOTAGE_BUCKET: Final = "lykta-footage"
AUDIT_BUCKET: Final = "lykta-audit"
AUDIT_LOCK_DAYS: Final = 5 * 365
"""The register and its proofs are kept at least five years (kamerabevakningslagen 9-10 §§)."""


async def bootstrap_nats(url: str, password_file: Path, tls: TlsFiles, replicas: int = 1) -> None:
    """Create or update every stream, durable consumer and KV bucket."""
    client = await nats.connect(
        url, user=BOOTSTRAP_USER, password=read_secret(password_file), tls=client_context(tls),
        inbox_prefix=f"_INBOX.{BOOTSTRAP_USER}", connect_timeout=5,
    )  # fmt: skip
    try:
        jetstream = client.jetstream()
        for stream in STREAMS:
            config = api.StreamConfig(
                name=stream.name,
                subjects=list(stream.subjects),
                max_age=stream.kept.total_seconds(),
                duplicate_window=min(DUPLICATE_WINDOW, stream.kept).total_seconds(),
                num_replicas=replicas,
                storage=api.StorageType.FILE,
                allow_direct=True,
            )
            try:
                await jetstream.update_stream(config)
            except NotFoundError:
                await jetstream.add_stream(config)
        for durable in DURABLES:
            await jetstream.add_consumer(
                durable.stream,
                api.ConsumerConfig(
                    name=durable.name,
                    durable_name=durable.name,
                    filter_subjects=list(durable.filters),
                    ack_policy=api.AckPolicy.EXPLICIT,
                    # The consumer counts failures itself, because an outage must not use up a message.
                    max_deliver=-1,
                    ack_wait=durable.ack_wait.total_seconds(),
                ),
            )
        for bucket in BUCKETS:
            try:
                await jetstream.key_value(bucket.name)
            except NotFoundError:
                await jetstream.create_key_value(
                    api.KeyValueConfig(
                        bucket=bucket.name,
                        history=bucket.history,
                        ttl=(bucket.ttl or timedelta()).total_seconds() or None,
                        replicas=replicas,
                        storage=api.StorageType.FILE,
                    )
                )
    finally:
        await client.close()


async def bootstrap_s3(settings: ObjectStoreSettings) -> None:
    """Create the buckets; the audit bucket with object lock in compliance mode."""
    await asyncio.to_thread(_bootstrap_s3, settings)


def _bootstrap_s3(settings: ObjectStoreSettings) -> None:
    admin = open_admin(settings)
    if not admin.bucket_exists(FOOTAGE_BUCKET):
        admin.make_bucket(FOOTAGE_BUCKET)
    if not admin.bucket_exists(AUDIT_BUCKET):
        admin.make_bucket(AUDIT_BUCKET, object_lock=True)
        admin.set_object_lock_config(AUDIT_BUCKET, ObjectLockConfig(COMPLIANCE, AUDIT_LOCK_DAYS, DAYS))
