"""A small HTTP control on loopback, to give cameras faults from outside the process."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from lykta_camera_sim.errors import FaultError, UnknownCameraError
from lykta_camera_sim.faults import KINDS, fault_from
from lykta_camera_sim.simulator import CameraSimulator

_DEADLINE_S = 5.0
_LIMIT_BYTES = 65_536
_LOOPBACK = "127.0.0.1"


class RefusedError(Exception):
    """A request that gets an error as its answer."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        """Keeps what to answer."""
        super().__init__(message)
        self.status = status


class FaultControl:
    """An asynchronous context; with ``port`` None it does nothing, with 0 it takes a free port.

    ``GET /cameras`` and ``GET /cameras/NAME`` tell the state, ``POST /cameras/NAME/fault`` gives a fault as JSON (see
    :class:`lykta_camera_sim.Fault`), ``DELETE /cameras/NAME/fault[?kind=KIND]`` ends it,
    ``GET /faults`` lists the kinds.
    """

    def __init__(self, simulator: CameraSimulator, port: int | None = 0) -> None:
        self._simulator = simulator
        self._wanted_port = port
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        if self._wanted_port is not None:
            self._server = await asyncio.start_server(self._serve, _LOOPBACK, self._wanted_port, limit=_LIMIT_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def port(self) -> int | None:
        """The port in use, None when there is none."""
        return self._server.sockets[0].getsockname()[1] if self._server else None

    @property
    def url(self) -> str:
        """The control's address."""
        return f"http://{_LOOPBACK}:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                status, answer = await self._respond(reader)
                body = json.dumps(answer).encode()
                head = (
                    f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        except (OSError, TimeoutError):
            return
        finally:
            writer.close()

    async def _respond(self, reader: asyncio.StreamReader) -> tuple[HTTPStatus, Any]:
        try:
            method, target, headers = await _read_head(reader)
            body = await _read_body(reader, headers)
            return HTTPStatus.OK, self._act(method, target, body)
        except RefusedError as error:
            return error.status, {"error": str(error)}
        except UnknownCameraError as error:
            return HTTPStatus.NOT_FOUND, {"error": str(error)}
        except FaultError as error:
            return HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)}

    def _act(self, method: str, target: str, body: bytes) -> Any:
        url = urlsplit(target)
        match method, [unquote(part) for part in url.path.split("/") if part]:
            case "GET", ["faults"]:
                return dict(KINDS)
            case "GET", ["cameras"]:
                return [self._simulator.state(name) for name in self._simulator.names]
            case "GET", ["cameras", name]:
                return self._simulator.state(name)
            case "POST", ["cameras", name, "fault"]:
                self._simulator.apply(name, fault_from(_json_object(body)))
                return self._simulator.state(name)
            case "DELETE", ["cameras", name, "fault"]:
                self._simulator.clear(name, next(iter(parse_qs(url.query).get("kind", [])), None))
                return self._simulator.state(name)
        raise RefusedError(HTTPStatus.NOT_FOUND, "use GET /cameras, POST or DELETE /cameras/NAME/fault, GET /faults")


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]]:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "no HTTP request") from error
    words = lines[0].split(" ")
    if len(words) != 3:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "no HTTP request")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("host", "").rpartition(":")[0] not in (_LOOPBACK, "localhost"):
        raise RefusedError(HTTPStatus.FORBIDDEN, "only this machine may ask")
    return words[0], words[1], headers


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > _LIMIT_BYTES:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
    if int(length) and not headers.get("content-type", "").startswith("application/json"):
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
    try:
        return await reader.readexactly(int(length))
    except asyncio.IncompleteReadError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the body is cut off") from error


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the body is not JSON") from error
    if not isinstance(value, dict):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
    return value
