"""What a simulated camera is: its file, its door and its peculiarities."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from lykta_camera_sim.errors import CameraSimError

AUTH_SCHEMES = ("none", "basic", "digest", "digest-qop", "digest-sha256")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class SdpOptions:
    """Departures of the session description from the truth, to see how a client takes them.

    ``padding_bytes`` adds that many bytes of meaningless attribute lines; ``replacement`` is sent instead of it all.
    """

    codec: str = "H264"
    profile_level_id: str | None = None
    packetization_mode: int | None = 1
    with_parameter_sets: bool = True
    audio: bool = False
    padding_bytes: int = 0
    replacement: str | None = None


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """One camera. Its address is ``rtsp://host:port/<name>``; ``fps`` is needed for byte streams only.

    ``auth`` is one or more of :data:`AUTH_SCHEMES` joined by ``+``, offered in that order; without ``username`` nothing
    is asked. ``answer_status`` makes DESCRIBE answer with that status (302 with ``redirect_to``). ``clock_offset_s``
    shifts the camera's own clock (RTCP). ``first_sequence`` and ``first_timestamp`` fix what is otherwise random per
    session. ``session_timeout_s`` is how long a silent client is kept. ``offset_s`` starts the loop that far into the
    file. The time line starts with the first client, or with ``free_running`` at a random point of the loop, so that
    many cameras of one file are out of step and a client waits for its first key frame.
    """

    name: str
    path: Path
    fps: float | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    auth: str = "digest"
    realm: str = "camera"
    sdp: SdpOptions = SdpOptions()
    answer_status: int | None = None
    redirect_to: str | None = None
    clock_offset_s: float = 0.0
    sender_reports: bool = True
    payload_limit: int = 1400
    aggregate: bool = True
    first_sequence: int | None = None
    first_timestamp: int | None = None
    session_timeout_s: float = 60.0
    max_sessions: int = 64
    offset_s: float = 0.0
    free_running: bool = False

    def __post_init__(self) -> None:
        """Refuses names that do not fit in a URL and values that make no camera."""
        if not _NAME.fullmatch(self.name):
            raise CameraSimError(f"camera name {self.name!r}: use 1 to 64 of A-Z a-z 0-9 . _ -")
        unknown = [scheme for scheme in self.schemes if scheme not in AUTH_SCHEMES]
        if unknown:
            raise CameraSimError(f"unknown authentication {unknown[0]!r}: use {', '.join(AUTH_SCHEMES)}, joined by +")
        if self.username is not None and self.password is None:
            raise CameraSimError(f"camera {self.name!r} has a user but no password")
        if not 64 <= self.payload_limit <= 65_000:
            raise CameraSimError("payload_limit must lie between 64 and 65000 bytes")
        if self.session_timeout_s < 1:
            raise CameraSimError("session_timeout_s must be at least 1 s")

    @property
    def schemes(self) -> tuple[str, ...]:
        """The offered authentication schemes in order."""
        return tuple(self.auth.split("+"))

    @property
    def asks_password(self) -> bool:
        """Whether a client must show credentials."""
        return self.username is not None and self.schemes != ("none",)

    @property
    def user_info(self) -> str:
        """``user:password@`` for a URL, or nothing."""
        if self.username is None:
            return ""
        return f"{quote(self.username, safe='')}:{quote(self.password or '', safe='')}@"
