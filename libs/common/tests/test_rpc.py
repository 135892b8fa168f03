"""gRPC between workloads: mutual TLS, allowed callers, the error table, deadlines, health, traces."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lykta.audit.v1 import log_service_pb2, log_service_pb2_grpc
from lykta_common.config import ServiceSettings
from lykta_common.errors import Code, PlatformError, unavailable
from lykta_common.health import Health
from lykta_common.identity import bearer_metadata, bearer_token, workload
from lykta_common.metrics import Metrics, serve_metrics
from lykta_common.rpc import call, open_channel, serve
from lykta_common.telemetry import traceparent
from lykta_standalone.pki import LocalAuthority
from lykta_standalone.ports import free_ports
from lykta_testing.platform import eventually, open_platform

ALLOWED = {
    "lykta.audit.v1.LogService": frozenset({"storage"}),
    "/lykta.audit.v1.LogService/Search": frozenset({"cli"}),
}


class Plain(ServiceSettings):
    """A service with no settings of its own."""


class Log(log_service_pb2_grpc.LogServiceServicer):
    """Answers as the test tells it."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.callers: list[str] = []
        self.traces: list[str] = []

    async def GetCheckpoint(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the RPC
        """Answer or fail."""
        self.callers.append(workload(context))
        self.traces.append(traceparent())
        if self.error is not None:
            raise self.error
        return log_service_pb2.GetCheckpointResponse(size=7)

    async def Search(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the RPC
        """Answer with the person's token."""
        return log_service_pb2.SearchResponse(next_page_token=bearer_token(context))


class Bench:
    """A server, and channels to it."""

    def __init__(self, directory: Path, port: int, servicer: Log, health: Health) -> None:
        self.authority = LocalAuthority(directory / "pki")
        self.port, self.servicer, self.health = port, servicer, health

    @asynccontextmanager
    async def stub(self, caller: str, server_name: str = "audit") -> AsyncIterator[Any]:
        """Open a channel as a workload."""
        async with (
            open_platform(caller) as platform,
            open_channel(
                f"127.0.0.1:{self.port}", self.authority.issue(caller), server_name, platform.telemetry
            ) as channel,
        ):
            self.channel, self.telemetry = channel, platform.telemetry
            yield log_service_pb2_grpc.LogServiceStub(channel)


def plain_settings(directory: Path, **more: Any) -> Plain:
    """Settings of an audit service that listens on a free port."""
    files = LocalAuthority(directory / "pki").issue("audit")
    return Plain.model_validate(
        {
            "profile": "development",
            "state_dir": directory / "s",
            "nats_url": "-",
            "nats_user": "-",
            "nats_password_file": "-",
            "tls_ca_file": files.ca,
            "tls_certificate_file": files.certificate,
            "tls_key_file": files.key,
        }
        | more
    )


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A log service that does what the test says."""
    settings = plain_settings(tmp_path)
    servicer, health = Log(), Health()
    async with (
        open_platform("audit") as platform,
        serve(
            settings, platform.telemetry, health, ALLOWED,
            lambda server: log_service_pb2_grpc.add_LogServiceServicer_to_server(servicer, server),
            ("lykta.audit.v1.LogService",),
        ) as server,
    ):  # fmt: skip
        assert (tmp_path / "s" / "grpc.port").read_text() == str(server.port)
        yield Bench(tmp_path, server.port, servicer, health)


async def test_an_allowed_workload_is_known_by_its_certificate(bench: Bench) -> None:
    """The server sees the workload of the client's certificate."""
    async with bench.stub("storage") as log:
        response = await call("audit", log.GetCheckpoint(log_service_pb2.GetCheckpointRequest()))
    assert (response.size, bench.servicer.callers) == (7, ["storage"])


async def test_another_workload_is_refused_before_the_servicer(bench: Bench) -> None:
    """A workload that the table does not name never reaches the code behind."""
    async with bench.stub("ingest") as log:
        with pytest.raises(PlatformError) as caught:
            await call("audit", log.GetCheckpoint(log_service_pb2.GetCheckpointRequest()))
    assert (caught.value.code, caught.value.reason) == (Code.PERMISSION_DENIED, "WORKLOAD")
    assert bench.servicer.callers == []


async def test_a_method_may_have_callers_of_its_own(bench: Bench) -> None:
    """A row for a method wins over the row for its service; a person's token travels with the call."""
    async with bench.stub("cli") as log:
        response = await log.Search(log_service_pb2.SearchRequest(), metadata=bearer_metadata("person"))
        assert response.next_page_token == "person"
        with pytest.raises(PlatformError, match="log in"):
            await call("audit", log.Search(log_service_pb2.SearchRequest()))
    async with bench.stub("storage") as log:
        with pytest.raises(PlatformError, match="may not call"):
            await call("audit", log.Search(log_service_pb2.SearchRequest()))


async def test_a_stranger_and_a_false_server_get_no_connection(bench: Bench, tmp_path: Path) -> None:
    """A certificate of another authority is refused; so is a server that bears another name."""
    real = bench.authority
    bench.authority = LocalAuthority(tmp_path / "other")
    async with bench.stub("storage") as log:
        with pytest.raises(PlatformError) as caught:
            await call("audit", log.GetCheckpoint(log_service_pb2.GetCheckpointRequest(), timeout=3))
    assert caught.value.code in {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED}
    bench.authority = real
    async with bench.stub("storage", "access-control") as log:
        with pytest.raises(PlatformError):
            await call("audit", log.GetCheckpoint(log_service_pb2.GetCheckpointRequest(), timeout=3))
    assert bench.servicer.callers == []


@pytest.mark.parametrize("code", list(Code))
async def test_every_code_crosses_the_wire_with_its_reason(bench: Bench, code: Code) -> None:
    """What the servicer raises is what the caller catches."""
    bench.servicer.error = PlatformError(code, "LIMIT", "too much; ask for less")
    async with bench.stub("storage") as log:
        with pytest.raises(PlatformError) as caught:
            await call("audit", log.GetCheckpoint(log_service_pb2.GetCheckpointRequest()))
    assert (caught.value.code, caught.value.reason, caught.value.message) == (code, "LIMIT", "too much; ask for less")


async def test_a_defect_is_not_told_to_the_caller(bench: Bench) -> None:
    """An unexpected exception becomes INTERNAL without its text."""
    bench.servicer.error = RuntimeError("password=hunter2")
    async with bench.stub("storage") as log:
        with pytest.raises(PlatformError) as caught:
            await call("audit", log.GetCheckpoint(log_service_pb2.GetCheckpointRequest()))
    assert caught.value.code is Code.INTERNAL
    assert "hunter2" not in str(caught.value)


async def test_a_trace_runs_through_the_call(bench: Bench) -> None:
    """The servicer's span belongs to the caller's trace."""
    async with bench.stub("storage") as log:
        with bench.telemetry.span("request"):
            trace_id = traceparent().split("-")[1]
            await call("audit", log.GetCheckpoint(log_service_pb2.GetCheckpointRequest()))
    assert bench.servicer.traces[0].split("-")[1] == trace_id


async def test_health_follows_the_checks(bench: Bench) -> None:
    """The service reports NOT_SERVING while a dependency is away, and SERVING again afterwards."""

    async def failing() -> None:
        raise unavailable("the store")

    async with bench.stub("storage"):
        health = health_pb2_grpc.HealthStub(bench.channel)

        async def status() -> int:
            return int((await health.Check(health_pb2.HealthCheckRequest())).status)

        async def is_serving() -> bool:
            return await status() == health_pb2.HealthCheckResponse.SERVING

        async def is_away() -> bool:
            return await status() == health_pb2.HealthCheckResponse.NOT_SERVING

        await eventually(is_serving)
        bench.health.checks["store"] = failing
        await eventually(is_away)
        bench.health.checks.clear()
        await eventually(is_serving)


async def test_a_probe_without_a_certificate_sees_health_and_nothing_else(tmp_path: Path) -> None:
    """The plain port answers health (job and process apart) and knows no other service."""
    port = free_ports(1)[0]
    settings = plain_settings(tmp_path, health_listen=f"127.0.0.1:{port}")

    async def failing() -> None:
        raise unavailable("the store")

    def add(server: Any) -> None:
        log_service_pb2_grpc.add_LogServiceServicer_to_server(Log(), server)

    async with (
        open_platform("audit") as platform,
        serve(settings, platform.telemetry, Health({"store": failing}), ALLOWED, add),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)

        async def away() -> bool:
            return bool((await health.Check(health_pb2.HealthCheckRequest())).status == 2)

        await eventually(away)
        assert (await health.Check(health_pb2.HealthCheckRequest(service="live"))).status == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await log_service_pb2_grpc.LogServiceStub(channel).GetCheckpoint(log_service_pb2.GetCheckpointRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_metrics_are_served_with_the_expiry_of_the_certificate(tmp_path: Path) -> None:
    """A scraper sees the service's own metrics and when its certificate ends; no address serves nothing."""
    files = LocalAuthority(tmp_path / "pki").issue("audit")
    metrics = Metrics("access-control")
    metrics.counter("refusals", "Refused questions", ["reason"]).labels("ROLE").inc()
    async with serve_metrics("127.0.0.1:0", metrics, files.certificate) as port, httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    assert 'lykta_access_control_refusals_total{reason="ROLE"} 1.0' in text
    assert "lykta_access_control_certificate_expiry_timestamp_seconds" in text
    async with serve_metrics("", Metrics("audit"), files.certificate) as port:
        assert port == 0
    with pytest.raises(PlatformError, match="nowhere"):
        async with serve_metrics("nowhere", Metrics("audit"), files.certificate):
            pass


async def test_a_peer_that_is_away_is_unavailable(bench: Bench) -> None:
    """A refused connection is UNAVAILABLE and worth another try."""
    bench.port = 1
    async with bench.stub("storage") as log:
        with pytest.raises(PlatformError) as caught:
            await call("audit", log.GetCheckpoint(log_service_pb2.GetCheckpointRequest(), timeout=2))
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)
