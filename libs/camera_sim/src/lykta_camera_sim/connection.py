"""The RTSP side of one TCP connection to the simulator (RFC 2326): requests in, answers out."""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from lykta_camera_sim.camera import Camera
from lykta_camera_sim.rtsp import BadRequestError, Request, RequestReader, response
from lykta_camera_sim.sdp import AUDIO_TRACK, VIDEO_TRACK, describe
from lykta_camera_sim.session import PlayingSession

_PUBLIC = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, SET_PARAMETER, TEARDOWN"
_FIRST_REQUEST_S = 60.0


class Door(Protocol):
    """What a connection needs of the server it belongs to."""

    def camera(self, name: str) -> Camera | None:
        """Returns the camera of that name."""

    def opened(self, connection: "Connection") -> None:
        """Is told of a new connection."""

    def closed(self, connection: "Connection") -> None:
        """Is told that a connection is gone."""


class Connection(asyncio.Protocol):
    """Serves one client; it may set up one session."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self.camera: Camera | None = None
        self._door = door
        self._loop = loop
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        self._session: PlayingSession | None = None
        self._playing = False
        self._heard_at = loop.time()
        self._handlers: dict[str, Callable[[Request, Camera], bytes]] = {
            "OPTIONS": self._options,
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "PLAY": self._play,
            "GET_PARAMETER": self._parameter,
            "SET_PARAMETER": self._parameter,
            "TEARDOWN": self._teardown,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._door.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the session of a client that is gone."""
        self._end_session()
        self._door.closed(self)

    def data_received(self, data: bytes) -> None:
        """Answers the requests in the bytes."""
        self._heard_at = self._loop.time()
        try:
            for request in self._reader.feed(data):
                answer = self._answer(request)
                if self.camera is not None:
                    self.camera.changed()
                if answer is None or self._transport is None:
                    return
                self._transport.write(answer)
        except BadRequestError:
            if self._transport is not None:
                self._transport.write(response(400, None))
                self._transport.close()

    def close(self, mid_frame: bool = False) -> None:
        """Drops the client without a word, with ``mid_frame`` after half a frame."""
        if self._transport is None:
            return
        if mid_frame and self._playing and self._session and self.camera:
            self._session.send_half(self.camera.frame_now())
            self._transport.close()
        else:
            self._transport.abort()

    def close_if_silent(self, now: float) -> None:
        """Drops a client that has sent nothing for the session's time-out."""
        limit = self.camera.spec.session_timeout_s if self.camera else _FIRST_REQUEST_S
        if now - self._heard_at > limit:
            self.close()

    def _answer(self, request: Request) -> bytes | None:
        """Returns the answer, or None when there is none (the camera hangs or refuses)."""
        cseq = request.headers.get("cseq")
        if cseq is None or not cseq.isdecimal():
            return response(400, None)
        if request.version != "RTSP/1.0":
            return response(505, cseq)
        if request.method == "OPTIONS" and (request.uri == "*" or not request.path):
            return response(200, cseq, [("Public", _PUBLIC)])
        camera = self._door.camera(request.path[0]) if request.path else None
        if camera is None:
            return response(404, cseq)
        if self._session is not None and camera is not self.camera:
            return response(455, cseq)
        now = self._loop.time()
        self.camera = camera
        camera.stats.requests += 1
        if camera.faults.get("refuse", now):
            self.close()
            return None
        if camera.faults.get("hang", now):
            return None
        handler = self._handlers.get(request.method)
        if handler is None:
            return response(405, cseq, [("Allow", _PUBLIC)])
        return self._refusal(request, camera, cseq) or handler(request, camera)

    def _refusal(self, request: Request, camera: Camera, cseq: str) -> bytes | None:
        if request.method == "OPTIONS":
            return None
        allowed, stale = camera.gate.check(request.headers.get("authorization"), request.method, request.uri)
        if not allowed:
            camera.stats.auth_failures += 1
            return response(401, cseq, [("WWW-Authenticate", one) for one in camera.gate.challenges(stale)])
        wanted = request.headers.get("session", "").partition(";")[0].strip()
        if wanted and (self._session is None or wanted != self._session.session_id):
            return response(454, cseq)
        return None

    def _options(self, request: Request, camera: Camera) -> bytes:
        if self._playing:
            camera.stats.keepalives += 1
        return response(200, request.headers["cseq"], [("Public", _PUBLIC)])

    def _describe(self, request: Request, camera: Camera) -> bytes:
        cseq = request.headers["cseq"]
        fault = camera.faults.get("status", self._loop.time())
        status = fault.status if fault else camera.spec.answer_status
        if status is not None:
            location = (fault.location if fault else None) or camera.spec.redirect_to
            headers = [("Location", location)] if location and status in (301, 302) else []
            if status == 401:
                headers = [("WWW-Authenticate", one) for one in camera.gate.challenges() or ['Basic realm="camera"']]
            return response(status, cseq, headers)
        body = describe(camera.stream.video, camera.spec.sdp, self._local_host())
        base = request.uri.partition("?")[0].rstrip("/") + "/"
        return response(200, cseq, [("Content-Type", "application/sdp"), ("Content-Base", base)], body)

    def _setup(self, request: Request, camera: Camera) -> bytes:
        cseq = request.headers["cseq"]
        track = request.path[1] if len(request.path) == 2 else ""
        known = (VIDEO_TRACK, AUDIO_TRACK) if camera.spec.sdp.audio else (VIDEO_TRACK,)
        if track not in known:
            return response(404, cseq)
        if self._playing:
            return response(455, cseq)
        channel = interleaved_channel(request.headers.get("transport", ""), default=0 if track == VIDEO_TRACK else 2)
        if channel is None or self._transport is None:
            return response(461, cseq)
        if self._session is None:
            if camera.viewers >= camera.spec.max_sessions:
                return response(453, cseq)
            self._session = camera.new_session(self._transport)
        if track == VIDEO_TRACK:
            camera.stats.video_setups += 1
            self._session.channel = channel
            self._session.is_set_up = True
        else:
            camera.stats.audio_setups += 1
        transport = f"RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1};ssrc={self._session.source:08X}"
        return response(200, cseq, [("Transport", transport), self._session_header(self._session, camera)])

    def _play(self, request: Request, camera: Camera) -> bytes:
        cseq = request.headers["cseq"]
        session = self._session
        if session is None or not session.is_set_up:
            return response(455, cseq)
        headers = [self._session_header(session, camera), ("Range", "npt=now-")]
        if not self._playing:
            sequence, timestamp = camera.join(session, self._loop.time())
            self._playing = True
            camera.stats.plays += 1
            url = request.uri.partition("?")[0].rstrip("/")
            headers.append(("RTP-Info", f"url={url}/{VIDEO_TRACK};seq={sequence};rtptime={timestamp}"))
        return response(200, cseq, headers)

    def _parameter(self, request: Request, camera: Camera) -> bytes:
        camera.stats.keepalives += 1
        headers = [self._session_header(self._session, camera)] if self._session else []
        return response(200, request.headers["cseq"], headers)

    def _teardown(self, request: Request, camera: Camera) -> bytes:
        if self._session is None:
            return response(454, request.headers["cseq"])
        camera.stats.teardowns += 1
        self._end_session()
        return response(200, request.headers["cseq"])

    def _session_header(self, session: PlayingSession, camera: Camera) -> tuple[str, str]:
        return "Session", f"{session.session_id};timeout={int(camera.spec.session_timeout_s)}"

    def _end_session(self) -> None:
        if self._session is not None and self.camera is not None:
            self.camera.leave(self._session)
        self._session, self._playing = None, False

    def _local_host(self) -> str:
        name = self._transport.get_extra_info("sockname") if self._transport else None
        return str(name[0]) if name else "127.0.0.1"


def interleaved_channel(transport: str, default: int) -> int | None:
    """Returns the RTP channel a ``Transport`` header asks for, or None when it offers no interleaved transport."""
    for offer in transport.split(","):
        parts = [part.strip() for part in offer.split(";")]
        if parts[0].upper() != "RTP/AVP/TCP":
            continue
        for part in parts[1:]:
            name, _, value = part.partition("=")
            if name.lower() == "interleaved":
                first = value.partition("-")[0]
                return int(first) if first.isdecimal() and int(first) <= 254 else None
        return default
    return None
