"""An RTSP 1.0 client over TCP (RFC 2326): requests, answers, and interleaved media parsed where it was received."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from lykta_ingest.address import CameraAddress
from lykta_ingest.errors import CameraError, malformed, unreachable
from lykta_ingest.rtp import DOLLAR, H264Depacketizer
from lykta_ingest.rtsp_auth import Authenticator, Credentials

_BUFFER_BYTES = 160 * 1024
_FRAME_MAX = 4 + 0xFFFF
_HEAD_MAX = 16 * 1024
_BODY_MAX = 64 * 1024
_USER_AGENT = "lykta"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; header names are lower case, repeated headers are kept in order."""

    status: int
    phrase: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return the first value of a header, or the empty string."""
        return next((value for key, value in self.headers if key == name), "")


def refusal(response: Response, method: str) -> CameraError:
    """Translate a status that is not 200 into a fault that says what to do."""
    status = response.status
    if 300 <= status < 400:
        return CameraError(
            "FAILED_PRECONDITION",
            "CAMERA",
            f"the camera redirects ({status}), which is refused; register the address it should be reached at",
            retryable=False,
        )
    known: dict[int, tuple[str, str]] = {
        401: ("UNAUTHENTICATED", "the camera refused the user name or password; correct its entry in the secret file"),
        403: ("PERMISSION_DENIED", "the camera forbids this user to view; give the user the right to stream video"),
        404: ("NOT_FOUND", "the camera has no stream at this path; correct the path in the camera's address"),
        453: (
            "RESOURCE_EXHAUSTED",
            "the camera has no bandwidth or session left; end other viewers or lower its bit rate",
        ),
        454: ("UNAVAILABLE", "the camera has forgotten the session; connecting again"),
        461: (
            "UNIMPLEMENTED",
            "the camera refuses RTP over TCP; allow RTSP interleaved (TCP) transport in its settings",
        ),
        503: ("UNAVAILABLE", "the camera is overloaded or starting; trying again"),
    }
    code, message = known.get(status, ("UNAVAILABLE", f"the camera refused {method}; look at its log, or restart it"))
    return CameraError(code, "CAMERA", f"{message} (RTSP status {status})")


class RtspConnection(asyncio.BufferedProtocol):
    """One connection: receives into one buffer and parses `$` frames and answers in place.

    Frames of `video_channel` go to the depacketizer, those of the channel after it to `on_control` (RTCP). Whatever
    breaks the protocol ends the connection with a CameraError; `closed` resolves when it is over.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._sequence = 0
        self._authenticator: Authenticator | None = None
        self._depacketizer: H264Depacketizer | None = None
        self._video_channel = -1
        self._on_control: Callable[[memoryview], None] | None = None
        self.closed: asyncio.Future[CameraError] = loop.create_future()
        self.received_bytes = 0

    # -- asyncio.BufferedProtocol --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; other event loops have classes of their own for it."""
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Offer the free end of the buffer; `sizehint` is ignored."""
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what has arrived; what is incomplete stays for the next time."""
        self._end += nbytes
        self.received_bytes += nbytes
        try:
            self._parse()
        except CameraError as fault:
            self.fail(fault)
            return
        if self._start == self._end:
            self._start = self._end = 0
        elif _BUFFER_BYTES - self._end < _FRAME_MAX:
            rest = self._end - self._start
            self._buffer[:rest] = self._buffer[self._start : self._end]
            self._start, self._end = 0, rest

    def eof_received(self) -> bool:
        """Treat the camera's end of stream as the end of the connection."""
        self.fail(CameraError("UNAVAILABLE", "CAMERA", "the camera closed the connection"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake everyone who waits."""
        self.fail(unreachable("the connection to the camera broke"))

    # -- use -----------------------------------------------------------------------------------------------------

    def read_in_turn(self) -> bool:
        """Stop being woken for every packet: from now on `read_now` is called. False where that cannot be (TLS).

        Reads go through a duplicate of the socket, so that they can never hit another connection's descriptor.
        """
        if self._transport is None or self._transport.get_extra_info("sslcontext") is not None:
            return False
        self._transport.pause_reading()
        self._socket = socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))
        self._socket.setblocking(False)
        return True

    def read_now(self) -> None:
        """Take what has arrived (see `Rota`)."""
        while self._socket is not None:
            room = _BUFFER_BYTES - self._end
            try:
                count = self._socket.recv_into(self._view[self._end :])
            except BlockingIOError:
                return
            except OSError:
                self.fail(unreachable("the connection to the camera broke"))
                return
            if not count:
                self.eof_received()
                return
            self.buffer_updated(count)
            if count < room:
                return

    def authenticate_as(self, credentials: Credentials | None) -> None:
        """Answer challenges with these credentials from now on."""
        self._authenticator = Authenticator(credentials) if credentials else None

    def attach(self, channel: int, depacketizer: H264Depacketizer, on_control: Callable[[memoryview], None]) -> None:
        """Send media of `channel` to the depacketizer and of the channel after it to `on_control`."""
        self._video_channel = channel
        self._depacketizer = depacketizer
        self._on_control = on_control

    def detach(self) -> None:
        """Ignore media from now on; answers are still read."""
        self._video_channel = -1
        self._depacketizer = self._on_control = None

    def fail(self, fault: CameraError) -> None:
        """End the connection; the first reason counts."""
        if not self.closed.done():
            self.closed.set_result(fault)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(fault)
        self._waiting.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    async def request(self, method: str, url: str, headers: dict[str, str], deadline_s: float) -> Response:
        """Send a request and return the answer whatever its status; answers one authentication challenge.

        Raises CameraError when the camera does not answer in time, breaks the protocol or the connection ends.
        """
        response = await self._exchange(method, url, headers, deadline_s)
        if response.status == 401 and self._authenticator is not None:
            challenges = [value for name, value in response.headers if name == "www-authenticate"]
            if self._authenticator.challenged(challenges):
                response = await self._exchange(method, url, headers, deadline_s)
        return response

    async def _exchange(self, method: str, url: str, headers: dict[str, str], deadline_s: float) -> Response:
        if self._transport is None:
            raise self.closed.result()
        self._sequence += 1
        number = self._sequence
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {number}", f"User-Agent: {_USER_AGENT}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        authorization = self._authenticator.header(method, url) if self._authenticator else None
        if authorization:
            lines.append(f"Authorization: {authorization}")
        waiting: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            async with asyncio.timeout(deadline_s):
                return await waiting
        except TimeoutError as error:
            raise unreachable(f"the camera did not answer {method} in {deadline_s:g} s") from error
        finally:
            self._waiting.pop(number, None)

    # -- parsing -------------------------------------------------------------------------------------------------

    def _parse(self) -> None:
        view, position, end = self._view, self._start, self._end
        while position < end:
            following = self._frame(view, position, end) if view[position] == DOLLAR else self._message(position, end)
            self._start = following
            if following == position:
                return
            position = following

    def _frame(self, view: memoryview, position: int, end: int) -> int:
        """Consume interleaved frames (RFC 2326 section 10.12); return `position` when the first is incomplete."""
        if end - position < 4:
            return position
        channel = view[position + 1]
        if channel == self._video_channel and self._depacketizer is not None:
            following = self._depacketizer.feed(view, position, end, channel)
            if following != position:
                return following
        following = position + 4 + (view[position + 2] << 8 | view[position + 3])
        if following > end:
            return position
        if channel == self._video_channel + 1 and self._on_control is not None:
            self._on_control(view[position + 4 : following])
        return following

    def _message(self, position: int, end: int) -> int:
        """Consume one RTSP message; return `position` when it is incomplete."""
        if self._buffer[position] in b"\r\n":
            return position + 1
        head_end = self._buffer.find(b"\r\n\r\n", position, end)
        if head_end < 0:
            if end - position > _HEAD_MAX or not bytes(self._view[position : position + 1]).isalpha():
                raise malformed("the camera does not speak RTSP; check the address and the port")
            return position
        lines = bytes(self._view[position:head_end]).decode("utf-8", "replace").split("\r\n")
        headers = [(n.strip().lower(), v.strip()) for n, s, v in (line.partition(":") for line in lines[1:]) if s]
        length_text = next((value for name, value in headers if name == "content-length"), "0")
        if not (length_text.isascii() and length_text.isdigit()) or int(length_text) > _BODY_MAX:
            raise malformed("the camera's answer is larger than 64 KiB or its length is broken; check the address")
        body_end = head_end + 4 + int(length_text)
        if body_end > end:
            return position
        self._dispatch(lines[0], headers, bytes(self._view[head_end + 4 : body_end]))
        return body_end

    def _dispatch(self, first_line: str, headers: list[tuple[str, str]], body: bytes) -> None:
        version, _, rest = first_line.partition(" ")
        number = next((value for name, value in headers if name == "cseq"), "")
        if not version.startswith("RTSP/"):
            if first_line.endswith("RTSP/1.0") and number.isdigit() and self._transport is not None:
                self._transport.write(f"RTSP/1.0 501 Not Implemented\r\nCSeq: {number}\r\n\r\n".encode())
                return
            raise malformed("the camera does not speak RTSP; check the address and the port")
        status, _, phrase = rest.partition(" ")
        if len(status) != 3 or not (status.isascii() and status.isdigit()):
            raise malformed("the camera's answer has no status; check the address and the port")
        waiting = self._waiting.get(int(number)) if number.isascii() and number.isdigit() else None
        if waiting is not None and not waiting.done():
            waiting.set_result(Response(int(status), phrase, headers, body))


async def connect(
    address: CameraAddress, pinned_ip: str, deadline_s: float, tls: ssl.SSLContext | None = None
) -> RtspConnection:
    """Connect to the pinned IP address; `tls` is used for rtsps. Raises CameraError."""
    loop = asyncio.get_running_loop()
    context = (tls or ssl.create_default_context()) if address.tls else None
    try:
        async with asyncio.timeout(deadline_s):
            _, connection = await loop.create_connection(
                RtspConnection,
                pinned_ip,
                address.port,
                ssl=context,
                server_hostname=address.host if context else None,
            )
    except TimeoutError as error:
        raise unreachable(
            f"the camera did not accept a connection in {deadline_s:g} s; check network and power"
        ) from error
    except ConnectionRefusedError as error:
        raise CameraError(
            "UNAVAILABLE", "CAMERA", "the camera refuses connections; check the port and that RTSP is switched on"
        ) from error
    except ssl.SSLError as error:
        raise CameraError(
            "UNAVAILABLE", "CAMERA", "the camera's TLS certificate is not trusted or TLS failed"
        ) from error
    except OSError as error:
        raise unreachable("the camera cannot be reached; check network, power and address") from error
    return connection
