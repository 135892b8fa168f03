"""Reads a camera's session description (RFC 8866, RFC 6184 section 8) and picks the one video track to record."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from urllib.parse import urljoin

from lykta_ingest.errors import malformed, unsupported

MAX_SDP_BYTES = 64 * 1024
_H264_CLOCK_HZ = 90_000
_H264_ADVICE = "set the camera's video encoding to H.264 (Baseline, Main or High profile, without B-frames)"


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """The track to set up; `control_url` is absolute, `parameter_sets` are the NAL units announced in the SDP."""

    control_url: str
    payload_type: int
    parameter_sets: tuple[bytes, ...]


@dataclass(slots=True)
class _Media:
    kind: str
    payload_types: list[int]
    attributes: dict[str, str] = field(default_factory=dict)
    encodings: dict[int, str] = field(default_factory=dict)
    formats: dict[int, str] = field(default_factory=dict)


def parse_sdp(body: bytes, base_url: str) -> VideoTrack:
    """Return the first H.264 track; audio and other tracks are never set up.

    Raises CameraError: UNIMPLEMENTED with advice where there is no H.264 video, UNAVAILABLE where the text is broken.
    """
    if len(body) > MAX_SDP_BYTES:
        raise malformed("the camera's session description is larger than 64 KiB; check that the address is a camera")
    session, media = _read(body)
    videos = [one for one in media if one.kind == "video"]
    if not videos:
        raise unsupported(f"the camera offers no video track; check the stream path and {_H264_ADVICE}")
    for one in videos:
        for payload_type in one.payload_types:
            if one.encodings.get(payload_type, "").upper().startswith("H264/"):
                return _track(one, payload_type, urljoin_control(base_url, session.get("control", "*")))
    offered = sorted({name.split("/")[0] for one in videos for name in one.encodings.values()})
    names = ", ".join(offered) or "an unnamed encoding"
    raise unsupported(f"the camera offers {names}, which is not supported; {_H264_ADVICE}")


def urljoin_control(base_url: str, control: str) -> str:
    """Resolve an `a=control` value (RFC 2326 appendix C.1.1); cameras expect a plain append where there is no slash."""
    if control in {"", "*"}:
        return base_url
    if control.lower().startswith(("rtsp://", "rtsps://")):
        return control
    if control.startswith("/"):
        return urljoin(base_url, control)
    return base_url.rstrip("/") + "/" + control


def _read(body: bytes) -> tuple[dict[str, str], list[_Media]]:
    session: dict[str, str] = {}
    media: list[_Media] = []
    text = body.decode("utf-8", "replace").replace("\r\n", "\n")
    if not text.lstrip().startswith("v="):
        raise malformed("the camera's session description is not SDP; check the stream path")
    for line in text.split("\n"):
        kind, _, value = line.strip().partition("=")
        if kind == "m":
            media.append(_media_line(value))
        elif kind == "a":
            name, _, rest = value.partition(":")
            if media:
                _media_attribute(media[-1], name, rest)
            else:
                session[name] = rest
    return session, media


def _media_line(value: str) -> _Media:
    parts = value.split()
    if len(parts) < 4:
        raise malformed("the camera's session description has a broken media line; restart the camera")
    return _Media(parts[0], [int(one) for one in parts[3:] if one.isascii() and one.isdigit() and int(one) < 128])


def _media_attribute(media: _Media, name: str, rest: str) -> None:
    if name in {"rtpmap", "fmtp"}:
        number, _, text = rest.strip().partition(" ")
        if number.isascii() and number.isdigit() and len(number) <= 3:
            (media.encodings if name == "rtpmap" else media.formats)[int(number)] = text.strip()
    else:
        media.attributes[name] = rest.strip()


def _track(media: _Media, payload_type: int, base_url: str) -> VideoTrack:
    if media.encodings[payload_type].split("/")[1:2] != [str(_H264_CLOCK_HZ)]:
        raise malformed("the camera announces H.264 with a clock other than 90000 Hz; restart the camera")
    parameters = _parameters(media.formats.get(payload_type, ""))
    if parameters.get("packetization-mode", "0") not in {"0", "1"}:
        raise unsupported("the camera sends H.264 in interleaved packetization mode 2; set packetization mode 1")
    control = urljoin_control(base_url, media.attributes.get("control", "*"))
    return VideoTrack(control, payload_type, _parameter_sets(parameters.get("sprop-parameter-sets", "")))


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _parameter_sets(text: str) -> tuple[bytes, ...]:
    try:
        return tuple(
            nal for part in text.split(",") if part.strip() and (nal := base64.b64decode(part.strip(), validate=True))
        )
    except binascii.Error as error:
        raise malformed("the camera's sprop-parameter-sets are not base64; restart the camera") from error
