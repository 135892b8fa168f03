"""What a running platform is doing: processes, health of services, cameras and incidents, collected once a second."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lykta.analytics.v1 import incident_service_pb2 as incidents
from lykta.analytics.v1 import incident_service_pb2_grpc as incidents_grpc
from lykta.ingest.v1 import session_service_pb2 as sessions
from lykta.ingest.v1 import session_service_pb2_grpc as sessions_grpc
from lykta_common.errors import PlatformError

from lykta_standalone.connection import Connection
from lykta_standalone.keeper import Condition
from lykta_standalone.municipality import CONTROLLERS

ASK_SECONDS: Final = 2.0
RECENT_INCIDENTS: Final = 200


@dataclass(frozen=True)
class CameraStatus:
    """One camera at the recorder."""

    controller: str
    camera: str
    state: str
    detail: str
    segments: int
    spooled: int
    recorded_to: str


@dataclass(frozen=True)
class IncidentStatus:
    """One incident, as far as a status line needs it."""

    incident_id: str
    controller: str
    camera: str
    category: str
    lifecycle: str
    started_at: str


@dataclass(frozen=True)
class Snapshot:
    """Everything at one moment."""

    at: str
    processes: tuple[Condition, ...] = ()
    health: dict[str, str] = field(default_factory=dict)
    cameras: tuple[CameraStatus, ...] = ()
    incidents: tuple[IncidentStatus, ...] = ()

    @property
    def segments(self) -> int:
        """Segments in the object store since the recorder started."""
        return sum(camera.segments for camera in self.cameras)

    @property
    def recording(self) -> int:
        """Cameras that are being recorded now."""
        return sum(camera.state == "RECORDING" for camera in self.cameras)

    def to_json(self) -> str:
        """Encode for `status.json`."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


class Collector:
    """Asks every service; what does not answer is left out and its health says so."""

    def __init__(self, connection: Connection, conditions: Callable[[], Sequence[Condition]]) -> None:
        self._connection = connection
        self._conditions = conditions

    def first(self) -> Snapshot:
        """Return what is known without asking anybody: the processes."""
        return Snapshot(datetime.now(UTC).isoformat(timespec="seconds"), tuple(self._conditions()))

    async def snapshot(self) -> Snapshot:
        """Collect one snapshot; takes at most a few seconds and raises nothing for a service that is away."""
        services = list(self._connection.platform.grpc)
        health = await asyncio.gather(*(self._health(name) for name in services))
        cameras = await self._cameras() if "ingest" in services else ()
        found = await self._incidents() if "analytics" in services else ()
        return Snapshot(
            datetime.now(UTC).isoformat(timespec="seconds"),
            tuple(self._conditions()),
            dict(zip(services, health, strict=True)),
            cameras,
            found,
        )

    async def _health(self, service: str) -> str:
        stub = await self._connection.stub(health_pb2_grpc.HealthStub, service)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=ASK_SECONDS)
        except grpc.aio.AioRpcError as error:
            return "away" if error.code() is grpc.StatusCode.UNAVAILABLE else error.code().name.lower()
        return "ready" if answer.status == health_pb2.HealthCheckResponse.SERVING else "not ready"

    async def _cameras(self) -> tuple[CameraStatus, ...]:
        stub = await self._connection.stub(sessions_grpc.SessionServiceStub, "ingest")
        try:
            answer = await self._ask(CONTROLLERS[0].technician, "ingest", stub.List, sessions.ListRequest())
        except PlatformError:
            return ()
        return tuple(_camera(session) for session in answer.sessions)

    async def _incidents(self) -> tuple[IncidentStatus, ...]:
        stub = await self._connection.stub(incidents_grpc.IncidentServiceStub, "analytics")
        found: list[IncidentStatus] = []
        for owner in CONTROLLERS:
            request = incidents.ListRequest(controller=owner.controller, page_size=RECENT_INCIDENTS)
            try:
                answer = await self._ask(owner.technician, "analytics", stub.List, request)
            except PlatformError:
                continue
            found += [_incident(item) for item in answer.incidents]
        return tuple(sorted(found, key=lambda item: item.started_at, reverse=True))

    async def _ask(self, person: str, peer: str, method: Any, request: Any) -> Any:
        return await self._connection.ask(person, peer, method, request, seconds=ASK_SECONDS)


def _camera(session: sessions.Session) -> CameraStatus:
    return CameraStatus(
        session.controller,
        session.camera,
        sessions.SessionState.Name(session.state).removeprefix("SESSION_STATE_"),
        session.detail,
        session.segments_uploaded,
        session.fragments_spooled,
        session.recorded_to.ToJsonString() if session.HasField("recorded_to") else "",
    )


def _incident(item: incidents.Incident) -> IncidentStatus:
    return IncidentStatus(
        item.incident_id, item.controller, item.camera, item.category, item.lifecycle, item.started_at.ToJsonString()
    )
