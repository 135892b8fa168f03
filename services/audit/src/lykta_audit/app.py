"""The composition root of the audit service: the only place where its parts meet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from grpc.aio import Channel
from lykta.audit.v1 import log_service_pb2_grpc
from lykta_common.clock import Clock
from lykta_common.database import Database, open_database
from lykta_common.health import Health
from lykta_common.ids import new_id
from lykta_common.messaging import Messaging, open_messaging
from lykta_common.objectstore import open_admin, open_bucket
from lykta_common.outbox import Outbox
from lykta_common.rpc import open_channel, serve
from lykta_common.runtime import Platform, ServiceSpec
from lykta_common.signing import Signer
from lykta_common.timekeeping import Timekeeper
from lykta_common.tls import TlsFiles
from lykta_contracts.instants import to_ms

from lykta_audit.checkpoint import CheckpointSigner
from lykta_audit.config import Settings
from lykta_audit.grpc_server import ALLOWED, SERVICE_NAME, LogServicer
from lykta_audit.handlers import ObservedHandler
from lykta_audit.keeper import LogKeeper
from lykta_audit.publisher import Publication
from lykta_audit.rebuild import rebuild
from lykta_audit.store import MIGRATIONS, AccessControlPolicy, LockCheck, LogBucket, LogRows
from lykta_audit.store.tables import outbox as outbox_rows
from lykta_audit.telemetry import AuditMetrics
from lykta_audit.usecases import LogProver, LogReader


@dataclass(frozen=True)
class Parts:
    """The service's objects, wired."""

    outbox: Outbox
    keeper: LogKeeper
    metrics: AuditMetrics
    servicer: LogServicer


def compose(
    settings: Settings, platform: Platform, database: Database, messaging: Messaging, channel: Channel
) -> Parts:
    """Wire everything; nothing runs yet, but the consumer is registered."""
    key = Signer.from_file(settings.log_signing_key_file).private_key
    signer = CheckpointSigner(settings.log_origin, key)
    clock, metrics = platform.clock, AuditMetrics(platform.metrics, platform.clock)
    outbox = Outbox(database, messaging, outbox_rows, metrics.outbox_pending)
    rows = LogRows(database, outbox)
    prover = LogProver(rows, signer)

    def announce() -> None:
        prover.announce()
        metrics.checkpoint_published()
        outbox.wake()

    publication = Publication(
        rows=rows,
        bucket=LogBucket(open_bucket(settings, settings.bucket_audit)),
        lock=LockCheck(open_admin(settings), settings.bucket_audit),
        signer=signer,
        clock=clock,
        source=f"/lykta/audit/{settings.replica}",
        interval_seconds=settings.publish_interval_ms / 1000,
        announce=announce,
    )
    keeper = LogKeeper(
        publication,
        new_id(f"audit-{settings.replica}", clock),
        lease=timedelta(milliseconds=settings.lease_ms),
        inspect_every=timedelta(hours=settings.inspection_interval_hours),
    )
    keeper.on_append = metrics.appended
    ObservedHandler(keeper).register(messaging)
    reader = LogReader(rows, keeper, AccessControlPolicy(channel), clock)
    return Parts(outbox, keeper, metrics, LogServicer(settings.log_origin, keeper, reader, prover))


@asynccontextmanager
async def open_service(settings: Settings, platform: Platform) -> AsyncIterator[Health]:
    """Run the service for the block.

    Appends need the database and the lease alone: NATS, S3 and access-control may be away, and are caught up with.
    """
    files = TlsFiles(settings.tls_ca_file, settings.tls_certificate_file, settings.tls_key_file)
    telemetry = platform.telemetry
    composed: list[Parts] = []
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.database_url, MIGRATIONS))
        channel = await stack.enter_async_context(
            open_channel(settings.access_control_address, files, "access-control", telemetry)
        )

        def register(messaging: Messaging) -> None:
            composed.append(compose(settings, platform, database, messaging, channel))

        messaging = await stack.enter_async_context(
            open_messaging(settings, telemetry, register, wait=False, metrics=platform.metrics)
        )
        parts = composed[0]
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        jobs = (parts.keeper.run(), parts.outbox.run(), parts.metrics.keep_looking(parts.keeper))
        running = [tasks.create_task(job) for job in jobs]
        health = Health({"database": database.ping, "log": parts.keeper.ready, "clock": Timekeeper(messaging).check})
        try:
            add = partial(log_service_pb2_grpc.add_LogServiceServicer_to_server, parts.servicer)
            async with serve(settings, telemetry, health, ALLOWED, add, [SERVICE_NAME]):
                yield health
        finally:
            for task in running:
                task.cancel()


async def rebuild_database(settings: Settings, clock: Clock) -> int:
    """Make the database anew from the bucket, with the service stopped; gives the number of entries."""
    signer = CheckpointSigner(settings.log_origin, Signer.from_file(settings.log_signing_key_file).private_key)
    async with open_database(settings.database_url, MIGRATIONS) as database:
        # Nothing is published while rebuilding: checkpoints are told when the service next publishes.
        rows = LogRows(database, None)
        bucket = LogBucket(open_bucket(settings, settings.bucket_audit))
        return await rebuild(rows, bucket, signer, lambda: to_ms(clock.now() + timedelta(minutes=1)))


SERVICE = ServiceSpec("audit", Settings, open_service)
