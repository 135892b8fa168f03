"""The composition root of storage: everything is wired here and nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from lykta.storage.v1 import catalogue_service_pb2, playback_service_pb2
from lykta.storage.v1 import catalogue_service_pb2_grpc as catalogue_grpc
from lykta.storage.v1 import playback_service_pb2_grpc as playback_grpc
from lykta_common.database import Database, open_database
from lykta_common.health import Health
from lykta_common.messaging import Messaging, open_messaging
from lykta_common.objectstore import ObjectStore, open_admin, open_bucket
from lykta_common.outbox import Outbox
from lykta_common.rpc import Allowed, open_channel, serve
from lykta_common.runtime import Platform, ServiceSpec
from lykta_common.signing import Signer, Verifier
from lykta_common.timekeeping import Timekeeper
from lykta_common.tls import TlsFiles
from lykta_contracts.events import CloudEvent
from lykta_contracts.model import Message
from lykta_contracts.streams import MEDIA_KEYS, STORAGE_FOOTAGE, STORAGE_MANDATES

from lykta_storage.audit_trail import AuditTrail
from lykta_storage.catalogue import Catalogue, Rebuilt
from lykta_storage.config import Settings
from lykta_storage.coverage import Coverage
from lykta_storage.domain.deletion import Deletion
from lykta_storage.grant_token import GrantTokens
from lykta_storage.grpc_server.catalogue import CatalogueServicer
from lykta_storage.grpc_server.media_keys import MediaKeyServicer
from lykta_storage.grpc_server.playback import PlaybackServicer
from lykta_storage.grpc_server.retention import RetentionServicer
from lykta_storage.handlers import listen_for_revocations, watch_mandates
from lykta_storage.key_export import KeyExport
from lykta_storage.keyring import Keyring
from lykta_storage.mandates import MandateBook
from lykta_storage.media_keys import MediaKeys
from lykta_storage.playback.admission import Admission
from lykta_storage.playback.reader import Reader
from lykta_storage.playback.stream import Desk
from lykta_storage.playback.vigil import Pace, Revocations, Vigil
from lykta_storage.redeletion import Redeleted, Redeletion
from lykta_storage.retention import Retention
from lykta_storage.sealing import Sealing
from lykta_storage.store.footage import FootageStore
from lykta_storage.store.hours import HourStore
from lykta_storage.store.peers import AccessControlPeer, AuditPeer
from lykta_storage.store.seals import SealStore
from lykta_storage.store.tables import outbox as outbox_table
from lykta_storage.store.terms import TermStore
from lykta_storage.store.versions import ObjectVersions
from lykta_storage.telemetry import Sights, StorageMetrics

MIGRATIONS: Final = Path(__file__).parent / "store" / "migrations"
_PEOPLE: Final = frozenset({"cli", "test-tool"})
ALLOWED: Final[Allowed] = {
    "lykta.storage.v1.PlaybackService": _PEOPLE,
    "lykta.storage.v1.CatalogueService": _PEOPLE,
    "lykta.storage.v1.RetentionService": _PEOPLE,
    "lykta.storage.v1.MediaKeyService": frozenset({"test-tool"}),
}
SERVICES: Final = tuple(
    service.full_name
    for proto in (catalogue_service_pb2, playback_service_pb2)
    for service in proto.DESCRIPTOR.services_by_name.values()
)


@dataclass(frozen=True)
class Outside:
    """What storage stands on."""

    database: Database
    bucket: ObjectStore
    authority: AccessControlPeer
    audit: AuditPeer
    messaging: Messaging


class Storage:
    """The wired service."""

    def __init__(self, settings: Settings, platform: Platform, outside: Outside) -> None:
        clock, source = platform.clock, f"/lykta/storage/{settings.replica}"
        self.settings, self.platform, self.outside = settings, platform, outside
        self.metrics = StorageMetrics(platform.metrics, clock)
        self.outbox = Outbox(outside.database, outside.messaging, outbox_table, self.metrics.outbox_pending)
        hours, terms = HourStore(outside.database, self.outbox), TermStore(outside.database)
        self.footage = FootageStore(outside.database, self.outbox)
        trail = AuditTrail(outside.audit, hours, clock, source)
        keyring = Keyring(settings.kek_dir, settings.kek_create)
        self.keys = MediaKeys(hours, terms, keyring, Signer.from_file(settings.media_key_signing_key_file), clock)
        self.mandates = MandateBook(terms, Verifier.from_file(settings.mandate_verify_key_file), self.keys.wake)
        versions = ObjectVersions(open_admin(settings), settings.bucket_footage)
        self.redeletion = Redeletion(hours, outside.bucket, versions)
        self.retention = Retention(
            hours=hours,
            terms=terms,
            bucket=outside.bucket,
            versions=versions,
            trail=trail,
            clock=clock,
            source=source,
        )
        self.catalogue = Catalogue(
            store=self.footage,
            hours=hours,
            bucket=outside.bucket,
            retention=self.retention,
            clock=clock,
            source=source,
        )
        recorder = Verifier.from_file(settings.seal_verify_key_file)
        self.sealing = Sealing(self.footage, SealStore(outside.database), trail, recorder, clock)
        self.coverage = Coverage(self.footage, terms, clock)
        self.retention.on_deleted, self.retention.on_round = self.metrics.deleted, self.metrics.retention_succeeded
        self.sights = Sights(terms, hours, self.footage, self.coverage)
        self.revocations = Revocations()
        tokens = GrantTokens(Verifier.from_file(settings.grant_verify_key_file), clock)
        self.admission = Admission(tokens, outside.authority, trail, clock)
        reader = Reader(
            footage=self.footage,
            terms=terms,
            bucket=outside.bucket,
            keys=self.keys,
            sealing=self.sealing,
            clock=clock,
        )
        pace = Pace(settings.recheck_seconds, settings.recheck_limit_seconds)
        vigil = Vigil(outside.authority, clock, pace)
        self.desk = Desk(reader, vigil, self.revocations, trail, clock, settings.credit_wait_seconds)
        exportable = settings.allow_key_export and settings.profile != "production"
        self.export = KeyExport(self.keys, trail, clock, exportable)

    def consume(self) -> None:
        """Register the durable consumers; before the connection is started."""

        async def take_in(event: CloudEvent, data: Message) -> None:
            await self.catalogue.on_event(event, data)
            self.metrics.catalogued(data)

        self.outside.messaging.consume(STORAGE_FOOTAGE, take_in)
        self.outside.messaging.consume(STORAGE_MANDATES, self.mandates.on_event)

    def start_loops(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start everything that runs beside requests."""
        settings, telemetry, messaging = self.settings, self.platform.telemetry, self.outside.messaging
        bucket = lambda: messaging.bucket(MEDIA_KEYS.name)  # noqa: E731 - a port of one call
        return [
            tasks.create_task(self.outbox.run(), name="outbox"),
            tasks.create_task(watch_mandates(messaging, self.mandates), name="mandates"),
            tasks.create_task(listen_for_revocations(messaging, self.revocations), name="revocations"),
            tasks.create_task(self.keys.run(bucket, settings.key_horizon_hours), name="media-keys"),
            tasks.create_task(self.retention.keep_running(telemetry, settings.retention_seconds), name="retention"),
            tasks.create_task(self.catalogue.keep_reconciled(telemetry), name="reconciliation"),
            tasks.create_task(self.sealing.keep_running(telemetry, settings.sealing_seconds), name="sealing"),
            tasks.create_task(self.metrics.keep_looking(self.sights), name="metrics"),
        ]

    def add_servicers(self, server: grpc.aio.Server, tasks: asyncio.TaskGroup) -> None:
        """Register the servicers."""
        outside, clock, production = self.outside, self.platform.clock, self.settings.profile == "production"
        playback = PlaybackServicer(self.admission, self.desk, tasks, self.settings.most_playbacks, self.metrics)
        playback_grpc.add_PlaybackServiceServicer_to_server(playback, server)
        catalogue = CatalogueServicer(self.footage, self.coverage, outside.authority, clock)
        catalogue_grpc.add_CatalogueServiceServicer_to_server(catalogue, server)
        catalogue_grpc.add_MediaKeyServiceServicer_to_server(MediaKeyServicer(self.export), server)
        retention = RetentionServicer(self.retention, outside.authority, clock, not production)
        catalogue_grpc.add_RetentionServiceServicer_to_server(retention, server)

    def health(self) -> Health:
        """Say when the service does its job."""
        outside = self.outside
        return Health(
            {
                "database": outside.database.ping,
                "nats": outside.messaging.ping,
                "store": outside.bucket.ping,
                "clock": Timekeeper(outside.messaging).check,
            }
        )


@asynccontextmanager
async def wire(settings: Settings, platform: Platform, connect: bool = True) -> AsyncIterator[Storage]:
    """Yield the wired service; with `connect` NATS and its consumers are started, nothing else runs yet."""
    files = TlsFiles(settings.tls_ca_file, settings.tls_certificate_file, settings.tls_key_file)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.database_url, MIGRATIONS))
        channels = [
            await stack.enter_async_context(open_channel(address, files, name, platform.telemetry))
            for address, name in (
                (settings.access_control_address, "access-control"),
                (settings.audit_address, "audit"),
            )
        ]
        peers = AccessControlPeer(channels[0]), AuditPeer(channels[1])
        bucket = open_bucket(settings, settings.bucket_footage)
        wired: list[Storage] = []

        def register(messaging: Messaging) -> None:
            wired.append(Storage(settings, platform, Outside(database, bucket, *peers, messaging)))
            if connect:
                wired[0].consume()

        if connect:
            await stack.enter_async_context(
                open_messaging(settings, platform.telemetry, register, False, platform.metrics)
            )
        else:
            register(Messaging(settings, platform.telemetry))
        yield wired[0]


@asynccontextmanager
async def open_storage(settings: Settings, platform: Platform) -> AsyncIterator[Health]:
    """Run storage for the block."""
    async with wire(settings, platform) as storage, asyncio.TaskGroup() as tasks:
        loops = storage.start_loops(tasks)
        health = storage.health()
        try:
            async with serve(
                settings,
                platform.telemetry,
                health,
                ALLOWED,
                lambda server: storage.add_servicers(server, tasks),
                services=SERVICES,
            ):
                yield health
        finally:
            await _stop(loops)


async def _stop(loops: Sequence[asyncio.Task[None]]) -> None:
    # nats-py swallows a cancellation that meets its flush, so it is said until it is heard.
    left = set(loops)
    while left:
        for loop in left:
            loop.cancel()
        _, left = await asyncio.wait(left, timeout=0.2)


async def rebuild(settings: Settings, platform: Platform) -> Rebuilt:
    """Build the catalogue from the bucket alone; run it while the service is down or up, as often as you like."""
    async with wire(settings, platform, connect=False) as storage:
        return await storage.catalogue.rebuild()


async def delete_again(settings: Settings, platform: Platform, receipts: list[Deletion]) -> Redeleted:
    """Destroy what the receipts name, after a restore, while the service is down; again changes nothing."""
    async with wire(settings, platform, connect=False) as storage:
        return await storage.redeletion.run(receipts)


SERVICE: Final = ServiceSpec("storage", Settings, open_storage)
