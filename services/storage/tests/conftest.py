"""Runs storage for tests on a real NATS and S3, with real gRPC servers that answer for access-control and audit."""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import nats
import pyrage
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry
from lykta.access_control.v1 import policy_service_pb2_grpc as policy_rpc
from lykta.audit.v1 import log_service_pb2_grpc as log_rpc
from lykta.storage.v1 import catalogue_service_pb2 as catalogue_pb
from lykta.storage.v1 import catalogue_service_pb2_grpc as catalogue_rpc
from lykta.storage.v1 import playback_service_pb2 as playback_pb
from lykta.storage.v1 import playback_service_pb2_grpc as playback_rpc
from lykta_common.config import ServiceSettings
from lykta_common.health import Health
from lykta_common.metrics import Metrics
from lykta_common.objectstore import ObjectStore, open_admin, open_bucket
from lykta_common.rpc import open_channel, serve
from lykta_common.signing import Signer, new_key_pair
from lykta_common.telemetry import Telemetry
from lykta_common.tls import client_context
from lykta_contracts.events import CloudEvent, GrantRevoked, SegmentRecorded, new_event
from lykta_contracts.instants import hour_of, to_ms, to_wire
from lykta_contracts.mandates import MANDATE_ORDER_TYPE, LegalGround, MandateDocument, MandateOrder
from lykta_contracts.media import (
    MEDIA_KEY_TYPE,
    CameraClock,
    FragmentEntry,
    MediaKey,
    Seal,
    SegmentIndex,
    object_key,
    seal_statement,
    write_trailer,
)
from lykta_contracts.model import Message
from lykta_storage.app import SERVICE, Storage, wire
from lykta_storage.config import Settings
from lykta_storage.domain.footage import CameraHour
from lykta_storage.domain.hour_tree import HourTree
from lykta_storage.store.versions import ObjectVersions
from lykta_testing.clock import ManualClock
from lykta_testing.platform import Backbone, eventually, open_backbone, open_platform

from .peers import Log, Policy

pytest_plugins = ["lykta_testing.fixtures"]

START = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)
CONTROLLER, CAMERA = "ks", "torg-1"
INIT = b"ftyp-and-moov"


class _OldName(JWSRegistry):
    """Signs with the algorithm name EdDSA without a warning."""

    def get_alg(self, name: str) -> Any:
        """Return any algorithm."""
        return self.algorithms[name]


class PeerSettings(ServiceSettings):
    """Settings of a peer that the test plays."""


class Stubs:
    """Every service of storage over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.playback = playback_rpc.PlaybackServiceStub(channel)
        self.catalogue = catalogue_rpc.CatalogueServiceStub(channel)
        self.keys = catalogue_rpc.MediaKeyServiceStub(channel)
        self.retention = catalogue_rpc.RetentionServiceStub(channel)


@dataclass
class World:
    """The surroundings of storage, and ways to run it and to ask it."""

    backbone: Backbone
    telemetry: Telemetry
    clock: ManualClock
    policy: Policy
    log: Log
    nats: Any
    addresses: dict[str, str]
    serial: int = 0
    more: dict[str, Any] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    metrics: Metrics = field(init=False)
    stubs: Stubs = field(init=False)
    tool: Stubs = field(init=False)

    @property
    def keys(self) -> Path:
        """The folder of the platform's signing keys."""
        return self.backbone.directory / "keys"

    def signer(self, name: str) -> Signer:
        """Return one of the platform's signing keys."""
        new_key_pair(self.keys / f"{name}.pem", self.keys / f"{name}.pub.pem")
        return Signer.from_file(self.keys / f"{name}.pem")

    def settings(self, **more: Any) -> Settings:
        """Return the settings of storage."""
        for name in ("mandate", "media-key", "grant", "recorder"):
            self.signer(name)
        values = {
            "access_control_address": self.addresses["access-control"],
            "audit_address": self.addresses["audit"],
            "media_key_signing_key_file": self.keys / "media-key.pem",
            "mandate_verify_key_file": self.keys / "mandate.pub.pem",
            "grant_verify_key_file": self.keys / "grant.pub.pem",
            "seal_verify_key_file": self.keys,
            "kek_dir": self.backbone.directory / "kek",
            "kek_create": True,
            "key_horizon_hours": 2,
            "allow_key_export": True,
            "recheck_seconds": 0.05,
        }
        return self.backbone.settings(Settings, "storage", **(values | more))

    @asynccontextmanager
    async def service(self, **more: Any) -> AsyncIterator["World"]:
        """Run storage in this process, called as `cli` and as `test-tool`."""
        self.more = more
        try:
            await self.start()
            yield self
        finally:
            await self.stack.aclose()

    async def start(self) -> None:
        """Start storage."""
        stack = self.stack = AsyncExitStack()
        platform = await stack.enter_async_context(open_platform("storage", self.clock))
        self.metrics = platform.metrics
        settings = self.settings(**self.more)
        await stack.enter_async_context(SERVICE.open(settings, platform))
        self.stubs = await stack.enter_async_context(self.calling_as("cli", settings))
        self.tool = await stack.enter_async_context(self.calling_as("test-tool", settings))

    async def restart(self) -> None:
        """Stop storage and start it again."""
        await self.stack.aclose()
        await self.start()

    async def tool_key_reason(self, hour: CameraHour) -> str:
        """Ask for an hour's key as the test tool, which must be refused; return the reason."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.tool.keys.ExportHourKey(catalogue_pb.ExportHourKeyRequest(**hour._asdict()))
        return reason_of(caught.value)

    @asynccontextmanager
    async def wired(self, **more: Any) -> AsyncIterator[Storage]:
        """Wire storage without starting it, to call its use cases."""
        async with (
            open_platform("storage", self.clock) as platform,
            wire(self.settings(**more), platform, connect=False) as storage,
        ):
            yield storage

    @asynccontextmanager
    async def calling_as(self, workload: str, settings: Settings) -> AsyncIterator[Stubs]:
        """Call storage as a workload."""
        port = (settings.state_dir / "grpc.port").read_text()
        files = self.backbone.tls(workload)
        async with open_channel(f"127.0.0.1:{port}", files, "storage", self.telemetry) as channel:
            yield Stubs(channel)

    @property
    def bucket(self) -> ObjectStore:
        """The bucket of segment objects."""
        return open_bucket(self.backbone.s3_settings(), "lykta-footage")

    async def kv(self, name: str) -> Any:
        """Open a KV bucket."""
        return await self.nats.jetstream().key_value(name)

    async def order(self, status: str = "live", camera: str = CAMERA, **changes: Any) -> MandateOrder:
        """Publish a signed order for a camera; a later call has a higher serial."""
        self.serial += 1
        values: dict[str, Any] = {
            "mandate_id": "man_1",
            "version": 1,
            "controller": CONTROLLER,
            "place": "torget",
            "cameras": (camera,),
            "purpose": "prevent violence",
            "legal_ground": LegalGround(text="KS 2026/1"),
            "valid_from": START - timedelta(days=1),
            "valid_to": START + timedelta(days=300),
            "review_at": START + timedelta(days=200),
        }
        order = MandateOrder(
            controller=CONTROLLER,
            camera=camera,
            serial=self.serial,
            status=status,  # type: ignore[arg-type]
            mandate=MandateDocument(**(values | changes)),
            camera_address="rtsp://camera.example/1",
            issued_at=self.clock.now(),
        )
        await self.put_order(order)
        return order

    async def put_order(self, order: MandateOrder, key: str = "", signer: Signer | None = None) -> None:
        """Put an order into the bucket."""
        envelope = (signer or self.signer("mandate")).sign(MANDATE_ORDER_TYPE, order.to_json())
        await (await self.kv("mandates")).put(key or f"{order.controller}.{order.camera}", envelope)

    async def media_key(self, hour: str, camera: str = CAMERA) -> MediaKey | None:
        """Return the verified public key of an hour; None when none is published."""
        try:
            entry = await (await self.kv("media-keys")).get(f"{CONTROLLER}.{camera}.{hour}")
        except nats.js.errors.KeyNotFoundError:
            return None
        return MediaKey.from_json(self.signer("media-key").verifier().open(MEDIA_KEY_TYPE, entry.value))

    async def recipient(self, hour: str, camera: str = CAMERA) -> str:
        """Wait for the public key of an hour."""
        key = await eventually(lambda: self.media_key(hour, camera), what=f"the key of {hour}")
        return str(key.recipient)

    async def publish(self, data: Message, event_id: str, traceparent: str = "") -> CloudEvent:
        """State a fact as another service would."""
        event = new_event(data, event_id, "/lykta/test/0", self.clock.now(), traceparent)
        await self.nats.jetstream().publish(event.subject, event.to_json(), headers={"Nats-Msg-Id": event.id})
        return event

    async def events(self, stream: str) -> list[CloudEvent]:
        """Return every event of a stream, in order."""
        jetstream = self.nats.jetstream()
        state = (await jetstream.stream_info(stream)).state
        numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
        return [CloudEvent.from_json((await jetstream.get_msg(stream, seq)).data) for seq in numbers]

    async def facts(self, name: str, count: int = 1) -> list[CloudEvent]:
        """Wait for so many events of a type on FOOTAGE."""

        async def arrived() -> list[CloudEvent]:
            found = [event for event in await self.events("FOOTAGE") if event.type == f"lykta.{name}.v1"]
            return found if len(found) >= count else []

        found: list[CloudEvent] = await eventually(arrived, what=f"{count} events {name}")
        return found

    async def dead_letters(self, count: int = 1) -> list[Any]:
        """Wait for so many dead letters."""
        jetstream = self.nats.jetstream()

        async def arrived() -> list[Any]:
            last = (await jetstream.stream_info("DEADLETTER")).state.messages
            return [await jetstream.get_msg("DEADLETTER", seq) for seq in range(1, last + 1)] if last >= count else []

        found: list[Any] = await eventually(arrived, what=f"{count} dead letters")
        return found

    def token(self, signer: Signer | None = None, header: dict[str, str] | None = None, **changes: Any) -> str:
        """Make a grant token; `changes` replace claims."""
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": "lykta/access-control", "aud": "lykta/storage", "sub": "anna", "jti": "grt_1",
            "iat": now, "nbf": now, "exp": now + 3600, "ctl": CONTROLLER, "case": "case_1", "purpose": "assault",
            "cams": [CAMERA], "from": to_wire(START - timedelta(hours=1)), "to": to_wire(START + timedelta(hours=1)),
            "act": ["footage.playback"],
        } | changes  # fmt: skip
        key = OKPKey.import_key((signer or self.signer("grant")).private_key)
        names = {"alg": "EdDSA", "typ": "lykta-grant+jwt"} | (header or {})
        return jwt.encode(names, claims, key, registry=_OldName(algorithms=["EdDSA", "Ed25519"]))

    async def revoke(self, grant_id: str = "grt_1") -> None:
        """Refuse a grant from now on, and push that it was revoked."""
        self.policy.refusal = "GRANT_REVOKED"
        await self.publish(GrantRevoked(controller=CONTROLLER, grant_id=grant_id, reason="done"), f"revoked:{grant_id}")

    def recorder(self, **more: Any) -> "Recorder":
        """Return a recorder of the test's camera."""
        return Recorder(self, **more)

    async def recorded(self, *starts: datetime) -> list["Recorded"]:
        """Order recording, record one segment for each start, and wait until the catalogue has them."""
        await self.order()
        recorder = self.recorder()
        made = [await recorder.segment(start) for start in starts or (START,)]
        for segment in made:
            await segment.publish()
        await self.facts("segment.stored", len(made))
        return made

    def open(self, start: datetime = START, seconds: float = 6, camera: str = CAMERA, **more: Any) -> "Playback":
        """Open a playback."""
        return Playback(self, start, start + timedelta(seconds=seconds), camera, **more)


@dataclass
class Recorder:
    """Stands in for ingest: encrypts any bytes, seals them, uploads them and says so."""

    world: World
    camera: str = CAMERA
    fencing_token: int = 1
    run: str = "01RUN"
    epoch: int = to_ms(START)
    mandate: tuple[str, int] = ("man_1", 1)
    leaves: dict[str, list[bytes]] = field(default_factory=dict)

    async def segment(self, start: datetime, fragments: int = 3, upload: bool = True) -> "Recorded":
        """Record a segment of fragments of 2 s."""
        hour = hour_of(start)
        recipient = pyrage.x25519.Recipient.from_str(await self.world.recipient(hour, self.camera))
        leaves = self.leaves.setdefault(hour, [])
        first, body, entries, plains = len(leaves), b"", [], []
        for number in range(fragments):
            plain = INIT + b"moof-and-mdat " + os.urandom(200)
            cipher = pyrage.encrypt(plain, [recipient])
            begin = start + timedelta(seconds=2 * number)
            entries.append(
                FragmentEntry(
                    offset=len(body), length=len(cipher), sha256=hashlib.sha256(plain).hexdigest(),
                    cipher_sha256=hashlib.sha256(cipher).hexdigest(), plain_length=len(plain), init_length=len(INIT),
                    from_at=begin, to_at=begin + timedelta(seconds=2), decode_time=180_000 * number, frames=50,
                )
            )  # fmt: skip
            body += cipher
            plains.append(plain)
            leaves.append(hashlib.sha256(plain).digest())
        index = SegmentIndex(
            segment_id=f"{self.camera}.{self.epoch}.{to_ms(start)}", controller=CONTROLLER, camera=self.camera,
            place="torget", mandate_id=self.mandate[0], mandate_version=self.mandate[1], epoch=self.epoch, hour=hour,
            fencing_token=self.fencing_token, from_at=start, to_at=entries[-1].to_at, codec="avc1.42c01e", width=64,
            height=48, clock=CameraClock(), fragments=tuple(entries), seal=self.seal(hour, first),
        )  # fmt: skip
        made = Recorded(self.world, index, body + write_trailer(index), plains)
        if upload:
            await made.upload()
        return made

    def seal(self, hour: str, first: int) -> Seal:
        """Sign the root over all leaves of the hour so far."""
        leaves, signer = self.leaves[hour], self.world.signer("recorder")
        root = HourTree(leaves).root.hex()
        statement = seal_statement(CONTROLLER, self.camera, hour, (self.run, len(leaves), root))
        signature = base64.b64encode(signer.sign_raw(statement)).decode()
        return Seal(
            run=self.run, first_leaf=first, count=len(leaves), root=root, key_id=signer.key_id, signature=signature
        )


@dataclass
class Recorded:
    """A segment that was made."""

    world: World
    index: SegmentIndex
    payload: bytes
    plains: list[bytes]

    @property
    def key(self) -> str:
        """Key of its object."""
        return object_key(self.index.controller, self.index.camera, self.index.hour, self.index.segment_id)

    @property
    def fact(self) -> SegmentRecorded:
        """The event's data."""
        return SegmentRecorded(index=self.index, bucket="lykta-footage", key=self.key, size_bytes=len(self.payload))

    async def upload(self) -> None:
        """Put the object."""
        await self.world.bucket.put_if_absent(self.key, self.payload)

    async def publish(self, again: str = "", traceparent: str = "") -> CloudEvent:
        """Say that it was recorded."""
        return await self.world.publish(self.fact, f"segment.recorded:{self.index.segment_id}{again}", traceparent)


class Playback:
    """One call of PlaybackService.Read from the side of the client."""

    def __init__(self, world: World, start: datetime, end: datetime, camera: str, **more: Any) -> None:
        controller, bearer = more.get("controller", CONTROLLER), more.get("bearer", "anna-token")
        token = more.get("token", world.token())
        metadata = [("authorization", f"Bearer {bearer}")] + ([("lykta-grant", token)] if token else [])
        self.call = world.stubs.playback.Read(metadata=metadata, timeout=30)
        self._opening = playback_pb.Open(controller=controller, camera=camera, to=end)
        getattr(self._opening, "from").FromDatetime(start)

    async def open(self) -> "Playback":
        """Send the opening request."""
        await self.call.write(playback_pb.ReadRequest(open=self._opening))
        return self

    async def credit(self, count: int = 1) -> None:
        """Give credits."""
        await self.call.write(playback_pb.ReadRequest(credits=count))

    async def next(self) -> Any:
        """Return the next item; None at the end."""
        response = await self.call.read()
        return None if response is grpc.aio.EOF else response

    async def all(self) -> list[Any]:
        """Read to the end with a credit for each fragment."""
        await self.open()
        items: list[Any] = []
        while (item := await self.next()) is not None:
            items.append(item)
            if item.WhichOneof("item") == "fragment":
                await self.credit()
        return items

    async def refused(self) -> tuple[grpc.StatusCode, str]:
        """Open, expect no item, and return status and reason."""
        await self.open()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.next()
        return caught.value.code(), reason_of(caught.value)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the reason of a refusal."""
    return str(dict(error.trailing_metadata() or ()).get("lykta-reason", ""))


def bearer(name: str = "anna-token") -> dict[str, Any]:
    """Return the keyword arguments that make a call a person's."""
    return {"metadata": [("authorization", f"Bearer {name}")]}


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still in the middle of an hour."""
    return ManualClock(START)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backbone]:
    """One S3 for all tests: it takes seconds to start."""
    async with open_backbone(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
async def backbone(shared_store: Backbone, tmp_path: Path) -> AsyncIterator[Backbone]:
    """A NATS of this test alone, and an empty bucket."""
    async with open_backbone(tmp_path, s3=False) as running:
        running.use_s3_of(shared_store)
        yield running
        await ObjectVersions(open_admin(running.s3_settings()), "lykta-footage").delete_under("")


@pytest.fixture
async def world(backbone: Backbone, clock: ManualClock) -> AsyncIterator[World]:
    """Everything around storage; it does not run yet."""
    telemetry = Telemetry("test", "0")
    async with AsyncExitStack() as stack:
        policy, log = Policy(), Log()
        addresses = {}
        for name, add, service in (
            ("access-control", lambda s: policy_rpc.add_PolicyServiceServicer_to_server(policy, s), "PolicyService"),
            ("audit", lambda s: log_rpc.add_LogServiceServicer_to_server(log, s), "LogService"),
        ):
            settings = backbone.settings(PeerSettings, name)
            package = name.replace("-", "_")
            allowed = {f"lykta.{package}.v1.{service}": frozenset({"storage"})}
            server = await stack.enter_async_context(serve(settings, telemetry, Health(), allowed, add))
            addresses[name] = f"127.0.0.1:{server.port}"
        connection = await nats.connect(
            backbone.common("test-tool")["nats_url"],
            user="test",
            password=backbone.password_file("test").read_text().strip(),
            tls=client_context(backbone.tls("test-tool")),
        )
        stack.push_async_callback(connection.close)
        yield World(backbone, telemetry, clock, policy, log, connection, addresses)
    await asyncio.to_thread(telemetry.close)


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    """Storage, running."""
    async with world.service():
        yield world
