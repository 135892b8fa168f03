"""The RTSP client against a camera that answers whatever a test says: authentication, framing, refusals, nonsense."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from lykta_ingest.address import parse_address, resolve
from lykta_ingest.errors import CameraError
from lykta_ingest.rtsp import RtspConnection, connect
from lykta_ingest.rtsp_auth import Authenticator, Credentials
from lykta_ingest.rtsp_session import RtspSession

Answer = Callable[[str], bytes | None]


class Served(asyncio.Protocol):
    """The camera's end of one connection: answers each request with what the function returns, None hangs up."""

    def __init__(self, answer: Answer, served: list[Served]) -> None:
        self._answer = answer
        self._received = b""
        self.transport: asyncio.Transport | None = None
        served.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self._received += data
        while b"\r\n\r\n" in self._received and self.transport is not None:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            answer = self._answer(request.decode())
            if answer is None:
                self.transport.close()
            else:
                self.transport.write(answer)


@asynccontextmanager
async def camera(answer: Answer) -> AsyncIterator[RtspConnection]:
    """Serve requests that a function answers; yields a client connected to it."""
    loop = asyncio.get_running_loop()
    served: list[Served] = []
    server = await loop.create_server(lambda: Served(answer, served), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = await connect(parse_address(f"rtsp://127.0.0.1:{port}/x"), "127.0.0.1", 10)
        try:
            yield connection
        finally:
            connection.fail(CameraError("UNAVAILABLE", "CAMERA", "the test is over"))
            for one in served:
                if one.transport is not None:
                    one.transport.abort()
            await asyncio.sleep(0)


def reply(request: str, status: str = "200 OK", *headers: str, body: bytes = b"") -> bytes:
    """Return an answer to a request."""
    number = re.search(r"CSeq: (\d+)", request)
    lines = [f"RTSP/1.0 {status}", f"CSeq: {number.group(1) if number else 0}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(("algorithm", "function"), [("MD5", hashlib.md5), ("SHA-256", hashlib.sha256)])
async def test_digest_answers_are_what_rfc_7616_says(
    algorithm: str, function: Callable[[bytes], hashlib._Hash]
) -> None:
    """The response is the hash that the RFC defines over user, realm, nonce, count, client nonce, method and URL."""
    seen = []

    def answer(request: str) -> bytes:
        if "Authorization" not in request:
            challenge = f'Digest realm="r", nonce="n1", qop="auth", algorithm={algorithm}, opaque="o"'
            return reply(request, "401 Unauthorized", f"WWW-Authenticate: {challenge}")
        seen.append(request)
        return reply(request)

    async with camera(answer) as connection:
        connection.authenticate_as(Credentials('us"er', "pass"))
        response = await connection.request("DESCRIBE", "rtsp://h/x", {}, 10)
        await connection.request("OPTIONS", "rtsp://h/x", {}, 10)
    assert response.status == 200
    fields = dict(re.findall(r'(\w+)="?([^",\s]+(?:\\"[^",]*)?)"?', seen[0].partition("Digest ")[2]))

    def digest(text: str) -> str:
        return function(text.encode()).hexdigest()

    first = digest('us"er:r:pass')
    expected = digest(f"{first}:n1:{fields['nc']}:{fields['cnonce']}:auth:{digest('DESCRIBE:rtsp://h/x')}")
    assert fields["response"] == expected
    assert "nc=00000002" in seen[1]


async def test_the_strongest_challenge_is_taken_and_a_refused_answer_not_repeated() -> None:
    """Of Basic, MD5 and SHA-256 the last is answered, once; a second 401 is the result."""
    requests = []

    def answer(request: str) -> bytes:
        requests.append(request)
        offers = ['Basic realm="r"', 'Digest realm="r", nonce="a"', 'Digest realm="r", nonce="a", algorithm=SHA-256']
        return reply(request, "401 Unauthorized", *(f"WWW-Authenticate: {offer}" for offer in offers))

    async with camera(answer) as connection:
        connection.authenticate_as(Credentials("u", "p"))
        response = await connection.request("OPTIONS", "rtsp://h/x", {}, 10)
    assert response.status == 401
    assert len(requests) == 2
    assert "algorithm=SHA-256" in requests[1]


def test_a_stale_nonce_is_answered_anew_and_basic_is_a_last_resort() -> None:
    """`stale=true` allows another answer; without Digest, Basic is used; unknown schemes are not answered."""
    authenticator = Authenticator(Credentials("u", "p"))
    assert authenticator.challenged(['Digest realm="r", nonce="a"'])
    authenticator.header("OPTIONS", "x")
    assert authenticator.challenged(['Digest realm="r", nonce="b", stale=true'])
    assert 'nonce="b"' in str(authenticator.header("OPTIONS", "x"))
    basic = Authenticator(Credentials("u", "p"))
    assert basic.challenged(['Basic realm="r"'])
    assert basic.header("OPTIONS", "x") == "Basic dTpw"
    assert not Authenticator(Credentials("u", "p")).challenged(["Negotiate", 'Digest nonce="x", qop="auth-int"'])
    assert "p" not in repr(Credentials("u", "secret"))


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [
        ("301 Moved", "FAILED_PRECONDITION", "redirects"),
        ("401 Unauthorized", "UNAUTHENTICATED", "password"),
        ("403 Forbidden", "PERMISSION_DENIED", "right to stream"),
        ("404 Not Found", "NOT_FOUND", "path"),
        ("453 Not Enough Bandwidth", "RESOURCE_EXHAUSTED", "bandwidth"),
        ("454 Session Not Found", "UNAVAILABLE", "session"),
        ("461 Unsupported Transport", "UNIMPLEMENTED", "TCP"),
        ("500 Oops", "UNAVAILABLE", "500"),
    ],
)
async def test_every_refusal_says_what_to_do(status: str, code: str, word: str) -> None:
    """A status other than 200 becomes an error with the right code and advice."""
    async with camera(lambda request: reply(request, status if "DESCRIBE" in request else "200 OK")) as connection:
        with pytest.raises(CameraError, match=word) as caught:
            await RtspSession(connection, "rtsp://h/x", 10).describe()
    assert caught.value.code == code


@pytest.mark.parametrize(
    "nonsense",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"RTSP/1.0 2xx\r\nCSeq: 1\r\n\r\n", b"\x00\x01\x02\x03" * 10, b"A" * 20_000,
     b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 9999999\r\n\r\n"],
    ids=["http", "status", "binary", "endless", "length"],
)  # fmt: skip
async def test_a_peer_that_does_not_speak_rtsp_is_named_as_such(nonsense: bytes) -> None:
    """Nonsense ends the connection with a CameraError instead of waiting or growing."""
    async with camera(lambda _: nonsense) as connection:
        with pytest.raises(CameraError):
            await connection.request("OPTIONS", "rtsp://h/x", {}, 10)
        assert connection.closed.done()


async def test_silence_and_the_end_of_the_connection_are_errors_with_a_deadline() -> None:
    """A camera that does not answer is reported after the deadline; one that closes, at once."""
    async with camera(lambda _: b"") as connection:
        with pytest.raises(CameraError, match="did not answer"):
            await connection.request("OPTIONS", "rtsp://h/x", {}, 0.05)

    async with camera(lambda _: None) as connection:
        with pytest.raises(CameraError, match="closed"):
            await connection.request("OPTIONS", "rtsp://h/x", {}, 5)


async def test_frames_before_and_inside_answers_do_not_disturb_them() -> None:
    """Interleaved frames of unknown channels around an answer, and requests of the camera, are stepped over."""

    def answer(request: str) -> bytes:
        frame = b"$\x07\x00\x04abcd"
        asks = b"OPTIONS rtsp://us RTSP/1.0\r\nCSeq: 9\r\n\r\n"
        return frame + asks + b"\r\n" + frame + reply(request, body=b"hello") + frame

    async with camera(answer) as connection:
        for _ in range(3):
            response = await connection.request("GET_PARAMETER", "rtsp://h/x", {}, 10)
            assert (response.status, response.body) == (200, b"hello")


@pytest.mark.parametrize(
    "text", ["http://h/x", "rtsp://u:p@h/x", "rtsp:///x", "rtsp://h:99999/x", "rtsp://h/x\r\nX: y", "h"]
)
def test_a_bad_address_is_refused_without_repeating_it(text: str) -> None:
    """Addresses with credentials, other schemes or control characters are refused, and not repeated."""
    with pytest.raises(CameraError) as caught:
        parse_address(text)
    assert "u:p" not in caught.value.message


async def test_an_address_is_resolved_once_and_must_lie_in_the_allow_list() -> None:
    """The address that is connected to is one of the allow-list; another one is refused before any connection."""
    inside, outside = ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8")
    address = parse_address("rtsp://127.0.0.1/x")
    assert await resolve(address, (outside, inside), 2) == "127.0.0.1"
    with pytest.raises(CameraError, match="outside the networks"):
        await resolve(address, (outside,), 2)
    with pytest.raises(CameraError, match="outside the networks"):
        await resolve(parse_address("rtsp://169.254.169.254/latest"), (inside,), 2)
