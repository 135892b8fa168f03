"""Reads footage through storage's playback: open, credits, items in order, gaps, edges, and the end of the right."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lykta.storage.v1 import playback_service_pb2 as pb2
from lykta.storage.v1 import playback_service_pb2_grpc as pb2_grpc
from lykta_common.clock import Clock, SystemClock
from lykta_common.errors import from_rpc, unavailable

from lykta_standalone.connection import Connection

AHEAD: Final = 3
"""Credits given at once when there is no pace to keep; storage counts no more."""
SILENCE_SECONDS: Final = 30.0
"""An open playback that says nothing for this long, although it has a credit, has failed."""


Call: TypeAlias = "grpc.aio.StreamStreamCall[pb2.ReadRequest, pb2.ReadResponse]"


@dataclass(frozen=True)
class Wanted:
    """What to read; half-open."""

    controller: str
    camera: str
    from_at: datetime
    to_at: datetime


@dataclass
class Playback:
    """One reading. Iterate `items`; `revoked` says afterwards whether the right to it ended on the way."""

    connection: Connection
    person: str
    grant_token: str
    wanted: Wanted
    realtime: bool = False
    clock: Clock = field(default_factory=SystemClock)
    revoked: pb2.Revoked | None = None
    _due: float = field(default=0.0, init=False)
    """When the newest fragment has been played, on the clock's monotonic scale; 0 when there is no pace."""

    async def items(self) -> AsyncGenerator[pb2.ReadResponse, None]:
        """Yield init, fragment, gap and edge items in order; ends at the end or when the right ends.

        Raises PlatformError with storage's reason when it is refused or breaks.
        """
        stub = await self.connection.stub(pb2_grpc.PlaybackServiceStub, "storage")
        call = stub.Read(metadata=await self.connection.metadata(self.person, self.grant_token))
        owed: asyncio.Queue[float] = asyncio.Queue()
        paying = asyncio.create_task(self._pay(call, owed), name="playback-credits")
        started, first = self.clock.monotonic(), self.wanted.from_at
        try:
            await call.write(pb2.ReadRequest(open=_opening(self.wanted)))
            if not self.realtime:
                for _ in range(AHEAD - 1):
                    owed.put_nowait(0.0)
            while (item := await self._next(call)) is not None:
                if item.HasField("revoked"):
                    self.revoked = item.revoked
                    # The server ends the stream itself, when its closing entry is in the log.
                    await self._next(call)
                    return
                if item.HasField("fragment"):
                    if self.realtime:
                        self._due = started + (instant(item.fragment.to) - first) / timedelta(seconds=1)
                    owed.put_nowait(self._due)
                yield item
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error, "storage") from error
        finally:
            paying.cancel()
            await _hang_up(call)

    async def _next(self, call: Call) -> pb2.ReadResponse | None:
        ahead = max(0.0, self._due - self.clock.monotonic())
        try:
            async with asyncio.timeout(ahead + SILENCE_SECONDS):
                item = await call.read()
        except TimeoutError as error:
            raise unavailable("storage") from error
        return item if isinstance(item, pb2.ReadResponse) else None

    async def _pay(self, call: Call, owed: "asyncio.Queue[float]") -> None:
        """Give one credit for each fragment taken, not before it is due."""
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                due = await owed.get()
                await self.clock.sleep(max(0.0, due - self.clock.monotonic()))
                await call.write(pb2.ReadRequest(credits=1))


def instant(stamp: Timestamp) -> datetime:
    """Turn a protobuf instant into an aware datetime."""
    return stamp.ToDatetime(tzinfo=UTC)


def stamp(moment: datetime) -> Timestamp:
    """Turn an aware datetime into a protobuf instant."""
    found = Timestamp()
    found.FromDatetime(moment)
    return found


async def _hang_up(call: Call) -> None:
    """End a call from our side, in the order in which the library leaves nothing behind."""
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError):
        await call.done_writing()
    call.cancel()
    with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
        await call.code()


def _opening(wanted: Wanted) -> pb2.Open:
    request = pb2.Open(controller=wanted.controller, camera=wanted.camera, to=stamp(wanted.to_at))
    getattr(request, "from").CopyFrom(stamp(wanted.from_at))
    return request
