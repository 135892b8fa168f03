"""Runs the audit service for tests, in this process or its own, on a real NATS, a real S3 and a real database."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from lykta.access_control.v1 import policy_service_pb2, policy_service_pb2_grpc
from lykta.audit.v1 import log_service_pb2 as pb
from lykta.audit.v1 import log_service_pb2_grpc
from lykta_audit.app import SERVICE
from lykta_audit.checkpoint import CheckpointSigner
from lykta_audit.config import Settings
from lykta_audit.store import MIGRATIONS
from lykta_common.config import ServiceSettings
from lykta_common.database import Database, open_database
from lykta_common.health import Health
from lykta_common.identity import bearer_token
from lykta_common.objectstore import open_bucket
from lykta_common.rpc import open_channel, serve
from lykta_common.signing import Signer, new_key_pair
from lykta_common.telemetry import Telemetry
from lykta_contracts.audit import Actor, AuditRecord
from lykta_testing.platform import Backbone, eventually, open_platform
from sqlalchemy import Executable

pytest_plugins = ["lykta_testing.fixtures"]

ORIGIN = "test.lykta.example/log"
PEOPLE = {"dpo": ("anna", {"ks": "dpo"}), "operator": ("bo", {"ks": "operator"})}
"""Tokens that the access-control of tests knows: person and roles by controller."""


class Policy(policy_service_pb2_grpc.PolicyServiceServicer):
    """An access-control that knows the people above; only a dpo may search."""

    async def Authorize(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the RPC
        """Decide by token and controller."""
        answer = policy_service_pb2.AuthorizeResponse
        person, roles = PEOPLE.get(bearer_token(context), ("", {}))
        if not person:
            return answer(allowed=False, reason="UNAUTHENTICATED")
        if request.controller not in roles:
            return answer(allowed=False, reason="NOT_FOUND", person_id=person)
        allowed = roles[request.controller] == "dpo" and request.action == "audit.search"
        return answer(allowed=allowed, reason="" if allowed else "ROLE", person_id=person)


class PolicySettings(ServiceSettings):
    """Settings of the access-control of tests."""


def record(number: int, **changes: Any) -> AuditRecord:
    """Make the record with this number."""
    values: dict[str, Any] = {
        "entry_id": f"aud_{number}",
        "occurred_at": datetime(2026, 11, 23, 8, 0, number % 60, 123000, tzinfo=UTC),
        "actor": Actor(kind="person", id="anna"),
        "controller": "ks",
        "action": "footage.playback.opened",
        "object": "camera/torg-1",
        "case_id": f"case_{number % 3}",
        "result": "allowed",
        "details": {"number": str(number)},
    }
    return AuditRecord(**(values | changes))


def message(item: AuditRecord) -> pb.AuditRecord:
    """Turn a record into its message."""
    made = pb.AuditRecord(
        actor=pb.Actor(kind=item.actor.kind, id=item.actor.id),
        **item.model_dump(exclude={"actor", "occurred_at"}),
    )
    made.occurred_at.FromDatetime(item.occurred_at)
    return made


@dataclass
class Harness:
    """The surroundings of the service, and ways to run and to ask it."""

    backbone: Backbone
    policy_port: int
    vkey: str
    telemetry: Telemetry
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    database_name: str = "audit"

    def settings(self, replica: str = "0", **more: Any) -> Settings:
        """Settings of the service; all replicas share one database."""
        values = {
            "database_url": self.backbone.database_url(self.database_name),
            "log_origin": ORIGIN,
            "log_signing_key_file": self.backbone.directory / "log.pem",
            "access_control_address": f"127.0.0.1:{self.policy_port}",
            "publish_interval_ms": 50,
            "lease_ms": 1000,
        }
        return self.backbone.settings(Settings, "audit", replica, **(values | more))

    @asynccontextmanager
    async def service(self, replica: str = "0", *, ready: bool = True, **more: Any) -> AsyncIterator[Health]:
        """Run the service in this process, by default until it is ready."""
        async with (
            open_platform("audit") as platform,
            SERVICE.open(self.settings(replica, **more), platform) as health,
        ):
            if ready:
                await eventually(lambda: _is_ready(health), what="the audit service's readiness")
            yield health

    async def process(self, replica: str = "0", **more: Any) -> asyncio.subprocess.Process:
        """Start the service as a process of its own."""
        settings = self.settings(replica, **more)
        (settings.state_dir / "grpc.port").unlink(missing_ok=True)
        given = settings.model_dump(mode="json", exclude_unset=True)
        environment = {f"LYKTA_AUDIT__{name.upper()}": str(value) for name, value in given.items()}
        with (self.backbone.directory / f"audit-{replica}.log").open("ab") as log:
            started = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "lykta_audit", env={**os.environ, **environment}, stdout=log, stderr=log
            )
        self.processes.append(started)
        return started

    async def accepted(self, stub: Any, request: pb.AppendRequest) -> pb.AppendResponse:
        """Append, trying again while the service starts or stands by."""

        async def append() -> pb.AppendResponse | None:
            try:
                response: pb.AppendResponse = await stub.Append(request)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return None
                raise
            return response

        response: pb.AppendResponse = await eventually(append, what="an accepted append")
        return response

    async def port(self, replica: str = "0") -> int:
        """Port of a replica, as soon as it serves."""
        file = self.settings(replica).state_dir / "grpc.port"
        return int(await eventually(lambda: file.exists() and file.read_text(), what="the gRPC port"))

    @asynccontextmanager
    async def stub(self, workload: str = "storage", replica: str = "0") -> AsyncIterator[Any]:
        """Call a replica as a workload."""
        address = f"127.0.0.1:{await self.port(replica)}"
        async with open_channel(address, self.backbone.tls(workload), "audit", self.telemetry) as channel:
            yield log_service_pb2_grpc.LogServiceStub(channel)

    def database(self) -> AbstractAsyncContextManager[Database]:
        """Open the service's database behind its back."""
        return open_database(self.settings().database_url, MIGRATIONS)

    async def change(self, *statements: Executable) -> None:
        """Change the database behind the service's back."""
        async with self.database() as database, database.transaction() as connection:
            for statement in statements:
                await connection.execute(statement)

    async def download(self, directory: Path) -> Path:
        """Copy the published log from the bucket."""
        bucket = open_bucket(self.backbone.s3_settings(), "lykta-audit")
        names = ["checkpoint", *[found.key async for found in bucket.list("tile/")]]
        for name in names:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(await bucket.get(name))
        return directory

    def record(self, number: int, **changes: Any) -> AuditRecord:
        """Make the record with this number."""
        return record(number, **changes)

    def message(self, item: AuditRecord) -> pb.AuditRecord:
        """Turn a record into its message."""
        return message(item)

    def batch(self, begin: int, end: int) -> pb.AppendRequest:
        """Request that appends the records [begin, end)."""
        return pb.AppendRequest(records=[message(record(number)) for number in range(begin, end)])


async def _is_ready(health: Health) -> bool:
    return not await health.failures()


@pytest.fixture
async def harness(backbone: Backbone) -> AsyncIterator[Harness]:
    """Everything around the audit service, running."""
    key_file = backbone.directory / "log.pem"
    new_key_pair(key_file, backbone.directory / "log.pub.pem")
    vkey = CheckpointSigner(ORIGIN, Signer.from_file(key_file).private_key).vkey
    telemetry = Telemetry("test", "0")
    settings = backbone.settings(PolicySettings, "access-control")
    allowed = {"lykta.access_control.v1.PolicyService": frozenset({"audit"})}

    def add(server: grpc.aio.Server) -> None:
        policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(Policy(), server)

    async with serve(settings, telemetry, Health(), allowed, add) as server:
        made = Harness(backbone, server.port, vkey, telemetry)
        try:
            yield made
        finally:
            for process in made.processes:
                if process.returncode is None:
                    process.kill()
                await process.wait()
    telemetry.close()
