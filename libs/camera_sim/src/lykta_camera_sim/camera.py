"""One camera: a time line that runs since its first client, and the clients that watch it."""

import asyncio
import bisect
import random
from collections.abc import Callable

from lykta_camera_sim.air import OnAir
from lykta_camera_sim.auth import Gate
from lykta_camera_sim.capture import Capture
from lykta_camera_sim.faults import ActiveFaults
from lykta_camera_sim.pacer import Pacer
from lykta_camera_sim.rtp import FrameTemplate, Stream
from lykta_camera_sim.session import CameraStats, PlayingSession
from lykta_camera_sim.spec import CameraSpec
from lykta_camera_sim.video import CLOCK_HZ

_CATCH_UP_S = 2.0


class Camera:
    """Sends the frames of an endless loop when they are due, to every client alike.

    A client starts with the next key frame. When the process stood still for more than 2 s, the frames of that time are
    left out, as a camera would; otherwise none is.
    """

    def __init__(
        self,
        spec: CameraSpec,
        stream: Stream,
        pacer: Pacer,
        capture: Capture | None,
        *,
        unix_time: Callable[[], float],
        dice: random.Random,
    ) -> None:
        self.spec = spec
        self.stream = stream
        self.stats = CameraStats()
        self.faults = ActiveFaults()
        self.gate = Gate(spec)
        self.capture = capture
        self._pacer = pacer
        self._unix_time = unix_time
        self._dice = dice
        self._sessions: dict[str, PlayingSession] = {}
        self._keys = [index for index, frame in enumerate(stream.frames) if frame.is_key]
        self._sends = [frame.send_ticks for frame in stream.frames]
        into_file = spec.offset_s * CLOCK_HZ % stream.loop_ticks
        self._first = self._key_at_or_after(bisect.bisect_left(self._sends, into_file))
        self._started_at: float | None = None
        self._next = self._first
        self._waiting = False
        self._watchers: list[tuple[Callable[[CameraStats], bool], asyncio.Future[None]]] = []

    @property
    def viewers(self) -> int:
        """How many clients are being sent frames."""
        return len(self._sessions)

    def new_session(self, transport: asyncio.Transport) -> PlayingSession:
        """Makes the sending side for a client; it gets nothing before :meth:`join`."""
        return PlayingSession(transport, self.spec, self.stats, self.capture, self._dice)

    def join(self, session: PlayingSession, now: float) -> tuple[int, int]:
        """Adds a client and returns the sequence number and time stamp of its first packet."""
        if self._started_at is None:
            ticks = self._dice.random() * self.stream.loop_ticks if self.spec.free_running else self._sends[self._first]
            self._started_at = now - ticks / CLOCK_HZ
        if not self._waiting:
            self._next = self._number_at(now)
            self._waiting = True
            self._pacer.add(self, self._due(self._next))
        start = self._key_at_or_after(self._next)
        session.start_at(start)
        self._sessions[session.session_id] = session
        return session.sequence, session.timestamp(self._picture_ticks(start))

    def leave(self, session: PlayingSession) -> None:
        """Takes a client off; idempotent."""
        self._sessions.pop(session.session_id, None)

    def until(self, holds: Callable[[CameraStats], bool]) -> asyncio.Future[None]:
        """Returns a future that is done once the counters satisfy ``holds``; it is looked at when they change."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.append((holds, future))
        self.changed()
        return future

    def changed(self) -> None:
        """Looks at the futures of :meth:`until`; whoever changes a counter calls it."""
        for holds, future in tuple(self._watchers):
            if not future.done() and holds(self.stats):
                future.set_result(None)
        self._watchers = [watcher for watcher in self._watchers if not watcher[1].done()]

    def frame_now(self) -> FrameTemplate:
        """Returns the frame that is due next."""
        return self._frame(self._next)

    def advance(self, now: float) -> float | None:
        """Sends what is due; see :class:`lykta_camera_sim.pacer.Paced`."""
        if not self._sessions:
            self._waiting = False
            return None
        if now - self._due(self._next) > _CATCH_UP_S:
            self._next = self._number_at(now)
            self._make_wait_for_key()
        while (due := self._due(self._next)) <= now:
            self._send(now)
            self._next += 1
        return due

    def _send(self, now: float) -> None:
        if self.faults.get("freeze", now) or self.faults.get("hang", now):
            self._make_wait_for_key()
            return
        unix_at = self._unix_time()
        moved = self.faults.get("clock", now)
        camera_time = unix_at + (moved.offset_s if moved else self.spec.clock_offset_s)
        now_ticks = int(self._elapsed_ticks(now))
        ticks = self._picture_ticks(self._next)
        faults = self.faults.for_packets(now)
        air = OnAir(self._frame(self._next), self._next, ticks, now, now_ticks, unix_at, camera_time, faults)
        for session in tuple(self._sessions.values()):
            session.send(air)
        if self._watchers:
            self.changed()

    def _make_wait_for_key(self) -> None:
        for session in self._sessions.values():
            session.wait_for_key()

    def _frame(self, number: int) -> FrameTemplate:
        return self.stream.frames[number % len(self.stream.frames)]

    def _picture_ticks(self, number: int) -> int:
        lap, index = divmod(number, len(self._sends))
        return lap * self.stream.loop_ticks + self.stream.frames[index].picture_ticks

    def _due(self, number: int) -> float:
        lap, index = divmod(number, len(self._sends))
        ticks = lap * self.stream.loop_ticks + self._sends[index]
        return (0.0 if self._started_at is None else self._started_at) + ticks / CLOCK_HZ

    def _elapsed_ticks(self, now: float) -> float:
        return 0.0 if self._started_at is None else (now - self._started_at) * CLOCK_HZ

    def _number_at(self, now: float) -> int:
        lap, ticks = divmod(self._elapsed_ticks(now), self.stream.loop_ticks)
        return int(lap) * len(self._sends) + bisect.bisect_left(self._sends, ticks - 1)

    def _key_at_or_after(self, number: int) -> int:
        lap, index = divmod(number, len(self._sends))
        at = bisect.bisect_left(self._keys, index)
        if at == len(self._keys):
            return (lap + 1) * len(self._sends)
        return lap * len(self._sends) + self._keys[at]
