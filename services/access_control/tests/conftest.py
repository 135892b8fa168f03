"""Runs access-control for tests on a real NATS, a real database and a small OpenID provider of its own."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import httpx
import nats
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from lykta.access_control.v1 import directory_service_pb2 as directory_pb
from lykta.access_control.v1 import directory_service_pb2_grpc as directory_rpc
from lykta.access_control.v1 import grant_service_pb2 as grant_pb
from lykta.access_control.v1 import grant_service_pb2_grpc as grant_rpc
from lykta.access_control.v1 import mandate_service_pb2 as mandate_pb
from lykta.access_control.v1 import mandate_service_pb2_grpc as mandate_rpc
from lykta.access_control.v1 import policy_service_pb2 as policy_pb
from lykta.access_control.v1 import policy_service_pb2_grpc as policy_rpc
from lykta_access_control.app import MIGRATIONS, SERVICE
from lykta_access_control.config import Settings
from lykta_common.clock import Clock
from lykta_common.database import Database, open_database
from lykta_common.identity import bearer_metadata
from lykta_common.rpc import open_channel
from lykta_common.signing import Verifier, new_key_pair
from lykta_common.telemetry import Telemetry
from lykta_common.tls import client_context
from lykta_contracts.events import CloudEvent
from lykta_contracts.mandates import MANDATE_ORDER_TYPE, MandateOrder
from lykta_testing.platform import Backbone, eventually, open_platform

pytest_plugins = ["lykta_testing.fixtures"]

AUDIENCE = "lykta"
MEMBERS = {
    "ks": {
        "ada": ["admin"], "adam": ["admin", "approver"], "bea": ["approver"], "boris": ["approver"],
        "ivar": ["investigator"], "inga": ["investigator", "approver"], "olle": ["operator"],
        "disa": ["dpo"], "tora": ["technician"], "aron": ["auditor"],
    },
    "bolag": {"berit": ["admin", "approver", "investigator", "operator", "dpo", "technician", "auditor"]},
}  # fmt: skip
"""Who is what in the two controllers of the tests; `root` runs the platform, `nils` belongs nowhere."""


class Issuer:
    """A small OpenID provider: discovery and keys over HTTP, tokens from the hand of the test."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.keys = [self.new_key("first")]
        self.away = False
        self.about: dict[str, Any] = {}
        self.asked: list[str] = []

    @staticmethod
    def new_key(key_id: str) -> ECKey:
        """Make a signing key."""
        return ECKey.generate_key("P-256", {"kid": key_id, "use": "sig", "alg": "ES256"})

    def token(self, person: str, key: ECKey | None = None, **changes: Any) -> str:
        """Return a token of a person; `changes` replace claims, None takes one away."""
        now = int(changes.pop("now", time.time()))
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": person, "name": person.title(), "iat": now}
        claims |= {"exp": now + 3600, **changes}
        signing = key or self.keys[-1]
        header = {"alg": "ES256", "kid": signing.kid}
        return jwt.encode(header, {k: v for k, v in claims.items() if v is not None}, signing)

    def answer(self, path: str) -> dict[str, Any] | None:
        """Return the document at a path."""
        self.asked.append(path)
        if path.endswith("/.well-known/openid-configuration"):
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"} | self.about
        if path.endswith("/keys"):
            return {"keys": [key.as_dict(private=False) for key in self.keys]}
        return None

    def transport(self) -> httpx.MockTransport:
        """Return it as the network of an HTTP client, for tests without sockets."""

        def respond(request: httpx.Request) -> httpx.Response:
            if self.away:
                raise httpx.ConnectError("away")
            found = self.answer(request.url.path)
            return httpx.Response(404) if found is None else httpx.Response(200, json=found)

        return httpx.MockTransport(respond)


@asynccontextmanager
async def serving_issuer() -> AsyncIterator[Issuer]:
    """Serve an issuer on a loopback port for the block."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = issuer.answer(head.split()[1].decode())
        body = json.dumps(found or {}).encode()
        status = b"200 OK" if found else b"404 Not Found"
        lines = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        writer.write(lines % (status, len(body)) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with server:
        issuer = Issuer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        yield issuer


class Stubs:
    """Every service of access-control over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.policy = policy_rpc.PolicyServiceStub(channel)
        self.controllers = directory_rpc.ControllerServiceStub(channel)
        self.places = directory_rpc.PlaceServiceStub(channel)
        self.cameras = directory_rpc.CameraServiceStub(channel)
        self.members = directory_rpc.MemberServiceStub(channel)
        self.mandates = mandate_rpc.MandateServiceStub(channel)
        self.cases = grant_rpc.CaseServiceStub(channel)
        self.grants = grant_rpc.GrantServiceStub(channel)


@dataclass
class World:
    """The surroundings of the service, ways to run and to ask it, and a municipality to fill it with."""

    backbone: Backbone
    issuer: Issuer
    telemetry: Telemetry
    stubs: Stubs = field(init=False)
    now: float | None = None

    def settings(self, **more: Any) -> Settings:
        """Return the service's settings."""
        folder = self.backbone.directory
        for name in ("mandate", "grant"):
            new_key_pair(folder / f"{name}.pem", folder / f"{name}.pub.pem")
        values = {
            "oidc_issuer": self.issuer.issuer,
            "platform_operators": ("root",),
            "mandate_signing_key_file": folder / "mandate.pem",
            "grant_signing_key_file": folder / "grant.pem",
        }
        return self.backbone.settings(Settings, "access-control", **(values | more))

    @asynccontextmanager
    async def service(self, clock: Clock | None = None) -> AsyncIterator["World"]:
        """Run the service in this process, called as the workload `cli`."""
        async with AsyncExitStack() as stack:
            platform = await stack.enter_async_context(open_platform("access-control", clock))
            self.metrics = platform.metrics
            await stack.enter_async_context(SERVICE.open(self.settings(), platform))
            self.stubs = await stack.enter_async_context(self.calling_as("cli"))
            yield self

    async def start_process(self) -> asyncio.subprocess.Process:
        """Start the service as a process of its own."""
        values = self.settings().model_dump(mode="json", exclude_unset=True) | {"platform_operators": "root"}
        given = {f"LYKTA_ACCESS_CONTROL__{name.upper()}": str(value) for name, value in values.items()}
        (self.settings().state_dir / "grpc.port").unlink(missing_ok=True)
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lykta_access_control", env={**os.environ, **given}, stderr=asyncio.subprocess.PIPE
        )

    async def failing_process(self) -> tuple[int | None, str]:
        """Run a process that cannot start; return its exit code and what it said."""
        process = await self.start_process()
        _, said = await process.communicate()
        return process.returncode, said.decode()

    @asynccontextmanager
    async def process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the service as a process of its own, called as the workload `cli`; killed when it still runs."""
        process = await self.start_process()
        port_file = self.settings().state_dir / "grpc.port"
        try:
            await eventually(lambda: port_file.exists() and port_file.read_text(), what="the gRPC port", seconds=30)
            async with self.calling_as("cli") as self.stubs:
                yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    def database(self) -> AbstractAsyncContextManager[Database]:
        """Open the service's database behind its back."""
        return open_database(self.settings().database_url, MIGRATIONS)

    @asynccontextmanager
    async def second_replica(self) -> AsyncIterator[Stubs]:
        """Run another process's worth of the service on the same database."""
        state_dir = self.backbone.directory / "second"
        settings = self.settings(replica="1", state_dir=state_dir, database_url=self.settings().database_url)
        async with open_platform("access-control") as platform, SERVICE.open(settings, platform):
            address = f"127.0.0.1:{(state_dir / 'grpc.port').read_text()}"
            files = self.backbone.tls("cli")
            async with open_channel(address, files, "access-control", self.telemetry) as channel:
                yield Stubs(channel)

    @asynccontextmanager
    async def calling_as(self, workload: str) -> AsyncIterator[Stubs]:
        """Call the service as a workload."""
        port = (self.settings().state_dir / "grpc.port").read_text()
        files = self.backbone.tls(workload)
        async with open_channel(f"127.0.0.1:{port}", files, "access-control", self.telemetry) as channel:
            yield Stubs(channel)

    def as_(self, person: str, **changes: Any) -> dict[str, Any]:
        """Return the keyword arguments that make a call a person's."""
        at = {} if self.now is None else {"now": self.now}
        return {"metadata": bearer_metadata(self.issuer.token(person, **(at | changes)))}

    async def populate(self) -> None:
        """Make two controllers with a place, two cameras and their people each."""
        for controller, people in MEMBERS.items():
            wanted = directory_pb.Controller(controller=controller, name=controller.upper())
            await self.stubs.controllers.Create(
                directory_pb.ControllerServiceCreateRequest(controller=wanted), **self.as_("root")
            )
            first = next(iter(people))
            await self.set_member("root", controller, first, ["admin"])
            for person, roles in people.items():
                await self.set_member(first, controller, person, roles)
            place = directory_pb.Place(controller=controller, place="torget", name="Torget", problem="brawls")
            await self.stubs.places.Create(directory_pb.PlaceServiceCreateRequest(place=place), **self.as_(first))
            for name in ("torget-1", "torget-2"):
                await self.add_camera(first, controller, name)

    async def set_member(self, by: str, controller: str, person: str, roles: list[str]) -> Any:
        """Give a person roles."""
        member = directory_pb.Member(controller=controller, person_id=person, roles=roles)
        return await self.stubs.members.Set(directory_pb.MemberServiceSetRequest(member=member), **self.as_(by))

    async def add_camera(self, by: str, controller: str, name: str, **changes: str) -> Any:
        """Add a camera."""
        values = {"place": "torget", "name": name, "address": f"rtsp://camera.example/{name}", "credentials_ref": name}
        camera = directory_pb.Camera(controller=controller, camera=name, **(values | changes))
        return await self.stubs.cameras.Create(directory_pb.CameraServiceCreateRequest(camera=camera), **self.as_(by))

    async def draft(self, by: str = "ada", mandate_id: str = "", controller: str = "ks", **changes: Any) -> Any:
        """Draft a mandate."""
        request = mandate_pb.MandateServiceDraftRequest(
            controller=controller, document_json=json.dumps(document(controller, **changes)), mandate_id=mandate_id
        )
        return (await self.stubs.mandates.Draft(request, **self.as_(by))).mandate

    async def propose(self, mandate_id: str, by: str = "ada") -> Any:
        """Propose a mandate."""
        request = mandate_pb.MandateServiceProposeRequest(mandate_id=mandate_id)
        return (await self.stubs.mandates.Propose(request, **self.as_(by))).mandate

    async def approve(self, mandate_id: str, by: str = "bea") -> Any:
        """Approve a mandate."""
        request = mandate_pb.MandateServiceApproveRequest(mandate_id=mandate_id)
        return (await self.stubs.mandates.Approve(request, **self.as_(by))).mandate

    async def end(self, mandate_id: str, by: str = "ada") -> Any:
        """End a mandate."""
        request = mandate_pb.MandateServiceEndRequest(mandate_id=mandate_id, reason="not needed any more")
        return (await self.stubs.mandates.End(request, **self.as_(by))).mandate

    async def live(self, **changes: Any) -> Any:
        """Bring a mandate into force."""
        mandate = await self.draft(**changes)
        await self.propose(mandate.mandate_id)
        return await self.approve(mandate.mandate_id)

    async def open_case(self, by: str = "ivar", controller: str = "ks") -> Any:
        """Open a case."""
        request = grant_pb.CaseServiceOpenRequest(
            controller=controller, reference="K-1", purpose="assault at the square"
        )
        return (await self.stubs.cases.Open(request, **self.as_(by))).case

    async def close_case(self, case_id: str, by: str = "ivar") -> Any:
        """Close a case."""
        return (await self.stubs.cases.Close(grant_pb.CaseServiceCloseRequest(case_id=case_id), **self.as_(by))).case

    async def ask(self, case_id: str, by: str = "ivar", **changes: Any) -> Any:
        """Ask for a grant: one hour of one camera yesterday."""
        values: dict[str, Any] = {"cameras": ["torget-1"], "actions": ["footage.playback"], **footage()} | changes
        request = grant_pb.GrantServiceRequestRequest(case_id=case_id, **values)
        return (await self.stubs.grants.Request(request, **self.as_(by))).grant

    async def issue(self, grant_id: str, by: str = "bea") -> Any:
        """Approve a grant."""
        return (
            await self.stubs.grants.Approve(grant_pb.GrantServiceApproveRequest(grant_id=grant_id), **self.as_(by))
        ).grant

    async def token(self, grant_id: str, by: str = "ivar") -> str:
        """Fetch a grant's token."""
        request = grant_pb.GrantServiceTokenRequest(grant_id=grant_id)
        return str((await self.stubs.grants.Token(request, **self.as_(by))).token)

    async def revoke(self, grant_id: str, by: str = "bea") -> Any:
        """Revoke a grant."""
        request = grant_pb.GrantServiceRevokeRequest(grant_id=grant_id, reason="done")
        return (await self.stubs.grants.Revoke(request, **self.as_(by))).grant

    async def authorize(self, person: str, action: str, **changes: Any) -> Any:
        """Ask as storage would."""
        request = policy_pb.AuthorizeRequest(action=action, **({"controller": "ks"} | changes))
        return await self.stubs.policy.Authorize(request, **self.as_(person))

    footage = staticmethod(lambda **changes: footage(**changes))

    async def played(self, person: str, grant_id: str, **changes: Any) -> Any:
        """Ask whether a person may play back what a grant of `ask` is for."""
        values = {"camera": "torget-1", "grant_id": grant_id, **footage()} | changes
        return await self.authorize(person, "footage.playback", **values)

    @staticmethod
    async def refused(call: Any) -> str:
        """Await a call that must be refused; return its reason."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return str(dict(caught.value.trailing_metadata() or ()).get("lykta-reason", ""))

    def verifier(self) -> Verifier:
        """Return the verifier of orders, as a recorder has it."""
        return Verifier.from_file(self.backbone.directory / "mandate.pub.pem")

    @asynccontextmanager
    async def wire(self) -> AsyncIterator["Wire"]:
        """Look at NATS as the hand of the test."""
        password = self.backbone.password_file("test").read_text().strip()
        context = client_context(self.backbone.tls("test-tool"))
        url = self.backbone.common("test-tool")["nats_url"]
        connection = await nats.connect(url, user="test", password=password, tls=context)
        try:
            yield Wire(connection, self.verifier())
        finally:
            await connection.close()


@dataclass
class Wire:
    """What is on NATS."""

    connection: Any
    verifier: Verifier

    async def order(self, key: str) -> MandateOrder | None:
        """Return the verified order of a camera; None when there is none."""
        try:
            entry = await (await self.bucket()).get(key)
        except nats.js.errors.KeyNotFoundError:
            return None
        return MandateOrder.from_json(self.verifier.open(MANDATE_ORDER_TYPE, entry.value))

    async def bucket(self) -> Any:
        """Return the bucket of orders."""
        return await self.connection.jetstream().key_value("mandates")

    async def events(self, stream: str) -> list[CloudEvent]:
        """Return every event of a stream, in order."""
        jetstream = self.connection.jetstream()
        state = (await jetstream.stream_info(stream)).state
        numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
        return [CloudEvent.from_json((await jetstream.get_msg(stream, seq)).data) for seq in numbers]

    async def entries(self, last: str, count: int = 1) -> list[dict[str, Any]]:
        """Return every audit record in order, once so many of the action `last` are there."""

        async def arrived() -> list[dict[str, Any]]:
            found = [event.data["record"] for event in await self.events("AUDIT")]
            return found if sum(record["action"] == last for record in found) >= count else []

        found: list[dict[str, Any]] = await eventually(arrived, what=f"{count} entries of {last}")
        return found


def footage(day: int = 1, hours: float = 1) -> dict[str, datetime]:
    """Return `from` and `to` of some footage in June."""
    start = datetime(2026, 6, day, 10, tzinfo=UTC)
    return {"from": start, "to": start + timedelta(hours=hours)}


def document(controller: str = "ks", **changes: Any) -> dict[str, Any]:
    """Return a mandate document as a client would send it."""
    return {
        "controller": controller,
        "place": "torget",
        "cameras": ["torget-1"],
        "purpose": "violence at the square",
        "legal_ground": {"kind": "kbl-8-9", "text": "balancing test KS 2026/1"},
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_to": "2029-01-01T00:00:00Z",
        "review_at": "2027-01-01T00:00:00Z",
    } | changes


@pytest.fixture
def issuer() -> Issuer:
    """A provider without sockets."""
    return Issuer("https://id.example")


@pytest.fixture
async def world(nats_backbone: Backbone) -> AsyncIterator[World]:
    """Everything around the service; it does not run yet."""
    telemetry = Telemetry("test", "0")
    async with serving_issuer() as issuer:
        yield World(nats_backbone, issuer, telemetry)
    telemetry.close()


@pytest.fixture
async def town(world: World) -> AsyncIterator[World]:
    """The running service with two controllers in it."""
    async with world.service():
        await world.populate()
        yield world
