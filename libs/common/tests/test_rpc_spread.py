"""An address of several servers: calls reach the one that does its job."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import lykta_common.rpc
import pytest
from lykta.audit.v1 import log_service_pb2, log_service_pb2_grpc
from lykta_common.config import ServiceSettings
from lykta_common.errors import Code, PlatformError, unavailable
from lykta_common.health import Health
from lykta_common.rpc import call, open_channel, serve
from lykta_standalone.pki import LocalAuthority
from lykta_testing.platform import eventually, open_platform

ALLOWED = {"lykta.audit.v1.LogService": frozenset({"storage"})}


class Plain(ServiceSettings):
    """A service with no settings of its own."""


class Log(log_service_pb2_grpc.LogServiceServicer):
    """One of two servers; it stands by until the test makes it the writer."""

    def __init__(self, number: int, writer: bool) -> None:
        self.number, self.writer = number, writer

    async def GetCheckpoint(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the RPC
        """Answer with its number."""
        return log_service_pb2.GetCheckpointResponse(size=self.number)

    async def ready(self) -> None:
        """Health check: raises while it stands by."""
        if not self.writer:
            raise unavailable("the writer")


class Stub(log_service_pb2_grpc.LogServiceStub):
    """A stub that knows its channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self.channel = channel


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients ask 200 times as often whether the server is there, and servers expect it."""
    monkeypatch.setattr(lykta_common.rpc, "KEEPALIVE_MS", 100)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Log, Log, Stub]]:
    """Two servers, the first the writer, and a stub at the address of both."""
    authority = LocalAuthority(tmp_path / "pki")
    files = authority.issue("audit")
    logs = (Log(1, True), Log(2, False))
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(open_platform("audit"))
        ports = []
        for log in logs:
            settings = Plain.model_validate(
                {
                    "state_dir": tmp_path / str(log.number),
                    "nats_url": "-", "nats_user": "-", "nats_password_file": "-",
                    "tls_ca_file": files.ca, "tls_certificate_file": files.certificate, "tls_key_file": files.key,
                }
            )  # fmt: skip
            server = serve(
                settings, platform.telemetry, Health({"log": log.ready}), ALLOWED,
                lambda server, log=log: log_service_pb2_grpc.add_LogServiceServicer_to_server(log, server),
            )  # fmt: skip
            ports.append((await stack.enter_async_context(server)).port)
        address = "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)
        channel = open_channel(address, authority.issue("storage"), "audit", platform.telemetry)
        yield *logs, Stub(await stack.enter_async_context(channel))


async def answered_by(stub: Stub) -> int:
    """Return the number of the server that answered; 0 when none does its job."""
    try:
        response = await call("audit", stub.GetCheckpoint(log_service_pb2.GetCheckpointRequest(), timeout=3))
    except PlatformError as error:
        if error.code is not Code.UNAVAILABLE:
            raise
        return 0
    return int(response.size)


async def test_calls_reach_the_writer_and_follow_it(pair: tuple[Log, Log, Stub]) -> None:
    """Every call reaches the server that is ready; when the other takes over, calls follow; with none they fail."""
    first, second, stub = pair
    await eventually(lambda: answered_by(stub), what="an answer")
    assert {await answered_by(stub) for _ in range(10)} == {1}
    first.writer, second.writer = False, True

    async def follows() -> bool:
        return await answered_by(stub) == 2

    await eventually(follows, what="the other's answer")
    second.writer = False

    async def none() -> bool:
        return await answered_by(stub) == 0

    await eventually(none, what="no answer")


@pytest.mark.usefixtures("hurried")
async def test_a_server_lets_its_clients_ask_whether_it_is_there(pair: tuple[Log, Log, Stub]) -> None:
    """Keepalive on a connection where nothing else happens is no attack: the server does not end it."""
    *_, stub = pair
    await eventually(lambda: answered_by(stub), what="an answer")
    assert stub.channel.get_state() is grpc.ChannelConnectivity.READY
    with pytest.raises(TimeoutError):  # gRPC asks once a second at most, and by default the fourth is too many
        async with asyncio.timeout(6):
            await stub.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
