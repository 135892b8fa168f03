"""Tries a camera's address without recording anything: connect, describe, codec."""

from __future__ import annotations

from dataclasses import dataclass

from lykta_ingest.address import parse_address, resolve
from lykta_ingest.credentials import find_credentials
from lykta_ingest.errors import CameraError
from lykta_ingest.rtsp import connect
from lykta_ingest.rtsp_session import RtspSession
from lykta_ingest.station import Station


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, for people."""

    usable: bool
    detail: str
    codec: str = ""
    width: int = 0
    height: int = 0
    offers_audio: bool = False


async def probe(station: Station, address_text: str, credentials_ref: str) -> Finding:
    """Return what the camera answers to DESCRIBE; a camera that cannot be recorded is a finding, not an error."""
    settings = station.settings
    deadline_s = settings.camera_deadline_seconds
    try:
        address = parse_address(address_text)
        credentials = find_credentials(settings.camera_credentials_file, credentials_ref)
        pinned = await resolve(address, settings.camera_allow, deadline_s)
        connection = await connect(address, pinned, deadline_s, station.camera_tls)
        connection.authenticate_as(credentials)
        rtsp = RtspSession(connection, address.url, deadline_s)
        try:
            found = await rtsp.describe()
        finally:
            await rtsp.tear_down()
    except CameraError as error:
        return Finding(usable=False, detail=error.message)
    audio = "; it also offers audio, which is never recorded" if found.offers_audio else ""
    if found.sps is None:
        detail = f"H.264; size and profile will be known with the first key frame{audio}"
        return Finding(usable=True, detail=detail, offers_audio=found.offers_audio)
    sps = found.sps
    detail = f"H.264 {sps.width}×{sps.height} ({sps.codec}){audio}"
    return Finding(True, detail, sps.codec, sps.width, sps.height, found.offers_audio)
