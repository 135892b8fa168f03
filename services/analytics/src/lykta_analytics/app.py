"""Composition root of analytics: the only place where its parts are put together."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

import grpc
from lykta.access_control.v1 import policy_service_pb2_grpc
from lykta.analytics.v1 import detector_service_pb2_grpc, incident_service_pb2_grpc
from lykta_common.database import open_database
from lykta_common.errors import Code, PlatformError
from lykta_common.health import Health
from lykta_common.messaging import Messaging, open_messaging
from lykta_common.outbox import Outbox
from lykta_common.rpc import open_channel, serve
from lykta_common.runtime import Platform, ServiceSpec
from lykta_common.signing import Verifier
from lykta_common.timekeeping import Timekeeper
from lykta_common.tls import TlsFiles
from lykta_contracts.incidents import ModelRef, Producer
from lykta_contracts.mandates import MandateOrder

from lykta_analytics.broadcast import Broadcast
from lykta_analytics.config import Settings
from lykta_analytics.detector import Detector
from lykta_analytics.grpc_server import (
    ALLOWED,
    DETECTOR_SERVICE,
    INCIDENT_SERVICE,
    DetectorServicer,
    IncidentServicer,
)
from lykta_analytics.incidents import Scene
from lykta_analytics.mandates import MandateOrders
from lykta_analytics.models import NANODET, InstalledModel, ModelError, ModelRegistry
from lykta_analytics.policy import Policy
from lykta_analytics.roster import Roster
from lykta_analytics.rules import zone_rules
from lykta_analytics.session import CameraSession, Means
from lykta_analytics.store import MIGRATIONS, OUTBOX, BookStore, OrderArchive
from lykta_analytics.telemetry import AnalyticsMetrics, TimedDetector
from lykta_analytics.usecases import IncidentBook


@asynccontextmanager
async def open_service(settings: Settings, platform: Platform) -> AsyncIterator[Health]:
    """Starts analytics and yields when it analyses; stops intake, sessions and decoders at the end."""
    model = await asyncio.to_thread(_installed_model, settings)
    detector = await asyncio.to_thread(Detector, model)
    files = TlsFiles(settings.tls_ca_file, settings.tls_certificate_file, settings.tls_key_file)
    verifier = Verifier.from_file(settings.mandate_verify_key_file)
    broadcast, health = Broadcast(), Health()
    metrics = AnalyticsMetrics(platform.metrics, platform.clock)
    async with (
        open_database(settings.database_url, MIGRATIONS) as database,
        open_messaging(settings, platform.telemetry, metrics=platform.metrics) as messaging,
        open_channel(settings.access_control_address, files, "access-control", platform.telemetry) as channel,
    ):
        outbox = Outbox(database, messaging, OUTBOX, metrics.outbox_pending)
        store = BookStore(database, outbox)
        source = f"/lykta/analytics/{settings.replica}"
        book = IncidentBook(store, platform.clock, source, (broadcast.tell,), metrics.committed)
        with ThreadPoolExecutor(1, thread_name_prefix="analyse") as worker:
            means = Means(
                messaging=messaging,
                telemetry=platform.telemetry,
                clock=platform.clock,
                book=book,
                detector=TimedDetector(detector, metrics.detector_seconds),
                worker=worker,
                metrics=metrics,
                queue_parts=settings.queue_parts,
                stale_seconds=settings.stale_seconds,
                refuse_weak_sandbox=settings.profile == "production",
            )
            roster = Roster(MandateOrders(verifier, OrderArchive(database)), book, partial(_session, model, means))
            health.checks |= {
                "nats": messaging.ping,
                "database": database.ping,
                "mandates": partial(_mandates_known, roster),
                "clock": Timekeeper(messaging).check,
                "decoders": partial(_decoders_isolated, roster, means.refuse_weak_sandbox),
            }
            policy = Policy(policy_service_pb2_grpc.PolicyServiceStub(channel))
            servicers = (IncidentServicer(store, policy, broadcast), DetectorServicer((model.card,)))
            async with (
                _running(outbox, roster, messaging),
                serve(
                    settings,
                    platform.telemetry,
                    health,
                    ALLOWED,
                    partial(_add_servicers, servicers),
                    (INCIDENT_SERVICE, DETECTOR_SERVICE),
                ),
            ):
                yield health


@asynccontextmanager
async def _running(outbox: Outbox, roster: Roster, messaging: Messaging) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        work = [
            tasks.create_task(outbox.run(), name="outbox"),
            tasks.create_task(roster.run(messaging), name="roster"),
        ]
        try:
            yield
        finally:
            for task in work:
                task.cancel()


def _installed_model(settings: Settings) -> InstalledModel:
    try:
        return ModelRegistry(settings.model_cache_dir).load(NANODET.name, NANODET.version)
    except ModelError as error:
        reason = "PROHIBITED" if error.reason == "prohibited_capability" else "WRONG_STATE"
        raise PlatformError(Code.FAILED_PRECONDITION, reason, str(error)) from error


def _session(model: InstalledModel, means: Means, order: MandateOrder) -> CameraSession:
    converted = model.card.converted
    scene = Scene(
        order=order,
        frame=(1, 1),
        model=ModelRef(
            name=model.card.name,
            version=model.card.version,
            sha256=model.card.sha256,
            runtime=f"{converted.runtime} {converted.runtime_version}" if converted else "",
        ),
        producer=Producer(service="analytics", version=version("lykta-analytics")),
        thresholds={rule.key: rule.thresholds for rule in zone_rules(order.mandate.analytics)},
    )
    return CameraSession(order, scene, means)


async def _mandates_known(roster: Roster) -> None:
    if not roster.is_current:
        raise PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "the mandates have not been read yet")


async def _decoders_isolated(roster: Roster, refuse: bool) -> None:
    weak = sorted({name for session in roster.sessions for name in session.weak})
    if weak and refuse:
        message = f"decoder children can still reach: {', '.join(weak)}; this kernel or container forbids seccomp"
        raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)


def _add_servicers(servicers: tuple[IncidentServicer, DetectorServicer], server: grpc.aio.Server) -> None:
    incident_service_pb2_grpc.add_IncidentServiceServicer_to_server(servicers[0], server)
    detector_service_pb2_grpc.add_DetectorServiceServicer_to_server(servicers[1], server)


SERVICE = ServiceSpec("analytics", Settings, open_service)
