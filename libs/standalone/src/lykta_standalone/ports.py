"""Free loopback ports for servers that cannot be asked to pick their own."""

import random
import socket
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
LOWEST: Final = 12_000
_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_EPHEMERAL: Final = 32_768
_TRIES: Final = 2_000
_PROMISED: Final[deque[int]] = deque(maxlen=256)
"""Ports chosen in this process of late: a server that does not listen yet must not lose its port to another."""


def free_ports(count: int) -> list[int]:
    """Return this many distinct free TCP ports on loopback.

    They lie below the range from which the kernel serves outgoing connections: a port of that range can be taken by
    any client between its choice and its use, and again while its server restarts.
    """
    found: list[int] = []
    highest = max(_first_ephemeral(), LOWEST + 1_000)
    for _ in range(_TRIES):
        port = random.randrange(LOWEST, highest)  # noqa: S311 - spreads platforms over the range, guards nothing
        if port not in found and port not in _PROMISED and is_free(port):
            found.append(port)
        if len(found) == count:
            promise(found)
            return found
    raise OSError(f"no {count} free ports between {LOWEST} and {highest} on loopback")


def promise(ports: Iterable[int]) -> None:
    """Give none of these ports to anyone else for a while."""
    _PROMISED.extend(ports)


def is_free(port: int) -> bool:
    """Say whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _first_ephemeral() -> int:
    try:
        return int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _USUAL_EPHEMERAL
