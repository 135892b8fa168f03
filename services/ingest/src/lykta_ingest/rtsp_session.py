"""One viewing session with a camera: describe it, set up its video track only, play, keep alive, tear down."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from lykta_ingest.errors import CameraError, malformed
from lykta_ingest.h264 import NAL_SPS, Sps, parse_sps, require_no_reordering
from lykta_ingest.rtsp import Response, RtspConnection, refusal
from lykta_ingest.sdp import VideoTrack, parse_sdp

_INTERLEAVED = re.compile(r"interleaved\s*=\s*(\d{1,3})(?:-\d{1,3})?")
_TIMEOUT = re.compile(r"timeout\s*=\s*(\d{1,6})")
_DEFAULT_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Description:
    """What a camera offers; `sps` is None where parameter sets only come in band."""

    track: VideoTrack
    sps: Sps | None
    offers_audio: bool


class RtspSession:
    """The requests of one session over one connection; every request has the same deadline."""

    def __init__(self, connection: RtspConnection, url: str, deadline_s: float) -> None:
        self._connection = connection
        self._url = url
        self._deadline_s = deadline_s
        self._session_id = ""
        self._timeout_s = _DEFAULT_TIMEOUT_S
        self._public: frozenset[str] = frozenset()
        self._aggregate_url = url

    async def describe(self) -> Description:
        """Ask what the camera offers; raises CameraError (UNIMPLEMENTED when it cannot be recorded)."""
        options = await self._connection.request("OPTIONS", self._url, {}, self._deadline_s)
        if options.status == 200:
            self._public = frozenset(one.strip().upper() for one in options.header("public").split(","))
        elif options.status in {301, 302, 303, 305, 307, 308, 401, 403}:
            raise refusal(options, "OPTIONS")
        response = await self._ask("DESCRIBE", self._url, {"Accept": "application/sdp"})
        base = response.header("content-base") or response.header("content-location") or self._url
        self._aggregate_url = base if base.lower().startswith(("rtsp://", "rtsps://")) else self._url
        track = parse_sdp(response.body, self._aggregate_url)
        sets = [nal for nal in track.parameter_sets if nal[0] & 0x1F == NAL_SPS]
        sps = parse_sps(sets[0]) if sets else None
        if sps is not None:
            require_no_reordering(sps)
        return Description(track, sps, b"\nm=audio" in response.body)

    async def set_up(self, track: VideoTrack) -> int:
        """Set up the video track over TCP; return its interleaved channel."""
        headers = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
        response = await self._ask("SETUP", track.control_url, headers)
        self._session_id, _, parameters = response.header("session").partition(";")
        self._session_id = self._session_id.strip()
        if not self._session_id:
            raise malformed("the camera opened no session; restart the camera")
        if found := _TIMEOUT.search(parameters):
            self._timeout_s = max(2, int(found.group(1)))
        transport = response.header("transport")
        if "TCP" not in transport.upper():
            raise CameraError(
                "UNIMPLEMENTED",
                "CAMERA",
                "the camera did not agree to RTP over TCP; allow RTSP interleaved (TCP) transport in its settings",
            )
        interleaved = _INTERLEAVED.search(transport)
        channel = int(interleaved.group(1)) if interleaved else 0
        if channel > 254:
            raise malformed("the camera chose an impossible channel; restart the camera")
        return channel

    async def play(self) -> None:
        """Start the stream."""
        await self._ask("PLAY", self._aggregate_url, {"Range": "npt=0.000-", **self._session_header()})

    async def keep_alive(self) -> None:
        """Tell the camera at half its timeout that we are here, until cancelled; raises CameraError when it refuses."""
        method = "GET_PARAMETER" if "GET_PARAMETER" in self._public else "OPTIONS"
        while True:
            await asyncio.sleep(min(self._timeout_s / 2, 30))
            response = await self._connection.request(
                method, self._aggregate_url, self._session_header(), self._deadline_s
            )
            if response.status == 454:
                raise refusal(response, method)

    async def tear_down(self, deadline_s: float = 1.0) -> None:
        """End the session as well as the camera lets us, and close the connection; never raises CameraError."""
        ended = CameraError("UNAVAILABLE", "CAMERA", "the session was ended")
        try:
            if self._session_id and not self._connection.closed.done():
                await self._connection.request("TEARDOWN", self._aggregate_url, self._session_header(), deadline_s)
        except CameraError as fault:
            ended = fault
        finally:
            self._connection.fail(ended)

    def _session_header(self) -> dict[str, str]:
        return {"Session": self._session_id}

    async def _ask(self, method: str, url: str, headers: dict[str, str]) -> Response:
        response = await self._connection.request(method, url, headers, self._deadline_s)
        if response.status != 200:
            raise refusal(response, method)
        return response
