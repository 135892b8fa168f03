"""Builders that the recorder's tests share: H.264 parameter sets, RTP packets and a video file made on the spot."""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import nats
import nats.errors
import pyrage
import pytest
from lykta.ingest.v1.session_service_pb2 import ListRequest, Session, SessionState
from lykta.ingest.v1.session_service_pb2_grpc import SessionServiceStub
from lykta_camera_sim import CameraSimulator, CameraSpec, SdpOptions
from lykta_common.health import Health
from lykta_common.objectstore import open_bucket
from lykta_common.rpc import open_channel
from lykta_common.signing import Signer, new_key_pair
from lykta_common.tls import client_context
from lykta_contracts.events import GapDeclared, SegmentRecorded, SegmentStored, new_event, read_event
from lykta_contracts.instants import hour_of
from lykta_contracts.mandates import MANDATE_ORDER_TYPE, LegalGround, MandateDocument, MandateOrder
from lykta_contracts.media import MEDIA_KEY_TYPE, MediaKey, SegmentIndex, object_key, read_trailer
from lykta_ingest.app import open_ingest
from lykta_ingest.config import Settings
from lykta_testing.platform import Backbone, open_backbone, open_platform

SPS = bytes.fromhex("6764001facd9405005bb011000000300100000030320f1831960")
PPS = bytes.fromhex("68ebe3cb22c0")


class Packets:
    """Makes interleaved RTP packets of one source; sequence numbers and time stamps may start anywhere."""

    def __init__(self, sequence: int = 65_530, timestamp: int = 0xFFFF_F000, payload_type: int = 96) -> None:
        self.sequence = sequence
        self.timestamp = timestamp
        self.payload_type = payload_type

    def packet(self, payload: bytes, *, marker: bool = False, channel: int = 0) -> bytes:
        """Return one interleaved frame and count it."""
        second = self.payload_type | (0x80 if marker else 0)
        head = struct.pack(">BBHII", 0x80, second, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, 0x1234)
        self.sequence += 1
        return struct.pack(">BBH", 0x24, channel, 12 + len(payload)) + head + payload

    def unit(self, nals: list[bytes], *, limit: int = 200, ticks: int = 3000) -> list[bytes]:
        """Return the packets of one access unit, the last with the marker, and step the time."""
        payloads: list[bytes] = []
        for nal in nals:
            if len(nal) <= limit:
                payloads.append(nal)
                continue
            pieces = [nal[at : at + limit] for at in range(1, len(nal), limit)]
            for index, piece in enumerate(pieces):
                flags = (0x80 if index == 0 else 0) | (0x40 if index == len(pieces) - 1 else 0)
                payloads.append(bytes((nal[0] & 0xE0 | 28, flags | nal[0] & 0x1F)) + piece)
        out = [self.packet(one, marker=index == len(payloads) - 1) for index, one in enumerate(payloads)]
        self.timestamp += ticks
        return out


@pytest.fixture(scope="session")
def new_packets() -> Callable[..., Packets]:
    """Maker of packet makers; by default about to wrap sequence numbers and time stamps."""
    return Packets


@pytest.fixture
def parameter_sets() -> tuple[bytes, bytes]:
    """A 1280×720 High profile SPS and its PPS."""
    return SPS, PPS


def encode(path: Path, *arguments: str, size: str = "320x240", rate: int = 10, seconds: int = 4) -> Path:
    """Write a synthetic H.264 file with ffmpeg."""
    source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}", "-t", str(seconds)]
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", *arguments]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, *codec, str(path)]
    subprocess.run(command, check=True, timeout=50)
    return path


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of 320×240 at 10 frames a second, a key frame each second, no B-frames."""
    return encode(tmp_path_factory.mktemp("footage") / "plain.mp4", "-bf", "0", "-g", "10")


@pytest.fixture(scope="session")
def footage_with_b_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same picture with B-frames."""
    return encode(tmp_path_factory.mktemp("footage") / "b.mp4", "-preset", "medium", "-bf", "2", "-g", "10")


CONTROLLER, CAMERA = "ks", "torget-1"


class Rig:
    """A recorder's surroundings, real: NATS, S3, a simulated camera, and the keys of the services it believes."""

    def __init__(self, backbone: Backbone, simulator: CameraSimulator, directory: Path) -> None:
        self.backbone = backbone
        self.simulator = simulator
        self.directory = directory
        self.order_signer = self._signer("access-control")
        self.key_signer = self._signer("storage")
        self._signer("ingest")
        self.serial = 0
        self.identities: dict[str, pyrage.x25519.Identity] = {}

    def _signer(self, name: str) -> Signer:
        private, public = self.directory / f"{name}.pem", self.directory / "public" / f"{name}.pub.pem"
        new_key_pair(private, public)
        return Signer.from_file(private)

    def settings(self, replica: str = "0", **more: Any) -> Settings:
        """Return the settings of a recorder in these surroundings."""
        values: dict[str, Any] = {
            "access_control_address": "127.0.0.1:1",
            "mandate_verify_key_file": self.directory / "public" / "access-control.pub.pem",
            "media_key_verify_key_file": self.directory / "public" / "storage.pub.pem",
            "seal_signing_key_file": self.directory / "ingest.pem",
            "camera_allow": "127.0.0.0/8",
            "segment_seconds": 2,
            "commit_interval_ms": 20,
            "camera_retry_seconds": 1,
            "gap_seconds": 1,
        }
        return self.backbone.settings(Settings, "ingest", replica, **(values | more))

    def order(self, camera: str = CAMERA, *, live: bool = True, **more: Any) -> MandateOrder:
        """Return the next order for a simulated camera; `more` replaces fields of the mandate document."""
        now = datetime.now(UTC)
        self.serial += 1
        fields: dict[str, Any] = {
            "mandate_id": "man_1", "version": 1, "controller": CONTROLLER, "place": "torget", "cameras": (camera,),
            "purpose": "prevent violence", "legal_ground": LegalGround(text="test"),
            "valid_from": now - timedelta(days=1), "valid_to": now + timedelta(days=30), "review_at": now,
        }  # fmt: skip
        names = self.simulator.names
        return MandateOrder(
            controller=CONTROLLER,
            camera=camera,
            serial=self.serial,
            status="live" if live else "ended",
            mandate=MandateDocument(**(fields | more)),
            camera_address=self.simulator.address(camera) if camera in names else f"rtsp://127.0.0.1:9/{camera}",
            credentials_ref="cam" if camera in names else "",
            issued_at=now,
        )

    async def publish(self, order: MandateOrder, signer: Signer | None = None, key: str | None = None) -> None:
        """Put an order into the bucket as access-control would."""
        envelope = (signer or self.order_signer).sign(MANDATE_ORDER_TYPE, order.to_json())
        bucket = await self.jetstream.key_value("mandates")
        await bucket.put(key or f"{order.controller}.{order.camera}", envelope)

    async def publish_keys(self, camera: str = CAMERA, hours: int = 2) -> None:
        """Make media keys for the hours from now on and put them into the bucket as storage would."""
        bucket = await self.jetstream.key_value("media-keys")
        for ahead in range(hours):
            hour = hour_of(datetime.now(UTC) + timedelta(hours=ahead))
            identity = pyrage.x25519.Identity.generate()
            self.identities[f"{camera}.{hour}"] = identity
            key = MediaKey(controller=CONTROLLER, camera=camera, hour=hour, recipient=str(identity.to_public()))
            envelope = self.key_signer.sign(MEDIA_KEY_TYPE, key.to_json())
            await bucket.put(f"{CONTROLLER}.{camera}.{hour}", envelope)

    async def connect(self) -> None:
        """Connect the hand of the test to NATS."""
        files = self.backbone.tls("test-tool")
        self.nats = await nats.connect(
            self.backbone.common("test-tool")["nats_url"],
            user="test",
            password=self.backbone.password_file("test").read_text().strip(),
            tls=client_context(files),
        )
        self.jetstream = self.nats.jetstream()

    async def reconnect(self) -> None:
        """Connect anew after NATS was away."""
        await self.nats.close()
        await self.connect()

    async def events(self, noun: str = "*") -> list[Any]:
        """Return every event of a noun so far, oldest first."""
        stream = "CAMERA" if noun == "camera" else "FOOTAGE"
        found = []
        subscription = await self.jetstream.subscribe(f"lykta.v1.*.{noun}.>", stream=stream, ordered_consumer=True)
        try:
            while True:
                message = await subscription.next_msg(timeout=0.25)
                found.append(read_event(message.data)[1])
        except nats.errors.TimeoutError:
            return found
        finally:
            await subscription.unsubscribe()

    async def segments(self) -> list[SegmentIndex]:
        """Return the index of every segment announced so far, by time: uploads run side by side."""
        found = [one.index for one in await self.events("segment") if isinstance(one, SegmentRecorded)]
        return sorted(found, key=lambda index: index.from_at)

    async def session(self, camera: str = CAMERA, replica: str = "0") -> Session | None:
        """Ask a recorder over gRPC what it does with a camera; None while it does not know it."""
        port_file = self.backbone.directory / "state" / f"ingest-{replica}" / "grpc.port"
        address = f"127.0.0.1:{port_file.read_text()}"
        async with (
            open_platform("test-tool") as platform,
            open_channel(address, self.backbone.tls("test-tool"), "ingest", platform.telemetry) as channel,
        ):
            found = await SessionServiceStub(channel).List(ListRequest())
        return next((one for one in found.sessions if one.camera == camera), None)

    async def in_state(self, state: str, camera: str = CAMERA, replica: str = "0") -> Session | None:
        """Return the session when it is in that state."""
        found = await self.session(camera, replica)
        return found if found and SessionState.Name(found.state) == f"SESSION_STATE_{state}" else None

    async def segments_at_least(self, count: int) -> list[SegmentIndex]:
        """Return the segments so far, or nothing while they are fewer, or one between them is still on its way."""
        found = await self.segments()
        whole = all(
            one.seal.run != other.seal.run or one.hour != other.hour or one.seal.count == other.seal.first_leaf
            for one, other in itertools.pairwise(found)
        )
        return found if len(found) >= count and whole else []

    async def gaps(self) -> list[GapDeclared]:
        """Return every gap declared so far."""
        return [one for one in await self.events("gap") if isinstance(one, GapDeclared)]

    async def confirm(self, index: SegmentIndex) -> None:
        """Confirm a segment as storage would."""
        data = SegmentStored(controller=index.controller, camera=index.camera, segment_id=index.segment_id)
        event = new_event(data, f"stored.{index.segment_id}", "/lykta/storage/test", datetime.now(UTC))
        await self.jetstream.publish(event.subject, event.to_json(), headers={"Nats-Msg-Id": event.id})

    async def plaintext(self, index: SegmentIndex) -> list[bytes]:
        """Fetch a segment's object and decrypt its fragments, checking every hash."""
        store = open_bucket(self.backbone.s3_settings(), "lykta-footage")
        payload = await store.get(object_key(index.controller, index.camera, index.hour, index.segment_id))
        assert read_trailer(payload) == index
        identity = self.identities[f"{index.camera}.{index.hour}"]
        found = []
        for entry in index.fragments:
            cipher = payload[entry.offset : entry.offset + entry.length]
            assert hashlib.sha256(cipher).hexdigest() == entry.cipher_sha256
            plain = pyrage.decrypt(cipher, [identity])
            assert hashlib.sha256(plain).hexdigest() == entry.sha256
            found.append(plain)
        return found


@asynccontextmanager
async def open_rig(directory: Path, *cameras: CameraSpec, s3: bool = True) -> AsyncIterator[Rig]:
    """Start the surroundings."""
    secret = directory / "cameras.json"
    secret.write_text(json.dumps({"cam": {"username": "u", "password": "p"}}))
    async with (
        open_backbone(directory, s3=s3) as backbone,
        CameraSimulator(cameras=cameras, capture=True, seed=1) as simulator,
    ):
        rig = Rig(backbone, simulator, directory / "keys")
        await rig.connect()
        try:
            yield rig
        finally:
            await rig.nats.close()


@pytest.fixture
def camera() -> str:
    """The id of the rig's camera."""
    return CAMERA


@pytest.fixture
def camera_spec(footage: Path) -> CameraSpec:
    """One camera with Digest authentication that also offers audio."""
    return CameraSpec(CAMERA, footage, username="u", password="p", auth="digest-sha256", sdp=SdpOptions(audio=True))


@pytest.fixture
async def rig(tmp_path: Path, camera_spec: CameraSpec) -> AsyncIterator[Rig]:
    """Surroundings with that camera."""
    async with open_rig(tmp_path, camera_spec) as running:
        yield running


@pytest.fixture
def recorder_of(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Health]]:
    """Run a recorder in a rig for a block; further arguments are its replica name and settings."""

    @asynccontextmanager
    async def run(rig: Rig, replica: str = "0", **more: Any) -> AsyncIterator[Health]:
        more.setdefault("camera_credentials_file", tmp_path / "cameras.json")
        async with open_platform("ingest") as platform, open_ingest(rig.settings(replica, **more), platform) as health:
            yield health

    return run


@pytest.fixture(name="open_rig")
def _open_rig() -> Callable[..., AbstractAsyncContextManager[Rig]]:
    """Opens surroundings in a directory with the given cameras."""
    return open_rig
