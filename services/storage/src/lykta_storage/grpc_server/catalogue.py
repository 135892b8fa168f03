"""CatalogueService: what footage there is, what is missing, and whether all of it is explained."""

from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta.storage.v1 import catalogue_service_pb2_grpc as pb2_grpc
from lykta_common.clock import Clock
from lykta_common.errors import invalid, not_found
from lykta_common.identity import bearer_token, workload
from lykta_contracts.ids import is_slug
from lykta_contracts.instants import to_ms
from lykta_contracts.roles import Action

from lykta_storage.coverage import CameraBalance, Coverage
from lykta_storage.domain.footage import HOUR_MS
from lykta_storage.domain.spans import Span, total_ms
from lykta_storage.grpc_server.wire import from_timestamp, to_declared, to_gap, to_segment
from lykta_storage.playback.admission import AUTHORIZE_SECONDS, refused
from lykta_storage.ports import Ask, PolicyAuthority
from lykta_storage.store.footage import FootageStore

DEFAULT_PAGE: Final = 100
LARGEST_PAGE: Final = 1000
LONGEST_COVERAGE_MS: Final = 31 * 24 * HOUR_MS
TEST_TOOL: Final = "test-tool"

Context = grpc.aio.ServicerContext[Any, Any]


class CatalogueServicer(pb2_grpc.CatalogueServiceServicer):
    """Speaks `CatalogueService`."""

    def __init__(self, footage: FootageStore, coverage: Coverage, authority: PolicyAuthority, clock: Clock) -> None:
        self._footage = footage
        self._coverage = coverage
        self._authority = authority
        self._clock = clock

    async def ListFootage(self, request: pb2.ListFootageRequest, context: Context) -> pb2.ListFootageResponse:
        """List segments of a camera, oldest first."""
        span, after = self._span(request), _after(request.page_token)
        size = min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE)
        if size < 0:
            raise invalid("page_size must not be negative")
        await self._authorize(Action.FOOTAGE_LIST, request.controller, request.camera, span, context)
        found = await self._footage.segments_between(request.controller, request.camera, span, after, size + 1)
        page, more = found[:size], len(found) > size
        return pb2.ListFootageResponse(
            segments=[to_segment(segment, workload(context) == TEST_TOOL) for segment in page],
            next_page_token=f"{page[-1].from_ms}/{page[-1].segment_id}" if more else "",
        )

    async def ListGaps(self, request: pb2.ListGapsRequest, context: Context) -> pb2.ListGapsResponse:
        """List declared gaps of a camera, oldest first."""
        span = self._span(request)
        await self._authorize(Action.FOOTAGE_LIST, request.controller, request.camera, span, context)
        found = await self._footage.gaps_between(request.controller, request.camera, span)
        return pb2.ListGapsResponse(gaps=[to_declared(gap) for gap in found])

    async def Coverage(self, request: pb2.CoverageRequest, context: Context) -> pb2.CoverageResponse:
        """Balance what should have been recorded against what was recorded or explained."""
        if not request.HasField("from"):
            raise invalid("from is needed")
        span = self._span(request)
        span = span[0], min(span[1], to_ms(self._clock.now()))
        if span[1] - span[0] > LONGEST_COVERAGE_MS:
            raise invalid("at most 31 days can be balanced at once; ask for less")
        await self._authorize(Action.COVERAGE_READ, request.controller, request.camera, span, context)
        balances = await self._coverage.of_controller(request.controller, request.camera, span)
        return pb2.CoverageResponse(cameras=[_camera(found) for found in balances])

    def _span(self, request: Any) -> Span:
        start: Timestamp = getattr(request, "from")
        low = from_timestamp(start) if request.HasField("from") else 0
        high = from_timestamp(request.to) if request.HasField("to") else to_ms(self._clock.now())
        if low > high:
            raise invalid("from must not be after to")
        return low, high

    async def _authorize(self, action: Action, controller: str, camera: str, span: Span, context: Context) -> None:
        bearer = bearer_token(context)
        if not is_slug(controller) or (camera and not is_slug(camera)):
            raise not_found(f"camera {camera!r}")
        if not camera and action is not Action.COVERAGE_READ:
            raise invalid("camera is needed")
        decision = await self._authority.authorize(Ask(action, controller, camera, span), bearer, AUTHORIZE_SECONDS)
        if not decision.allowed:
            raise refused(decision, camera or controller)


def _after(token: str) -> tuple[int, str] | None:
    if not token:
        return None
    start, slash, name = token.partition("/")
    if not slash or not start.isdecimal():
        raise invalid("page_token is not one of ours")
    return int(start), name


def _camera(found: CameraBalance) -> pb2.CameraCoverage:
    balance = found.balance
    return pb2.CameraCoverage(
        camera=found.camera,
        scheduled_ms=total_ms(balance.scheduled),
        recorded_ms=total_ms(balance.recorded),
        explained_ms=total_ms(balance.explained),
        unexplained_ms=total_ms(balance.unexplained),
        pending_ms=total_ms(balance.pending),
        gaps=[to_declared(gap) for gap in found.gaps],
        unexplained=[to_gap(span, "UNKNOWN", "") for span in balance.unexplained],
    )
