"""Writes the session description of a camera (RFC 8866, RFC 6184 section 8.2.1)."""

import base64

from lykta_camera_sim.spec import SdpOptions
from lykta_camera_sim.video import Video

VIDEO_TRACK, AUDIO_TRACK = "trackID=0", "trackID=1"


def describe(video: Video, options: SdpOptions, host: str) -> str:
    """Returns the description; controls are relative to the base given in the answer's headers."""
    if options.replacement is not None:
        return options.replacement
    family = "IP6" if ":" in host else "IP4"
    lines = [
        "v=0",
        f"o=- 1 1 IN {family} {host}",
        "s=Camera",
        f"c=IN {family} {'::' if family == 'IP6' else '0.0.0.0'}",  # noqa: S104 - RFC 2326, C.1.7
        "t=0 0",
        "a=control:*",
        "a=range:npt=now-",
        *_padding(options.padding_bytes),
        "m=video 0 RTP/AVP 96",
        f"a=rtpmap:96 {options.codec}/90000",
        f"a=fmtp:96 {_format_parameters(video, options)}",
        f"a=control:{VIDEO_TRACK}",
    ]
    if options.audio:
        lines += ["m=audio 0 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", f"a=control:{AUDIO_TRACK}"]
    return "\r\n".join(lines) + "\r\n"


def _format_parameters(video: Video, options: SdpOptions) -> str:
    parts = []
    if options.packetization_mode is not None:
        parts.append(f"packetization-mode={options.packetization_mode}")
    parts.append(f"profile-level-id={options.profile_level_id or video.profile_level_id}")
    if options.with_parameter_sets:
        sets = ",".join(base64.b64encode(one).decode() for one in (video.sps, video.pps))
        parts.append(f"sprop-parameter-sets={sets}")
    return "; ".join(parts)


def _padding(size: int) -> list[str]:
    width = 998
    return ["a=x-pad:" + "x" * width for _ in range(-(-size // (width + 10)))] if size > 0 else []
