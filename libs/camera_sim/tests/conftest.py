"""Footage and a raw RTSP client, written apart from the simulator, for its tests."""

import asyncio
import base64
import datetime
import hashlib
import ipaddress
import re
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lykta_camera_sim.footage import ffmpeg_path, synthetic_footage

DEADLINE_S = 10


def _quiet(line: str) -> None:
    """Swallows progress lines."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory for footage."""
    return tmp_path_factory.mktemp("footage")


@pytest.fixture(scope="session")
def clip(cache: Path) -> Path:
    """Two seconds of 320x180 at 20 frames/s with a key frame every half second."""
    return synthetic_footage(cache, 320, 180, 20, seconds=2, kbit=800, gop=10, say=_quiet)


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs ffmpeg with the given arguments and returns what it said."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        command = [str(ffmpeg_path()), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, timeout=50, check=True)

    return run


class Answer:
    """Status, headers and body of an RTSP answer."""

    def __init__(self, status: int, headers: dict[str, list[str]], body: str) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name: str) -> str:
        """The first value of a header, or nothing."""
        return next(iter(self.headers.get(name.lower(), [])), "")


class RawClient:
    """Speaks RTSP by hand and keeps the interleaved packets it gets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: str) -> None:
        self.reader = reader
        self.writer = writer
        self.url = url
        self.packets: list[tuple[int, bytes]] = []
        self._cseq = 0

    async def ask(self, method: str, path: str = "", **headers: str) -> Answer:
        """Sends a request and returns its answer."""
        self._cseq += 1
        lines = [f"{method} {self.url}{path} RTSP/1.0", f"CSeq: {self._cseq}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return await self.send_raw("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def send_raw(self, data: bytes) -> Answer:
        """Sends bytes and returns the next answer."""
        self.writer.write(data)
        async with asyncio.timeout(DEADLINE_S):
            while (head := await self._packet_or_line()) is None:
                pass
            return await self._read_answer(head)

    async def _packet_or_line(self) -> bytes | None:
        first = await self.reader.readexactly(1)
        if first != b"$":
            return first + await self.reader.readuntil(b"\r\n\r\n")
        channel, *size = await self.reader.readexactly(3)
        self.packets.append((channel, await self.reader.readexactly(int.from_bytes(bytes(size), "big"))))
        return None

    async def _read_answer(self, head: bytes) -> Answer:
        lines = head.decode().strip().split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), []).append(value.strip())
        size = int(headers.get("content-length", ["0"])[0])
        body = await self.reader.readexactly(size) if size else b""
        return Answer(int(lines[0].split(" ")[1]), headers, body.decode())

    async def receive(self, enough: Callable[["RawClient"], bool]) -> None:
        """Reads packets until there are enough."""
        async with asyncio.timeout(DEADLINE_S):
            while not enough(self):
                assert await self._packet_or_line() is None

    async def play(self, transport: str = "RTP/AVP/TCP;unicast;interleaved=0-1") -> Answer:
        """Sets the video up and plays it."""
        setup = await self.ask("SETUP", "/trackID=0", Transport=transport)
        assert setup.status == 200
        self.session = setup.header("session").partition(";")[0]
        answer = await self.ask("PLAY", Session=self.session, Range="npt=0.000-")
        assert answer.status == 200
        return answer

    def rtp(self, channel: int = 0) -> list[tuple[int, int, bool, bytes]]:
        """Sequence number, time stamp, marker and payload of the packets received."""
        return [
            (int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:8], "big"), bool(data[1] & 0x80), data[12:])
            for number, data in self.packets
            if number == channel
        ]

    def rtcp(self) -> list[bytes]:
        """The sender reports received."""
        return [data for channel, data in self.packets if channel == 1]

    def frames(self, channel: int = 0) -> list[tuple[int, list[bytes]]]:
        """Time stamp and NAL units of whole frames (closed by the marker)."""
        frames: list[tuple[int, list[bytes]]] = []
        waiting: list[bytes] = []
        for _, timestamp, marker, payload in self.rtp(channel):
            waiting.append(payload)
            if marker:
                frames.append((timestamp, depacketise(waiting)))
                waiting = []
        return frames


def depacketise(payloads: list[bytes]) -> list[bytes]:
    """Puts NAL units together from RTP payloads (RFC 6184)."""
    nals: list[bytes] = []
    for payload in payloads:
        kind = payload[0] & 31
        if kind == 24:
            at = 1
            while at < len(payload):
                size = int.from_bytes(payload[at : at + 2], "big")
                nals.append(payload[at + 2 : at + 2 + size])
                at += 2 + size
        elif kind == 28:
            if payload[1] & 0x80:
                nals.append(bytes(((payload[0] & 0xE0) | (payload[1] & 31),)))
            nals[-1] += payload[2:]
        else:
            nals.append(payload)
    return nals


def digest(challenge: str, method: str, uri: str, user: str, password: str) -> str:
    """Answers a Digest challenge (RFC 7616)."""
    given = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge.removeprefix("Digest ")))
    make = hashlib.sha256 if given.get("algorithm") == "SHA-256" else hashlib.md5

    def sign(*parts: str) -> str:
        return make(":".join(parts).encode()).hexdigest()

    first, second = sign(user, given["realm"], password), sign(method, uri)
    fields = {"username": user, "realm": given["realm"], "nonce": given["nonce"], "uri": uri}
    if "algorithm" in given:
        fields["algorithm"] = given["algorithm"]
    if "qop" in given:
        fields |= {"qop": "auth", "nc": "00000001", "cnonce": "abc"}
        fields["response"] = sign(first, given["nonce"], "00000001", "abc", "auth", second)
    else:
        fields["response"] = sign(first, given["nonce"], second)
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items())


def basic(user: str, password: str) -> str:
    """Makes a Basic credential."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
async def connect():
    """Connects a raw client to an RTSP URL; all are closed at the end."""
    clients: list[RawClient] = []

    async def open_client(url: str, tls: ssl.SSLContext | None = None) -> RawClient:
        host, port = url.rpartition("@")[2].split("/")[-2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
        clients.append(RawClient(reader, writer, url))
        return clients[-1]

    yield open_client
    for client in clients:
        client.writer.close()


@pytest.fixture
def make_digest():
    """The client's side of Digest."""
    return digest


@pytest.fixture
def make_basic():
    """The client's side of Basic."""
    return basic


@pytest.fixture(scope="session")
def put_together():
    """The client's depacketiser."""
    return depacketise


@pytest.fixture(scope="session")
def tls_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key for 127.0.0.1, made now."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "camera")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, plain))
    return folder / "cert.pem", folder / "key.pem"
