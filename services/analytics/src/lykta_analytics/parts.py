"""Live parts as they arrive, and the bounded queue in which a camera's parts wait for the decoder."""

import asyncio
import base64
import binascii
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from lykta_contracts.instants import from_wire, to_ms
from lykta_contracts.media import HEADER_FROM, HEADER_INIT, HEADER_KEY


@dataclass(frozen=True, slots=True)
class MediaPart:
    """One `moof`+`mdat`; `from_ms` is the unix time of its first frame, `init` is there exactly with key parts."""

    from_ms: int
    init: bytes
    body: bytes
    traceparent: str = ""

    @property
    def key(self) -> bool:
        """True when decoding can begin here."""
        return bool(self.init)


def read_part(payload: bytes, headers: Mapping[str, str]) -> MediaPart:
    """Reads one live part (docs/design/wire.md, "Live parts"); raises `ValueError` when a header is wrong."""
    try:
        from_ms = to_ms(from_wire(headers[HEADER_FROM]))
        init = base64.b64decode(headers[HEADER_INIT], validate=True) if headers.get(HEADER_KEY) == "1" else b""
    except (KeyError, binascii.Error) as error:
        raise ValueError(f"part without a proper header: {error}") from error
    return MediaPart(from_ms, init, payload, headers.get("traceparent", ""))


class PartQueue:
    """A bounded queue of one camera; when it is full the oldest parts go, up to the next key part.

    What is left always begins where decoding can go on. One reader.
    """

    def __init__(self, most: int) -> None:
        self._parts: deque[MediaPart] = deque()
        self._most = most
        self._needs_key = False
        self._filled = asyncio.Event()

    def put(self, part: MediaPart) -> int:
        """Adds a part without waiting; answers how many parts were given up for it (itself included)."""
        if self._needs_key and not part.key:
            return 1
        self._needs_key = False
        dropped = 0
        if len(self._parts) >= self._most:
            dropped = self._make_room()
            if not self._parts and not part.key:
                self._needs_key = True
                self._filled.clear()
                return dropped + 1
        self._parts.append(part)
        self._filled.set()
        return dropped

    async def get(self) -> MediaPart:
        """Waits for the oldest part and takes it."""
        await self._filled.wait()
        part = self._parts.popleft()
        if not self._parts:
            self._filled.clear()
        return part

    def __len__(self) -> int:
        return len(self._parts)

    def _make_room(self) -> int:
        before = len(self._parts)
        self._parts.popleft()
        while self._parts and not self._parts[0].key:
            self._parts.popleft()
        return before - len(self._parts)
