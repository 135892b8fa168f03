"""RetentionService: deletion now instead of in the next round, and with a fast clock where that is allowed."""

from datetime import UTC, datetime
from typing import Any, Final

import grpc
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta.storage.v1 import catalogue_service_pb2_grpc as pb2_grpc
from lykta_common.clock import Clock
from lykta_common.errors import Code, PlatformError, not_found
from lykta_common.identity import bearer_token, workload
from lykta_contracts.ids import is_slug
from lykta_contracts.roles import Action

from lykta_storage.playback.admission import AUTHORIZE_SECONDS, refused
from lykta_storage.ports import Ask, PolicyAuthority
from lykta_storage.retention import Deleted, Retention, Scope

Context = grpc.aio.ServicerContext[Any, Any]
TEST_TOOL: Final = "test-tool"


class RetentionServicer(pb2_grpc.RetentionServiceServicer):
    """Speaks `RetentionService`."""

    def __init__(self, retention: Retention, authority: PolicyAuthority, clock: Clock, fast_clock: bool) -> None:
        self._retention = retention
        self._authority = authority
        self._clock = clock
        self._fast_clock = fast_clock

    async def Run(self, request: pb2.RunRequest, context: Context) -> pb2.RunResponse:
        """Delete what is past its time now, within one controller or camera where one is named."""
        await self._authorize(request, context)
        deleted = await self._retention.run(self._as_of(request), Scope(request.controller, request.camera))
        return pb2.RunResponse(deletions=[_deletion(done) for done in deleted])

    async def _authorize(self, request: pb2.RunRequest, context: Context) -> None:
        if any(name and not is_slug(name) for name in (request.controller, request.camera)):
            raise not_found(f"camera {request.camera!r}")
        if workload(context) == TEST_TOOL:
            return
        if not request.controller:
            message = "a person runs retention for one controller; name it"
            raise PlatformError(Code.INVALID_ARGUMENT, "INVALID_FIELD", message)
        ask = Ask(Action.RETENTION_RUN, request.controller, request.camera)
        decision = await self._authority.authorize(ask, bearer_token(context), AUTHORIZE_SECONDS)
        if not decision.allowed:
            raise refused(decision, request.camera or request.controller)

    def _as_of(self, request: pb2.RunRequest) -> datetime:
        if not request.HasField("as_of"):
            return self._clock.now()
        if not self._fast_clock:
            message = "the production profile deletes by its own clock; leave as_of out"
            raise PlatformError(Code.PERMISSION_DENIED, "PROHIBITED", message)
        return request.as_of.ToDatetime(tzinfo=UTC)


def _deletion(done: Deleted) -> pb2.Deletion:
    return pb2.Deletion(**done.hour._asdict(), segments=done.segments, audit_entry_id=done.audit_entry_id)
