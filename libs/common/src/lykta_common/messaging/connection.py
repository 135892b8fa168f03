"""One connection to NATS per service: made in the background, kept for ever, asked with deadlines."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import nats.errors
import nats.js.errors
from faststream.nats import NatsBroker
from faststream.nats.security import NatsUserPassword
from lykta_contracts.events import CloudEvent
from lykta_contracts.streams import AUDIT, Durable

from lykta_common.cancellation import obeying
from lykta_common.config import ServiceSettings, read_secret
from lykta_common.errors import unavailable
from lykta_common.logging import get_logger
from lykta_common.messaging.consume import Handler, add_consumer
from lykta_common.messaging.kv import KvBucket
from lykta_common.metrics import Metrics
from lykta_common.telemetry import Telemetry
from lykta_common.tls import TlsFiles, client_context

log = get_logger(__name__)

PUBLISH_DEADLINE: Final = 5.0
"""Seconds to wait for JetStream to confirm one publication."""
CORE_PENDING_BYTES: Final = 64 * 1024 * 1024
"""Bound of what a core subscription may hold; beyond it the client drops the newest and says so."""

_TIME_SUBJECT: Final = f"$JS.API.STREAM.INFO.{AUDIT.name}"
"""A question that every service's user may ask, and whose answer carries the server's time."""

NATS_FAILURES: Final = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)


@dataclass(frozen=True)
class CoreMessage:
    """A message of core NATS: no acknowledgement, may be lost."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]


class Messaging:
    """The service's use of NATS; every failure is a PlatformError UNAVAILABLE."""

    def __init__(self, settings: ServiceSettings, telemetry: Telemetry, metrics: Metrics | None = None) -> None:
        self._telemetry = telemetry
        self.metrics = metrics or Metrics(settings.nats_user)
        self._connected = asyncio.Event()
        self._reconnects: set[asyncio.Event] = set()
        self.halted: BaseException | None = None
        self._inbox = f"_INBOX.{settings.nats_user}"
        files = TlsFiles(settings.tls_ca_file, settings.tls_certificate_file, settings.tls_key_file)
        self._broker = NatsBroker(
            settings.nats_url,
            name=f"{settings.nats_user}-{settings.replica}",
            security=NatsUserPassword(
                username=settings.nats_user,
                password=read_secret(settings.nats_password_file),
                ssl_context=client_context(files),
            ),
            inbox_prefix=self._inbox,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=5,
            max_outstanding_pings=2,
            pending_size=8 * 1024 * 1024,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            logger=None,
        )

    @property
    def connected(self) -> bool:
        """Say whether NATS answers now."""
        return self._connected.is_set() and bool(self._broker.connection.is_connected)

    async def wait_connected(self) -> None:
        """Wait until the first connection stands."""
        await self._connected.wait()

    async def ping(self) -> None:
        """Health check: raises when NATS does not answer or a consumer stopped because data was lost."""
        if self.halted is not None:
            raise self.halted
        if not self.connected:
            raise unavailable("NATS")
        try:
            await obeying(self._broker.connection.flush(timeout=2))
        except NATS_FAILURES as error:
            raise unavailable("NATS") from error

    async def server_time(self) -> datetime:
        """Ask NATS for its time, aware UTC (`ts` of every JetStream API response; NATS 2.10); raises UNAVAILABLE."""
        if not self.connected:
            raise unavailable("NATS")
        try:
            answer = await obeying(self._broker.connection.request(_TIME_SUBJECT, b"", timeout=2))
            return datetime.fromisoformat(json.loads(answer.data)["ts"])
        except (*NATS_FAILURES, ValueError, KeyError) as error:
            raise unavailable("the time of NATS JetStream") from error

    async def publish(self, event: CloudEvent) -> None:
        """State a fact on JetStream; returns when it is stored. The event's id makes a repetition harmless."""
        headers = {"Nats-Msg-Id": event.id}
        if event.traceparent:
            headers["traceparent"] = event.traceparent
        await self.publish_raw(event.subject, event.to_json(), headers)

    async def publish_raw(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Publish bytes on JetStream; returns when they are stored."""
        if not self.connected:
            raise unavailable("NATS")
        try:
            jetstream = self._broker.connection.jetstream()
            await obeying(jetstream.publish(subject, payload, timeout=PUBLISH_DEADLINE, headers=headers))
        except NATS_FAILURES as error:
            raise unavailable("NATS JetStream") from error

    async def publish_core(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Send a part on core NATS; lost when NATS is away (raises UNAVAILABLE) or nobody listens."""
        if not self.connected:
            raise unavailable("NATS")
        try:
            await self._broker.connection.publish(subject, payload, headers=headers)
        except NATS_FAILURES as error:
            raise unavailable("NATS") from error

    @asynccontextmanager
    async def subscribe_core(
        self, subject: str, callback: Callable[[CoreMessage], Awaitable[None]]
    ) -> AsyncIterator[None]:
        """Call back for each message of a core subject while the block runs; waits for the first connection."""

        async def deliver(message: Any) -> None:
            await callback(CoreMessage(message.subject, message.data, message.headers or {}))

        await self.wait_connected()
        subscription = await self._broker.connection.subscribe(
            subject, cb=deliver, pending_bytes_limit=CORE_PENDING_BYTES
        )
        try:
            yield
        finally:
            if not self._broker.connection.is_closed:
                await subscription.unsubscribe()

    async def bucket(self, name: str) -> KvBucket:
        """Open a KV bucket; raises UNAVAILABLE when NATS is away or the bucket was not made yet."""
        if not self.connected:
            raise unavailable("NATS")
        try:
            store = await obeying(self._broker.connection.jetstream().key_value(name))
        except NATS_FAILURES as error:
            raise unavailable(f"the KV bucket {name}") from error
        return KvBucket(name, store, self._reconnects)

    def consume(self, durable: Durable, handler: Handler) -> None:
        """Handle every event of a durable consumer; must be called before the connection is started.

        The handler's return acknowledges; its error decides by the table of `lykta_common.errors`, where an
        AnotherReplicaError lets another replica have the event.
        """
        add_consumer(self._broker, self._inbox, durable, handler, self)

    @property
    def telemetry(self) -> Telemetry:
        """The service's telemetry."""
        return self._telemetry

    async def start(self) -> None:
        """Connect and start the consumers, however long it takes; run as a task."""
        while not self._connected.is_set():
            try:
                await self._broker.start()
            except NATS_FAILURES as error:
                log.warning("nats_start_failed", error=str(error))
                await asyncio.sleep(1)
            else:
                self._connected.set()
                self.metrics.nats_connected.set(1)
                log.info("nats_connected")

    async def stop(self) -> None:
        """Stop the consumers and close the connection; bounded."""
        self.metrics.nats_connected.set(0)
        try:
            async with asyncio.timeout(5):
                await self._broker.stop()
        except NATS_FAILURES as error:
            log.warning("nats_stop_failed", error=str(error))

    async def _on_error(self, error: Exception) -> None:
        log.warning("nats_error", error=str(error) or type(error).__name__)

    async def _on_disconnected(self) -> None:
        self.metrics.nats_connected.set(0)
        log.warning("nats_disconnected")

    async def _on_reconnected(self) -> None:
        self.metrics.nats_connected.set(1)
        log.info("nats_reconnected")
        for event in self._reconnects:
            event.set()


@asynccontextmanager
async def open_messaging(
    settings: ServiceSettings,
    telemetry: Telemetry,
    register: Callable[[Messaging], None] | None = None,
    wait: bool = True,
    metrics: Metrics | None = None,
) -> AsyncIterator[Messaging]:
    """Connect to NATS for the block; `register` adds consumers.

    With `wait` the block starts when NATS answers; without, at once, and the connection is made behind it.
    """
    messaging = Messaging(settings, telemetry, metrics)
    if register is not None:
        register(messaging)
    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(messaging.start(), name="nats-start")
        try:
            if wait:
                await messaging.wait_connected()
            yield messaging
        finally:
            starting.cancel()
            await messaging.stop()
