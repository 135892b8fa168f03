"""PlaybackService: the ordered stream of footage."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from lykta.storage.v1 import playback_service_pb2 as pb2
from lykta.storage.v1 import playback_service_pb2_grpc as pb2_grpc
from lykta_common.errors import Code, PlatformError, invalid
from lykta_common.identity import bearer_token, metadata_value, workload
from lykta_contracts.roles import Action

from lykta_storage.domain.grants import Wanted
from lykta_storage.grpc_server.wire import from_timestamp, to_response
from lykta_storage.playback.admission import Admission, Caller
from lykta_storage.playback.reader import FragmentPart
from lykta_storage.playback.stream import Desk, PlaybackStream
from lykta_storage.playback.vigil import Ended
from lykta_storage.telemetry import StorageMetrics

OPEN_SECONDS: Final = 10.0
"""How long a new stream waits for its opening request."""
GRANT_METADATA: Final = "lykta-grant"

Context = grpc.aio.ServicerContext[Any, Any]


class PlaybackServicer(pb2_grpc.PlaybackServiceServicer):
    """Speaks `PlaybackService`; playbacks run in the task group of the service."""

    def __init__(
        self, admission: Admission, desk: Desk, tasks: asyncio.TaskGroup, most: int, metrics: StorageMetrics
    ) -> None:
        self._most = most
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()
        self._admission = admission
        self._desk = desk
        self._tasks = tasks

    async def Read(
        self, request_iterator: AsyncIterator[pb2.ReadRequest], context: Context
    ) -> AsyncIterator[pb2.ReadResponse]:
        """Stream the fragments of one camera and interval at the pace of the client's credits."""
        if len(self._running) >= self._most:
            message = f"{self._most} playbacks are open already; try again"
            raise PlatformError(Code.RESOURCE_EXHAUSTED, "LIMIT", message)
        caller = Caller(_bearer(context), metadata_value(context, GRANT_METADATA), workload(context))
        admitted = await self._admission.admit(caller, await _opening(request_iterator))
        stream = PlaybackStream(admitted, self._desk)
        handler = asyncio.current_task()

        def abandon(ended: asyncio.Task[None]) -> None:
            self._running.discard(ended)
            self._metrics.playbacks_open.set(len(self._running))
            if stream.abandoned and handler is not None:
                handler.cancel()

        running = self._tasks.create_task(stream.run(), name=f"playback-{admitted.playback_id}")
        self._running.add(running)
        self._metrics.playbacks_open.set(len(self._running))
        running.add_done_callback(abandon)
        # The transport cancels a handler wherever it stands; the closing entry must not depend on where that is.
        context.add_done_callback(lambda _: stream.end())  # type: ignore[arg-type]
        listening = self._tasks.create_task(_listen(request_iterator, stream), name="playback-credits")
        try:
            while (item := await stream.next()) is not None:
                if isinstance(item, FragmentPart):
                    self._metrics.playback_bytes.inc(len(item.payload))
                yield to_response(item)
                if isinstance(item, Ended):
                    break
            await stream.finished()
        finally:
            listening.cancel()
            stream.end()


def _bearer(context: Context) -> str:
    try:
        return bearer_token(context)
    except PlatformError:
        return ""  # refused at the door, where the attempt is logged


async def _opening(requests: AsyncIterator[pb2.ReadRequest]) -> Wanted:
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            first = await anext(requests)
    except (TimeoutError, StopAsyncIteration) as error:
        raise invalid("the first request must open: say controller, camera, from and to") from error
    if first.WhichOneof("kind") != "open":
        raise invalid("the first request must open: say controller, camera, from and to")
    opened = first.open
    if not (opened.HasField("from") and opened.HasField("to")):
        raise invalid("from and to are needed")
    span = from_timestamp(getattr(opened, "from")), from_timestamp(opened.to)
    return Wanted(opened.controller, opened.camera, Action.FOOTAGE_PLAYBACK, span)


async def _listen(requests: AsyncIterator[pb2.ReadRequest], stream: PlaybackStream) -> None:
    try:
        async for request in requests:
            if request.WhichOneof("kind") != "credits":
                stream.refuse(invalid("a stream is opened once; later requests give credits"))
                return
            stream.credits.give(request.credits)
    except PlatformError as error:
        stream.refuse(error)
    except grpc.aio.BaseError as error:
        # The call is over; its own end is told by the transport.
        stream.refuse(PlatformError(Code.ABORTED, "WRONG_STATE", str(error) or "the call ended"))
    else:
        stream.credits.close()
