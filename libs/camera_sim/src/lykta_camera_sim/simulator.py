"""Serves any number of simulated cameras on one RTSP port, from one event loop."""

import asyncio
import contextlib
import random
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lykta_camera_sim.camera import Camera
from lykta_camera_sim.capture import Capture, CaptureRecord
from lykta_camera_sim.connection import Connection
from lykta_camera_sim.errors import CameraSimError, UnknownCameraError
from lykta_camera_sim.faults import Fault
from lykta_camera_sim.pacer import Pacer
from lykta_camera_sim.rtp import Stream, packetise
from lykta_camera_sim.session import CameraStats
from lykta_camera_sim.spec import CameraSpec
from lykta_camera_sim.video import load_video

_HOUSEKEEPING_S = 1.0
_CLOSING_S = 5.0


class CameraSimulator:
    """An asynchronous context: on entry the files are read and the port is open, on exit every connection is closed.

    ``port`` 0 takes a free one. With ``capture_dir`` each camera writes ``<name>.jsonl`` there; with ``capture`` (or a
    directory) what was sent is kept in memory too. ``tls`` makes it ``rtsps``. ``seed`` makes the faults repeatable.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        cameras: Iterable[CameraSpec] = (),
        *,
        capture: bool = False,
        capture_dir: Path | None = None,
        tls: ssl.SSLContext | None = None,
        seed: int | None = None,
        quantum_s: float = 0.004,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._host = host
        self._wanted_port = port
        self._specs = list(cameras)
        self._captures = capture or capture_dir is not None
        self._capture_dir = capture_dir
        self._tls = tls
        self._quantum_s = quantum_s
        self._unix_time = unix_time
        self._dice = random.Random(seed)  # noqa: S311 - faults, not secrets
        self._streams: dict[tuple[Path, float | None, int, bool], Stream] = {}
        self._cameras: dict[str, Camera] = {}
        self._connections: set[Connection] = set()
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self._server: asyncio.Server | None = None
        self._pacer: Pacer | None = None
        self._housekeeping: asyncio.TimerHandle | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._pacer = Pacer(loop, self._quantum_s)
        for spec in self._specs:
            await self.add(spec)
        self._server = await loop.create_server(
            lambda: Connection(self, loop), self._host, self._wanted_port, ssl=self._tls, backlog=512
        )
        self._port = self._server.sockets[0].getsockname()[1]
        self._keep_house()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        if self._pacer is not None:
            self._pacer.close()
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_closed.wait(), _CLOSING_S)
        for camera in self._cameras.values():
            if camera.capture is not None:
                camera.capture.close()

    @property
    def port(self) -> int:
        """The port in use."""
        return self._port

    @property
    def names(self) -> list[str]:
        """The cameras' names in the order in which they were added."""
        return list(self._cameras)

    async def add(self, spec: CameraSpec) -> None:
        """Adds a camera; its file is read in a thread, once for all cameras that share it.

        Raises:
            CameraSimError: the name is taken, or the simulator is not entered.
            FootageError: the file cannot be used.
        """
        if self._pacer is None:
            raise CameraSimError("enter the simulator before adding cameras to it")
        if spec.name in self._cameras:
            raise CameraSimError(f"two cameras are called {spec.name!r}")
        key = (spec.path.resolve(), spec.fps, spec.payload_limit, spec.aggregate)
        if key not in self._streams:
            self._streams[key] = await asyncio.to_thread(_prepare, spec)
        capture = None
        if self._captures:
            capture = Capture(self._capture_dir / f"{spec.name}.jsonl" if self._capture_dir else None)
        self._cameras[spec.name] = Camera(
            spec, self._streams[key], self._pacer, capture, unix_time=self._unix_time, dice=self._dice
        )

    def address(self, name: str) -> str:
        """Returns the camera's RTSP URL without credentials."""
        return self._url(name, "")

    def url(self, name: str) -> str:
        """Returns the camera's RTSP URL with its user and password, if it has them."""
        return self._url(name, self._known(name).spec.user_info)

    def fault(self, name: str, kind: str, **values: Any) -> None:
        """Gives a camera a fault (see :class:`lykta_camera_sim.Fault`), in place of an earlier one of its kind.

        Raises:
            FaultError: the fault does not exist or a value is out of range.
            UnknownCameraError: there is no such camera.
        """
        self.apply(name, Fault(kind, **values))

    def apply(self, name: str, fault: Fault) -> None:
        """Gives a camera a fault that was made before."""
        camera = self._known(name)
        if not fault.is_event:
            camera.faults.add(fault, asyncio.get_running_loop().time())
        if fault.kind == "stale":
            camera.gate.expire()
        if fault.kind in ("disconnect", "refuse"):
            for connection in tuple(self._connections):
                if connection.camera is camera:
                    connection.close(mid_frame=fault.mid_frame)

    def clear(self, name: str, kind: str | None = None) -> None:
        """Ends one kind of fault, or all of them; an absent one is no error."""
        self._known(name).faults.clear(kind)

    def stats(self, name: str) -> CameraStats:
        """Returns the camera's counters, which go on changing."""
        return self._known(name).stats

    async def wait_until(self, name: str, holds: Callable[[CameraStats], bool], timeout_s: float = 10.0) -> None:
        """Waits until the camera's counters satisfy ``holds``.

        Raises:
            TimeoutError: they did not within ``timeout_s``.
        """
        async with asyncio.timeout(timeout_s):
            await self._known(name).until(holds)

    def captured(self, name: str) -> list[CaptureRecord]:
        """Returns what was sent, oldest first, and flushes the camera's file; empty without capture."""
        capture = self._known(name).capture
        if capture is None:
            return []
        capture.flush()
        return capture.records()

    def state(self, name: str) -> dict[str, Any]:
        """Returns what the control tells of a camera: address, viewers, faults, counters."""
        camera = self._known(name)
        return {
            "name": name,
            "url": self.address(name),
            "viewers": camera.viewers,
            "faults": camera.faults.kinds(asyncio.get_running_loop().time()),
            "stats": asdict(camera.stats),
        }

    def camera(self, name: str) -> Camera | None:
        """See :class:`lykta_camera_sim.connection.Door`."""
        return self._cameras.get(name)

    def opened(self, connection: Connection) -> None:
        """See :class:`lykta_camera_sim.connection.Door`."""
        self._connections.add(connection)
        self._all_closed.clear()

    def closed(self, connection: Connection) -> None:
        """See :class:`lykta_camera_sim.connection.Door`."""
        self._connections.discard(connection)
        if not self._connections:
            self._all_closed.set()

    def _known(self, name: str) -> Camera:
        camera = self._cameras.get(name)
        if camera is None:
            raise UnknownCameraError(f"there is no camera {name!r}; known: {', '.join(self._cameras) or 'none'}")
        return camera

    def _url(self, name: str, user_info: str) -> str:
        self._known(name)
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'rtsps' if self._tls else 'rtsp'}://{user_info}{host}:{self._port}/{name}"

    def _keep_house(self) -> None:
        loop = asyncio.get_running_loop()
        for connection in tuple(self._connections):
            connection.close_if_silent(loop.time())
        for camera in self._cameras.values():
            if camera.capture is not None:
                camera.capture.flush()
        self._housekeeping = loop.call_later(_HOUSEKEEPING_S, self._keep_house)


def _prepare(spec: CameraSpec) -> Stream:
    return packetise(load_video(spec.path, spec.fps), spec.payload_limit, spec.aggregate)
