"""A camera of one's own, as given on the command line: address without credentials, and the networks it lies in."""

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from lykta_common.errors import invalid
from lykta_contracts.ids import is_slug


@dataclass(frozen=True)
class RealCamera:
    """A camera given on the command line: its name and address; the credentials lie in the secret file."""

    name: str
    address: str
    credentials_ref: str


def read_camera(text: str) -> tuple[RealCamera, dict[str, str], list[str]]:
    """Split `NAME=rtsp://user:pass@host/path` into camera, credentials and the networks to allow.

    Raises PlatformError INVALID_FIELD that never repeats the credentials.
    """
    name, _, url = text.partition("=")
    if not is_slug(name):
        raise invalid("--camera NAME=URL: the name takes a-z, 0-9 and inner hyphens")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise invalid(f"--camera {name}: not a URL; write rtsp://user:pass@host:port/path") from error
    if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname:
        raise invalid(f"--camera {name}: write rtsp://user:pass@host:port/path")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = f"{host}:{port}" if port else host
    address = parts._replace(netloc=netloc, fragment="").geturl()
    secret = {}
    if parts.username:
        secret = {"username": unquote(parts.username), "password": unquote(parts.password or "")}
    return RealCamera(name, address, name if secret else ""), secret, _networks(name, parts.hostname)


def _networks(name: str, host: str) -> list[str]:
    try:
        found = {str(item[4][0]) for item in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise invalid(f"--camera {name}: the host {host} is not known here") from error
    return sorted(str(ipaddress.ip_network(address.split("%")[0])) for address in found)
