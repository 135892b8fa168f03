"""The recorder's gRPC face: what it does with each camera, and a try of an address before it is saved."""

from __future__ import annotations

from typing import Any, Final, Protocol

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lykta.access_control.v1 import policy_service_pb2, policy_service_pb2_grpc
from lykta.ingest.v1 import session_service_pb2 as pb
from lykta.ingest.v1 import session_service_pb2_grpc
from lykta_common.errors import Code, PlatformError, not_found
from lykta_common.identity import bearer_metadata, bearer_token, workload
from lykta_common.rpc import call
from lykta_contracts.roles import Action

from lykta_ingest.domain import CameraRef, Status
from lykta_ingest.journal import Journal
from lykta_ingest.probe import probe
from lykta_ingest.recorder import Recorder
from lykta_ingest.station import Station

SERVICE_NAME: Final = "lykta.ingest.v1.SessionService"
ALLOWED: Final = {SERVICE_NAME: frozenset({"cli", "access-control", "test-tool"})}
"""Workloads that may call; for `cli` a person must be behind the call."""
_MACHINES: Final = frozenset({"access-control", "test-tool"})

AnyContext = grpc.aio.ServicerContext[Any, Any]


class Policy(Protocol):
    """Asks access-control whether a person may do something."""

    async def controllers(self, token: str, action: str, among: set[str]) -> set[str]:
        """Return those of the controllers for which the person may do it; raises PlatformError for a bad token."""
        ...


class AccessControlPolicy:
    """The policy behind a channel to access-control."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = policy_service_pb2_grpc.PolicyServiceStub(channel)

    async def controllers(self, token: str, action: str, among: set[str]) -> set[str]:
        """Ask for each controller; access-control verifies the token."""
        found = set()
        for controller in sorted(among):
            request = policy_service_pb2.AuthorizeRequest(action=action, controller=controller)
            answer = await call("access-control", self._stub.Authorize(request, metadata=bearer_metadata(token)))
            if answer.reason == "UNAUTHENTICATED":
                raise PlatformError(Code.UNAUTHENTICATED, "UNAUTHENTICATED", answer.message)
            if answer.allowed:
                found.add(controller)
        return found


class SessionServicer(session_service_pb2_grpc.SessionServiceServicer):
    """SessionService: List, Get, Probe."""

    def __init__(self, recorder: Recorder, station: Station, journal: Journal, policy: Policy) -> None:
        self._recorder = recorder
        self._station = station
        self._journal = journal
        self._policy = policy

    async def List(self, request: pb.ListRequest, context: AnyContext) -> pb.ListResponse:
        """Show the cameras of the controllers in which the person may list sessions."""
        allowed = await self._allowed(context, Action.SESSION_LIST)
        sessions = sorted(self._recorder.sessions.items())
        return pb.ListResponse(
            sessions=[_session(ref, one.status) for ref, one in sessions if ref.controller in allowed],
            spool_bytes=self._journal.used_bytes,
            spool_limit_bytes=self._journal.max_bytes,
        )

    async def Get(self, request: pb.GetRequest, context: AnyContext) -> pb.GetResponse:
        """Show one camera; another controller's is NOT_FOUND."""
        ref = CameraRef(request.controller, request.camera)
        # Asked first, so that nobody learns from the refusal whether the camera exists.
        allowed = await self._allowed(context, Action.SESSION_LIST)
        session = self._recorder.sessions.get(ref)
        if session is None or ref.controller not in allowed:
            raise not_found(f"the camera {request.controller}/{request.camera}")
        return pb.GetResponse(session=_session(ref, session.status))

    async def Probe(self, request: pb.ProbeRequest, context: AnyContext) -> pb.ProbeResponse:
        """Try an address; only access-control may, because it knows which credentials are whose."""
        if workload(context) not in _MACHINES:
            raise PlatformError(
                Code.PERMISSION_DENIED,
                "WORKLOAD",
                "a probe is asked for through access-control; use `lykta camera probe`",
            )
        found = await probe(self._station, request.address, request.credentials_ref)
        return pb.ProbeResponse(
            usable=found.usable,
            detail=found.detail,
            codec=found.codec,
            width=found.width,
            height=found.height,
            offers_audio=found.offers_audio,
        )

    async def _allowed(self, context: AnyContext, action: Action) -> set[str]:
        everyone = {ref.controller for ref in self._recorder.sessions}
        if workload(context) in _MACHINES:
            return everyone
        return await self._policy.controllers(bearer_token(context), action.value, everyone)


def _session(ref: CameraRef, status: Status) -> pb.Session:
    recorded_to = Timestamp()
    if status.recorded_to_ms:
        recorded_to.FromMilliseconds(status.recorded_to_ms)
    return pb.Session(
        controller=ref.controller,
        camera=ref.camera,
        state=pb.SessionState.Value(f"SESSION_STATE_{status.state.value}"),
        detail=status.detail,
        mandate_id=status.mandate_id,
        recorded_to=recorded_to if status.recorded_to_ms else None,
        segments_uploaded=status.segments_uploaded,
        fragments_spooled=status.fragments_spooled,
        frames=status.frames,
        codec=status.codec,
        width=status.width,
        height=status.height,
        clock_offset_ms=status.clock_offset_ms,
    )
