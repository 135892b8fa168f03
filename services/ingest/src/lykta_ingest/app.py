"""Composition root of the recorder: the only place where its parts are put together."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from lykta.ingest.v1 import session_service_pb2_grpc
from lykta_common.errors import Code, PlatformError, unavailable
from lykta_common.health import Health
from lykta_common.ids import new_id
from lykta_common.logging import get_logger
from lykta_common.messaging import KvBucket, KvEntry, Messaging, open_messaging
from lykta_common.objectstore import open_bucket
from lykta_common.rpc import open_channel, serve
from lykta_common.runtime import Platform, ServiceSpec
from lykta_common.signing import Signer, Verifier
from lykta_common.timekeeping import Timekeeper
from lykta_common.tls import TlsFiles
from lykta_contracts.events import CloudEvent
from lykta_contracts.streams import INGEST_STORED, LEASES, MANDATES, MEDIA_KEYS

from lykta_ingest.announcements import Announcements
from lykta_ingest.commit import GroupCommit
from lykta_ingest.config import Settings
from lykta_ingest.domain import CameraRef, Fragment
from lykta_ingest.drafts import KIND_FRAGMENT, Author
from lykta_ingest.grpc_server import ALLOWED, SERVICE_NAME, AccessControlPolicy, SessionServicer
from lykta_ingest.handlers import StoredHandler
from lykta_ingest.held import HeldCopies
from lykta_ingest.journal import Journal, Recovery, SpoolBusyError
from lykta_ingest.keeping import Keeper
from lykta_ingest.keys import KeyRing
from lykta_ingest.live import LiveParts
from lykta_ingest.mandates import MandateBook
from lykta_ingest.recorder import Recorder
from lykta_ingest.rota import Rota
from lykta_ingest.segments import Stored
from lykta_ingest.station import Station
from lykta_ingest.telemetry import IngestMetrics
from lykta_ingest.upload import Uploader, UploadRules

log = get_logger(__name__)

_FIRST_CONTACT_S: Final = 3.0
_SPOOL_WARNING: Final = 0.9
_LOOK_S: Final = 0.02
_CARRY_OUT_LOOKS: Final = 150


class KvLeases:
    """The lease bucket (`LeaseDesk`); gives NATS a moment at the start, so that a lease is asked before recording."""

    def __init__(self, messaging: Messaging) -> None:
        self._messaging = messaging
        self._bucket: KvBucket | None = None
        self._waited = False

    async def bucket(self) -> KvBucket:
        """Return the bucket; raises UNAVAILABLE when NATS is away."""
        if not self._messaging.connected and not self._waited:
            try:
                async with asyncio.timeout(_FIRST_CONTACT_S):
                    await self._messaging.wait_connected()
            except TimeoutError:
                log.warning("recording_without_nats")
            self._waited = True
        if not self._messaging.connected:
            raise unavailable("NATS")
        if self._bucket is None:
            self._bucket = await self._messaging.bucket(LEASES.name)
        return self._bucket


@dataclass
class _Parts:
    """Everything that runs."""

    journal: Journal
    commit: GroupCommit
    announcements: Announcements
    uploader: Uploader
    station: Station
    book: MandateBook
    recorder: Recorder
    metrics: IngestMetrics


def _open_journal(settings: Settings) -> tuple[Journal, Recovery]:
    try:
        return Journal.open(settings.spool, settings.spool_limit_bytes, settings.spool_file_bytes)
    except SpoolBusyError as error:
        raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", str(error)) from error
    except OSError as error:
        message = f"cannot open the spool {settings.spool}: {error.strerror}; check that it exists and is writable"
        raise PlatformError(Code.FAILED_PRECONDITION, "LIMIT", message) from error


def _assemble(settings: Settings, platform: Platform, messaging: Messaging) -> _Parts:
    clock = platform.clock
    journal, recovery = _open_journal(settings)
    commit = GroupCommit(journal, settings.commit_interval_ms / 1000)
    author = Author(f"/lykta/ingest/{settings.replica}", new_id("run", clock).removeprefix("run_"))
    announcements = Announcements(messaging, clock)
    rules = UploadRules(settings.upload_parallel, settings.stored_retry_seconds, author.source)
    store = open_bucket(settings, settings.bucket_footage, sign_payload=False)
    signer = Signer.from_file(settings.seal_signing_key_file)
    uploader = Uploader((journal, commit), store, announcements, signer, clock, rules)
    held_keys = HeldCopies.load(settings.state_dir / "media-keys.json")
    camera_tls = None
    if settings.camera_ca_file is not None:
        camera_tls = ssl.create_default_context(cafile=str(settings.camera_ca_file))
    station = Station(
        settings,
        clock,
        platform.telemetry,
        author,
        Keeper(commit, uploader, announcements, clock),
        KeyRing(held_keys, Verifier.from_file(settings.media_key_verify_key_file), clock),
        KvLeases(messaging),
        LiveParts(messaging),
        Rota(settings.read_interval_ms / 1000),
        camera_tls=camera_tls,
        marks=recovery.marks,
    )
    held_orders = HeldCopies.load(settings.state_dir / "mandates.json")
    book = MandateBook(held_orders, Verifier.from_file(settings.mandate_verify_key_file))
    recorder = Recorder(station)
    book.on_order = recorder.obey
    station.keys.on_key = recorder.key_arrived
    metrics = IngestMetrics(platform.metrics, clock)
    station.keeper.on_kept = metrics.kept

    def uploaded(ref: CameraRef) -> None:
        recorder.uploaded(ref)
        metrics.uploaded(ref)

    uploader.on_uploaded, uploader.on_stored = uploaded, recorder.stored
    parts = _Parts(journal, commit, announcements, uploader, station, book, recorder, metrics)
    _resume(parts, recovery)
    book.load()
    return parts


def _resume(parts: _Parts, recovery: Recovery) -> None:
    """Go on with what an earlier process left in the spool."""
    keys: dict[str, None] = {}
    for entry in recovery.entries:
        if entry.kind == KIND_FRAGMENT:
            fragment = Fragment.from_json(entry.meta)
            parts.uploader.add(Stored(fragment, entry.location))
            keys[fragment.key] = None
            camera = fragment.terms.ref.key
            parts.station.backlog[camera] = parts.station.backlog.get(camera, 0) + 1
        else:
            parts.station.keeper.announce_kept(CloudEvent.from_json(entry.meta))
    for key in keys:
        parts.uploader.close(key)
    log.info("spool_recovered", entries=len(recovery.entries), segments=len(keys), torn_bytes=recovery.torn_bytes)
    if recovery.damaged_files:
        log.error("spool_damaged", files=recovery.damaged_files)


async def _watch(messaging: Messaging, name: str, on_change: Callable[[KvEntry], Awaitable[None]]) -> None:
    await messaging.wait_connected()
    while True:
        try:
            bucket = await messaging.bucket(name)
        except PlatformError as error:
            log.warning("bucket_not_there", bucket=name, error=error.message)
            await asyncio.sleep(1)
        else:
            await bucket.watch(on_change)


def _health(parts: _Parts, messaging: Messaging) -> Health:
    async def spool() -> None:
        if parts.journal.used_bytes > parts.journal.max_bytes * _SPOOL_WARNING:
            raise PlatformError(Code.RESOURCE_EXHAUSTED, "LIMIT", "the spool is nearly full; see why nothing is stored")

    async def consumer() -> None:
        if messaging.halted is not None:
            raise messaging.halted

    # NATS and S3 are no checks: the recorder does its job without them, as long as the spool has room.
    return Health({"spool": spool, "consumer": consumer, "clock": Timekeeper(messaging).check})


@asynccontextmanager
async def open_ingest(settings: Settings, platform: Platform) -> AsyncIterator[Health]:
    """Run the recorder for the block; it starts recording under the orders it holds before NATS answers."""
    handler: list[StoredHandler] = []

    async def on_stored(event: CloudEvent, data: Any) -> None:
        await handler[0](event, data)

    def register(messaging: Messaging) -> None:
        messaging.consume(INGEST_STORED, on_stored)

    settings.state_dir.mkdir(parents=True, exist_ok=True)
    files = TlsFiles(settings.tls_ca_file, settings.tls_certificate_file, settings.tls_key_file)
    async with (
        open_messaging(settings, platform.telemetry, register, wait=False, metrics=platform.metrics) as messaging,
        open_channel(settings.access_control_address, files, "access-control", platform.telemetry) as channel,
    ):
        parts = _assemble(settings, platform, messaging)
        handler.append(StoredHandler(parts.uploader, parts.recorder))
        servicer = SessionServicer(parts.recorder, parts.station, parts.journal, AccessControlPolicy(channel))
        health = _health(parts, messaging)
        async with (
            _running(parts, messaging),
            serve(
                settings,
                platform.telemetry,
                health,
                ALLOWED,
                lambda server: session_service_pb2_grpc.add_SessionServiceServicer_to_server(servicer, server),
                (SERVICE_NAME,),
            ),
        ):
            yield health


async def _show(parts: _Parts) -> None:
    station = parts.station
    await parts.metrics.keep_looking(parts.recorder.sessions, parts.journal, station.keeper, station.live)


@asynccontextmanager
async def _running(parts: _Parts, messaging: Messaging) -> AsyncIterator[None]:
    """Run all tasks for the block; at the end cameras first, then what they left, then the spool with the rest."""
    try:
        async with asyncio.TaskGroup() as spool:
            committing = spool.create_task(parts.commit.run(), name="commit")
            async with asyncio.TaskGroup() as carriers:
                carrying = [
                    carriers.create_task(parts.uploader.run(), name="upload"),
                    carriers.create_task(parts.announcements.run(), name="announcements"),
                ]
                async with _cameras_running(parts, messaging):
                    yield
                await _carry_out(parts)
                for task in carrying:
                    task.cancel()
            await parts.commit.close()
            await committing
    finally:
        parts.commit.shutdown()
        parts.journal.close()


@asynccontextmanager
async def _cameras_running(parts: _Parts, messaging: Messaging) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(parts.station.live.run(), name="live"),
            tasks.create_task(parts.station.keys.run(), name="media-keys"),
            tasks.create_task(parts.station.rota.run(), name="rota"),
            tasks.create_task(_watch(messaging, MANDATES.name, parts.book.changed), name="watch-mandates"),
            tasks.create_task(_watch(messaging, MEDIA_KEYS.name, parts.station.keys.changed), name="watch-keys"),
            tasks.create_task(parts.recorder.run(), name="recorder"),
            tasks.create_task(_show(parts), name="metrics"),
        ]
        try:
            yield
        finally:
            for task in reversed(running):
                task.cancel()


async def _carry_out(parts: _Parts) -> None:
    """Bring out what the spool still holds: this recorder may not come back. What cannot go waits in the spool."""
    for _ in range(_CARRY_OUT_LOOKS):
        if not parts.uploader.unsent and not parts.announcements.waiting:
            return
        await asyncio.sleep(_LOOK_S)
    log.warning("left_in_spool", segments=parts.uploader.unsent, facts=parts.announcements.waiting)


SERVICE: Final = ServiceSpec("ingest", Settings, open_ingest)
