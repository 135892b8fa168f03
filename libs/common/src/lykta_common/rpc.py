"""gRPC both ways: mutual TLS, deadlines, one error table, traces and health for every service."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn, TypeVar

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.instrumentation import grpc as otel_grpc
from opentelemetry.instrumentation.grpc import filters

from lykta_common.config import ServiceSettings
from lykta_common.errors import MAPPING, REASON_METADATA, Code, PlatformError, from_rpc
from lykta_common.health import Health
from lykta_common.identity import require_workload
from lykta_common.logging import get_logger
from lykta_common.telemetry import Telemetry
from lykta_common.tls import TlsFiles, channel_credentials, server_credentials

log = get_logger(__name__)
_OTEL: Any = otel_grpc  # its functions carry no types

DEFAULT_DEADLINE: Final = 10.0
"""Seconds a unary call may take when its caller does not say."""
MAX_MESSAGE_BYTES: Final = 48 * 1024 * 1024
"""The largest message is one GOP: 16 MiB a picture is the recorder's own bound."""
DRAIN_SECONDS: Final = 3.0
KEEPALIVE_MS = 20_000
"""How often a client with a call in flight asks whether the server is still there; the health of it is such a call."""
HEALTH_INTERVAL: Final = 1.0
MANY_ADDRESSES: Final = ("dns:", "ipv4:", "ipv6:")
"""Schemes of an address that may stand for several servers, of which only those that report health are called."""
_SPREAD: Final = json.dumps({"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}})
LIVENESS: Final = "live"
"""Health service that says only that the process runs; the empty name says whether it does its job."""

Allowed = Mapping[str, frozenset[str]]
"""Which workloads may call which service (full name) or method (`/service/Method`); what is not named is refused."""
AnyContext = grpc.aio.ServicerContext[Any, Any]
ResultT = TypeVar("ResultT")


class BoundaryInterceptor(grpc.aio.ServerInterceptor):
    """Checks the calling workload, and turns every error into a status with a reason."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(("/grpc.health.", "/grpc.reflection.")):
            return handler
        workloads = self._allowed.get(method, self._allowed.get(method.split("/")[1], frozenset()))
        wrapped: Callable[..., Any]
        if handler.response_streaming:
            wrapped = self._stream(handler.unary_stream or handler.stream_stream, method, workloads)
        else:
            wrapped = self._unary(handler.unary_unary or handler.stream_unary, method, workloads)
        make: Any = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[(bool(handler.request_streaming), bool(handler.response_streaming))]
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def _unary(self, inner: Any, method: str, workloads: frozenset[str]) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: AnyContext) -> Any:
            try:
                caller = require_workload(context, workloads)
                with structlog.contextvars.bound_contextvars(rpc=method, caller=caller):
                    return await inner(request, context)
            except Exception as error:  # boundary: the RPC interceptor answers every failure
                await refuse(context, error, method)

        return call

    def _stream(self, inner: Any, method: str, workloads: frozenset[str]) -> Callable[..., AsyncIterator[Any]]:
        async def call(request: Any, context: AnyContext) -> AsyncIterator[Any]:
            try:
                caller = require_workload(context, workloads)
                with structlog.contextvars.bound_contextvars(rpc=method, caller=caller):
                    async for response in inner(request, context):
                        yield response
            except Exception as error:  # boundary: the RPC interceptor answers every failure
                await refuse(context, error, method)

        return call


async def refuse(context: AnyContext, error: Exception, method: str) -> NoReturn:
    """End a call with the status of the error table; a cause that is a defect is logged, not told."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, PlatformError):
        known = error
        log.info("rpc_refused", rpc=method, code=known.code.value, reason=known.reason)
    else:
        log.error("rpc_failed", rpc=method, exc_info=error)
        known = PlatformError(Code.INTERNAL, "INTERNAL", "a defect in the platform; the log has the cause")
    await context.abort(MAPPING[known.code].status, known.message, ((REASON_METADATA, known.reason),))


class Server:
    """A running gRPC server; `port` is the one that was bound."""

    def __init__(self, server: grpc.aio.Server, port: int) -> None:
        self.server = server
        self.port = port


@asynccontextmanager
async def serve(
    settings: ServiceSettings,
    telemetry: Telemetry,
    health_checks: Health,
    allowed: Allowed,
    add: Callable[[grpc.aio.Server], None],
    services: Sequence[str] = (),
) -> AsyncIterator[Server]:
    """Serve for the block: `add` registers the servicers; `services` are their full names for reflection.

    The port is written to `<state_dir>/grpc.port`, so that a supervisor that asked for port 0 can find it.
    """
    server = grpc.aio.server(
        interceptors=[
            # Its stream interceptor takes generators only, and the health servicer's Watch is none.
            _OTEL.aio_server_interceptor(telemetry.provider, filters.negate(filters.health_check())),
            BoundaryInterceptor(allowed),
        ],
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
            # Its default, 5 minutes, ends connections of clients that ask more often, with every call on them.
            ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
        ],
    )
    add(server)
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    if settings.profile == "development":
        reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    files = TlsFiles(settings.tls_ca_file, settings.tls_certificate_file, settings.tls_key_file)
    port = server.add_secure_port(settings.grpc_listen, server_credentials(files))
    await server.start()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    (settings.state_dir / "grpc.port").write_text(str(port))
    log.info("grpc_serving", port=port)
    async with asyncio.TaskGroup() as tasks, _plain_health(settings.health_listen, health_servicer):
        watching = tasks.create_task(_report_health(health_servicer, health_checks), name="grpc-health")
        try:
            yield Server(server, port)
        finally:
            watching.cancel()
            await health_servicer.enter_graceful_shutdown()
            await server.stop(DRAIN_SECONDS)


@asynccontextmanager
async def _plain_health(listen: str, servicer: Any) -> AsyncIterator[None]:
    """Serve health alone, without TLS: it tells nothing but SERVING, and a kubelet cannot present a certificate."""
    if not listen:
        yield
        return
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(listen)
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


async def _report_health(servicer: Any, checks: Health) -> None:
    await servicer.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
    last: dict[str, str] | None = None
    while True:
        failures = await checks.failures()
        if failures != last:
            log.log(30 if failures else 20, "health_changed", failures=failures)
            last = failures
        serving = health_pb2.HealthCheckResponse.NOT_SERVING if failures else health_pb2.HealthCheckResponse.SERVING
        await servicer.set("", serving)
        await asyncio.sleep(HEALTH_INTERVAL)


class _DeadlineInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives every unary call a deadline."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        if client_call_details.timeout is None:
            client_call_details = client_call_details._replace(timeout=DEFAULT_DEADLINE)
        return await continuation(client_call_details, request)


@asynccontextmanager
async def open_channel(
    address: str, files: TlsFiles, server_name: str, telemetry: Telemetry
) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to a peer for the block; the certificate must name `server_name` (a DNS SAN).

    It connects when it is first used and again after every failure. An address with a scheme (`dns:///host:port`)
    may name several servers: calls go in turn to those whose health says that they do their job (gRPC A17), so that
    a writer is found among those who stand by.
    """
    spread = [("grpc.service_config", _SPREAD), ("grpc.dns_min_time_between_resolutions_ms", 2000)]
    channel = grpc.aio.secure_channel(
        address,
        channel_credentials(files),
        options=[
            ("grpc.ssl_target_name_override", server_name),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.http2.max_pings_without_data", 0),  # without a bound: after two the third waits for a minute
            *(spread if address.startswith(MANY_ADDRESSES) else ()),
        ],
        interceptors=[_DeadlineInterceptor(), *_OTEL.aio_client_interceptors(tracer_provider=telemetry.provider)],
    )
    try:
        yield channel
    finally:
        await channel.close()


async def call(peer: str, awaitable: Awaitable[ResultT]) -> ResultT:
    """Await a unary call; a refusal or failure of the peer becomes a PlatformError with its reason."""
    try:
        return await awaitable
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error, peer) from error
