"""A camera's address: `rtsp://host[:port]/path` without credentials, resolved once and pinned inside the allow-list."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from lykta_ingest.errors import CameraError, unreachable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}


@dataclass(frozen=True, slots=True)
class CameraAddress:
    """A parsed address; `url` is what goes into RTSP requests."""

    url: str
    host: str
    port: int
    tls: bool


def parse_address(text: str) -> CameraAddress:
    """Read an address; raises CameraError INVALID_ARGUMENT that says what is wrong, never repeating credentials."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _invalid("the camera's address is not a URL; write rtsp://host/path") from error
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise _invalid("the camera's address must look like rtsp://host/path")
    if parts.username is not None or parts.password is not None:
        raise _invalid("the camera's address holds credentials; put them into the recorder's secret file instead")
    if any(ord(c) <= 32 or ord(c) == 127 for c in text):
        raise _invalid("the camera's address holds a space or a control character")
    return CameraAddress(text, parts.hostname, port or _DEFAULT_PORTS[parts.scheme], parts.scheme == "rtsps")


async def resolve(address: CameraAddress, allowed: Sequence[Network], deadline_s: float) -> str:
    """Return the one IP address to connect to; every address of the name must lie in the allow-list.

    Resolving once and connecting to the result keeps a later DNS answer from leading elsewhere.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(deadline_s):
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (TimeoutError, OSError) as error:
        raise unreachable("the camera's host name does not resolve; check the name and the DNS server") from error
    addresses = [ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in found]
    for one in addresses:
        if not any(one in network for network in allowed):
            raise CameraError(
                "PERMISSION_DENIED",
                "CAMERA",
                "the camera's address lies outside the networks allowed for cameras; "
                "correct the address or extend LYKTA_INGEST__CAMERA_ALLOW",
                retryable=False,
            )
    return str(addresses[0])


def _invalid(message: str) -> CameraError:
    return CameraError("INVALID_ARGUMENT", "INVALID_FIELD", message, retryable=False)
