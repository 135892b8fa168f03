"""Reads RTSP 1.0 requests from a byte stream and writes answers (RFC 2326), skipping interleaved packets."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

_HEAD_LIMIT = 16_384
_BODY_LIMIT = 65_536

REASONS = {
    200: "OK",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "RTSP Version not supported",
}


class BadRequestError(Exception):
    """The bytes are no RTSP request; the connection cannot be read any further."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are in lower case."""

    method: str
    uri: str
    version: str
    headers: dict[str, str]

    @property
    def path(self) -> tuple[str, ...]:
        """The non-empty parts of the URL's path, decoded; the query is left out."""
        return tuple(unquote(part) for part in urlsplit(self.uri).path.split("/") if part)


class RequestReader:
    """Collects bytes and gives back whole requests; interleaved packets from the client are dropped."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Request]:
        """Returns the requests that ``data`` completes.

        Raises:
            BadRequestError: something that is neither a request nor an interleaved packet, or one too large.
        """
        self._pending += data
        found = []
        while self._pending:
            if self._pending[0] == 0x24:
                if not self._skip_packet():
                    break
                continue
            if self._pending[0] in b"\r\n":
                del self._pending[0]
                continue
            request = self._take_request()
            if request is None:
                break
            found.append(request)
        return found

    def _skip_packet(self) -> bool:
        if len(self._pending) < 4:
            return False
        end = 4 + int.from_bytes(self._pending[2:4], "big")
        if len(self._pending) < end:
            return False
        del self._pending[:end]
        return True

    def _take_request(self) -> Request | None:
        head_end = self._pending.find(b"\r\n\r\n")
        if head_end < 0:
            if len(self._pending) > _HEAD_LIMIT:
                raise BadRequestError("head too long")
            return None
        request, length = _parse(bytes(self._pending[:head_end]))
        if len(self._pending) < head_end + 4 + length:
            return None
        del self._pending[: head_end + 4 + length]
        return request


def _parse(head: bytes) -> tuple[Request, int]:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("RTSP/"):
        raise BadRequestError("no RTSP request line")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequestError("header without a colon")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > _BODY_LIMIT:
        raise BadRequestError("bad content length")
    try:
        urlsplit(words[1])
    except ValueError as error:
        raise BadRequestError("bad address") from error
    return Request(words[0], words[1], words[2], headers), int(length)


def response(status: int, cseq: str | None, headers: list[tuple[str, str]] | None = None, body: str = "") -> bytes:
    """Builds an answer; the content length is added when there is a body."""
    lines = [f"RTSP/1.0 {status} {REASONS.get(status, 'Refused')}"]
    if cseq is not None:
        lines.append(f"CSeq: {cseq}")
    lines += [f"{name}: {value}" for name, value in headers or []]
    content = body.encode()
    if content:
        lines.append(f"Content-Length: {len(content)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + content
