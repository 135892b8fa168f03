"""Real servers, the real model, and real H.264 in the shape of the wire."""

import asyncio
import base64
import io
import os
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import av
import grpc
import numpy as np
import numpy.typing as npt
import pytest
from lykta.access_control.v1 import policy_service_pb2, policy_service_pb2_grpc
from lykta_analytics.app import open_service
from lykta_analytics.config import Settings
from lykta_analytics.models import NANODET, InstalledModel, fetch
from lykta_camera_sim.footage import street_footage
from lykta_common.config import ServiceSettings
from lykta_common.health import Health
from lykta_common.identity import bearer_token
from lykta_common.messaging import CoreMessage, Messaging, open_messaging
from lykta_common.rpc import open_channel, serve
from lykta_common.signing import Signer, new_key_pair
from lykta_contracts.events import CloudEvent, read_event
from lykta_contracts.instants import to_wire
from lykta_contracts.mandates import (
    MANDATE_ORDER_TYPE,
    Analytic,
    LegalGround,
    MandateDocument,
    MandateOrder,
    Point,
    Zone,
)
from lykta_contracts.model import Message
from lykta_testing.platform import Backbone, eventually, open_platform

pytest_plugins = ["lykta_testing.fixtures"]

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """An init and its parts."""

    init: bytes
    parts: tuple[bytes, ...]

    def first(self, parts: int) -> "Clip":
        """The beginning of it."""
        return Clip(self.init, self.parts[:parts])


def encode(images: Iterable[Image], frames_per_second: int = 10, gop: int = 5, part_ms: int = 0) -> Clip:
    """Encodes BGR images as fragmented H.264; one part per GOP, or parts of about `part_ms`."""
    buffer = io.BytesIO()
    flags = {"movflags": "empty_moov+default_base_moof", "video_track_timescale": "90000"}
    flags |= {"frag_duration": str(part_ms * 1000)} if part_ms else {"movflags": "frag_keyframe+" + flags["movflags"]}
    with av.open(buffer, "w", format="mp4", options=flags) as container:
        stream = None
        for image in images:
            if stream is None:
                stream = container.add_stream("libx264", rate=frames_per_second)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.codec_context.gop_size = gop
                stream.codec_context.max_b_frames = 0
                stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                container.mux(packet)
        assert stream is not None
        container.mux(stream.encode())
    boxes: dict[bytes, list[bytes]] = {}
    data, position = buffer.getvalue(), 0
    while position < len(data):
        size, kind = struct.unpack_from("!I4s", data, position)
        boxes.setdefault(kind, []).append(data[position : position + size])
        position += size
    parts = tuple(moof + mdat for moof, mdat in zip(boxes[b"moof"], boxes[b"mdat"], strict=True))
    return Clip(boxes[b"ftyp"][0] + boxes[b"moov"][0], parts)


def grey(level: int, width: int = 320, height: int = 240) -> Image:
    """A uniform picture."""
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Clip]:
    """The encoder: images, frames a second, GOP and length of a part."""
    return encode


@pytest.fixture(scope="session")
def clip() -> Clip:
    """Four GOPs of half a second that grow brighter, 10 frames a second."""
    return encode(grey(20 + 10 * index) for index in range(20))


def _cache() -> Path:
    """Downloads are kept between runs: `LYKTA_CACHE`, or the user's cache directory."""
    named = os.environ.get("LYKTA_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lykta"


@pytest.fixture(scope="session")
def model() -> InstalledModel:
    """The person detector, fetched and converted once."""
    return fetch(NANODET, _cache() / "models")


@pytest.fixture(scope="session")
def model_cache(model: InstalledModel) -> Path:
    """The directory of the model registry with the person detector in it."""
    return model.graph.parents[2]


@pytest.fixture(scope="session")
def street_images() -> list[Image]:
    """Twenty seconds of a street with people, 10 pictures a second."""
    with av.open(str(street_footage(_cache() / "footage"))) as container:
        return [frame.to_ndarray(format="bgr24") for frame in islice(container.decode(video=0), 200)]


@pytest.fixture(scope="session")
def street(street_images: list[Image]) -> Clip:
    """The street as live parts of half a second with a key frame each second."""
    return encode(street_images, gop=10, part_ms=500)


@pytest.fixture(scope="session")
def darkness() -> Clip:
    """Six seconds of nothing, in the same parts."""
    return encode((grey(2, 768, 576) for _ in range(60)), gop=10, part_ms=500)


def mandate(
    zones: tuple[str, ...] = ("torget",), quiet_seconds: float = 2.0, camera: str = "torg-1"
) -> MandateDocument:
    """A mandate for one camera whose zones all cover the whole picture; no zones, no analytics."""
    corners = tuple(Point(x=x, y=y) for x, y in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
    drawn = tuple(Zone(zone_id=zone, polygon=corners) for zone in zones)
    listed = Analytic(detector="person-in-zone", zones=drawn, min_confidence=0.5, quiet_seconds=quiet_seconds)
    return MandateDocument(
        mandate_id="man_1", version=1, controller="ks", place="torget", cameras=(camera,), purpose="trygghet",
        legal_ground=LegalGround(text="dnr 1"), analytics=(listed,) if zones else (),
        valid_from=START - timedelta(days=1), valid_to=START + timedelta(days=365),
        review_at=START + timedelta(days=300),
    )  # fmt: skip


class PolicyAuthority(policy_service_pb2_grpc.PolicyServiceServicer):
    """Stands for access-control on a real gRPC server: `operator-ks` belongs to `ks` and to nothing else."""

    async def Authorize(self, request: Any, context: Any) -> policy_service_pb2.AuthorizeResponse:  # noqa: N802
        """Decides by the token's name."""
        if bearer_token(context) != "operator-ks":
            return policy_service_pb2.AuthorizeResponse(reason="UNAUTHENTICATED", message="log in first")
        known = request.controller == "ks"
        return policy_service_pb2.AuthorizeResponse(allowed=known, reason="" if known else "NOT_FOUND")


@dataclass
class Bench:
    """A NATS, a policy authority and everything to run analytics against them."""

    backbone: Backbone
    settings: Settings
    signer: Signer
    told: list[tuple[str, CloudEvent, Message]]
    messaging: Messaging
    serial: int = 1_795_000_000_000  # as large as the milliseconds that real serials are

    @asynccontextmanager
    async def analytics(self) -> AsyncIterator[None]:
        """The service, as its process would run it."""
        async with open_platform("analytics") as platform, open_service(self.settings, platform) as health:
            self.health, self.metrics = health, platform.metrics
            yield

    async def order(self, document: MandateDocument, status: Literal["live", "ended"] = "live") -> MandateOrder:
        """Publishes a signed order with the next serial for each of the mandate's cameras."""
        self.serial += 1
        order = MandateOrder(
            controller=document.controller, camera=document.cameras[0], serial=self.serial, status=status,
            mandate=document, camera_address="rtsp://127.0.0.1/", issued_at=START,
        )  # fmt: skip
        await self.put(order, self.signer)
        return order

    async def put(self, order: MandateOrder, signer: Signer) -> None:
        """Publishes an order under a signature."""
        bucket = await self.messaging.bucket("mandates")
        envelope = signer.sign(MANDATE_ORDER_TYPE, order.to_json())
        await bucket.put(f"{order.controller}.{order.camera}", envelope)

    async def play(
        self, clip: Clip, at: datetime, camera: str = "torg-1", key_every: int = 2, pace: float = 0.125
    ) -> datetime:
        """Publishes a clip as live parts of half a second, by default four times as fast as life; answers its end."""
        for number, part in enumerate(clip.parts):
            headers = {
                "Lykta-Epoch": "1", "Lykta-From": to_wire(at), "Lykta-Mandate": "man_1/1", "traceparent": TRACEPARENT,
            }  # fmt: skip
            if number % key_every == 0:
                headers |= {"Lykta-Key": "1", "Lykta-Init": base64.b64encode(clip.init).decode()}
            await self.messaging.publish_core(f"lykta.media.v1.ks.{camera}.main", part, headers)
            at += timedelta(milliseconds=500)
            await asyncio.sleep(pace)
        return at

    async def until(self, name: str, count: int = 1, camera: str = "torg-1") -> list[Message]:
        """Waits until this many events of a name were told about a camera and answers their data."""
        await eventually(lambda: len(self.of(name, camera)) >= count, 30, f"{count} × {name}")
        return self.of(name, camera)

    def of(self, name: str, camera: str = "torg-1") -> list[Message]:
        """The data of the events of a name told about a camera so far."""
        return [data for subject, _, data in self.told if subject == f"lykta.v1.ks.{name}.{camera}"]

    @asynccontextmanager
    async def channel(self, caller: str = "cli") -> AsyncIterator[grpc.aio.Channel]:
        """A channel to the service as a workload."""
        port = (self.settings.state_dir / "grpc.port").read_text()
        async with (
            open_platform(caller) as platform,
            open_channel(f"127.0.0.1:{port}", self.backbone.tls(caller), "analytics", platform.telemetry) as channel,
        ):
            yield channel


class _PolicySettings(ServiceSettings):
    """Settings of the stand-in policy authority."""


@pytest.fixture(scope="session")
def make_mandate() -> Callable[..., MandateDocument]:
    """The drafter of mandates: zones, quiet time and camera."""
    return mandate


@pytest.fixture
async def bench(nats_backbone: Backbone, model_cache: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    """Analytics ready to be started, and the hand of the test on NATS."""
    new_key_pair(tmp_path / "mandates.pem", tmp_path / "keys" / "mandates.pub.pem")
    policy = nats_backbone.settings(_PolicySettings, "access-control")
    add = partial(policy_service_pb2_grpc.add_PolicyServiceServicer_to_server, PolicyAuthority())
    allowed = {"lykta.access_control.v1.PolicyService": frozenset({"analytics"})}
    async with (
        open_platform("access-control") as platform,
        serve(policy, platform.telemetry, Health(), allowed, add) as server,
        open_messaging(nats_backbone.settings(_PolicySettings, "test"), platform.telemetry) as messaging,
    ):
        settings = nats_backbone.settings(
            Settings, "analytics", mandate_verify_key_file=tmp_path / "keys", model_cache_dir=model_cache,
            queue_parts=64, access_control_address=f"127.0.0.1:{server.port}",
        )  # fmt: skip
        told: list[tuple[str, CloudEvent, Message]] = []

        async def hear(message: CoreMessage) -> None:
            told.append((message.subject, *read_event(message.payload)))

        async with messaging.subscribe_core("lykta.v1.>", hear):
            yield Bench(nats_backbone, settings, Signer.from_file(tmp_path / "mandates.pem"), told, messaging)
