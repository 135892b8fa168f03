"""JetStream, core NATS and KV on a real server: nothing is lost, nothing is done twice, nobody oversteps."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial

import nats
import pytest
from lykta_common.config import ServiceSettings
from lykta_common.errors import AnotherReplicaError, Code, PlatformError
from lykta_common.messaging import CoreMessage, KvEntry, Messaging, consume, open_messaging
from lykta_common.metrics import Metrics
from lykta_common.tls import client_context
from lykta_contracts.events import CloudEvent, GapDeclared, new_event
from lykta_contracts.media import GapCause
from lykta_contracts.model import Message
from lykta_contracts.streams import STORAGE_FOOTAGE
from lykta_testing.platform import Backbone, eventually, open_platform

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


class Plain(ServiceSettings):
    """A service with no settings of its own."""


def gap(name: str) -> CloudEvent:
    """Any fact."""
    data = GapDeclared(gap_id=name, controller="ks", camera="torg-1", from_at=NOW, to_at=NOW, cause=GapCause.CAMERA)
    return new_event(data, name, "/lykta/ingest/0", NOW)


class Recorder:
    """A handler that notes what came and fails as it is told."""

    def __init__(self, *errors: Exception) -> None:
        self.seen: list[str] = []
        self.errors = list(errors)

    async def __call__(self, event: CloudEvent, data: Message) -> None:
        """Note the event, then raise the next error if one is left."""
        self.seen.append(event.id)
        if self.errors:
            raise self.errors.pop(0)


async def dead_letters(backbone: Backbone) -> list[nats.aio.msg.Msg]:
    """Return what lies in the dead-letter stream."""
    client = await nats.connect(
        f"tls://127.0.0.1:{backbone.nats.port}", user="test", tls=client_context(backbone.tls("test")),
        password=backbone.password_file("test").read_text().strip(),
    )  # fmt: skip
    try:
        jetstream = client.jetstream()
        count = (await jetstream.stream_info("DEADLETTER")).state.messages
        if not count:
            return []
        subscription = await jetstream.subscribe("lykta.v1.*.deadletter.>", ordered_consumer=True)
        return [await subscription.next_msg(timeout=5) for _ in range(count)]
    finally:
        await client.close()


async def exchange(backbone: Backbone, handler: Recorder, *events: CloudEvent, expected: int) -> Metrics:
    """Publish as ingest and consume as storage until the handler was called `expected` times."""
    async with (
        open_platform("storage") as platform,
        open_messaging(
            backbone.settings(Plain, "storage"),
            platform.telemetry,
            lambda messaging: messaging.consume(STORAGE_FOOTAGE, handler),
            metrics=platform.metrics,
        ),
        open_messaging(backbone.settings(Plain, "ingest"), platform.telemetry) as ingest,
    ):
        assert platform.metrics.registry.get_sample_value("lykta_storage_nats_connected") == 1
        for event in events:
            await ingest.publish(event)
        await eventually(lambda: len(handler.seen) >= expected, 30, f"{expected} deliveries")
        await asyncio.sleep(0.3)
    return platform.metrics


async def test_a_repeated_publication_is_delivered_once(nats_backbone: Backbone) -> None:
    """The event's id makes a second publication harmless."""
    handler = Recorder()
    await exchange(nats_backbone, handler, gap("g1"), gap("g1"), gap("g2"), expected=2)
    assert sorted(handler.seen) == ["g1", "g2"]


async def test_a_failed_message_comes_again(nats_backbone: Backbone) -> None:
    """An unknown error, and an error that may pass, both lead to another delivery; nothing is dropped."""
    handler = Recorder(ValueError("a defect"), PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "away"))
    await exchange(nats_backbone, handler, gap("g1"), expected=3)
    assert handler.seen == ["g1", "g1", "g1"]
    assert await dead_letters(nats_backbone) == []


async def test_an_outage_uses_up_no_message_and_a_defect_does(
    nats_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a dependency is away the message stays; a handler that keeps failing gives it up at the limit."""
    monkeypatch.setattr(consume, "RETRY_FIRST", 0.01)
    away = PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "away")
    limit = STORAGE_FOOTAGE.max_failures
    outage = Recorder(*[away] * (2 * limit))
    await exchange(nats_backbone, outage, gap("g1"), expected=2 * limit + 1)
    assert await dead_letters(nats_backbone) == []
    defect = Recorder(*[ValueError("a defect")] * (2 * limit))
    await exchange(nats_backbone, defect, gap("g2"), expected=limit)
    assert defect.seen == ["g2"] * limit
    [letter] = await dead_letters(nats_backbone)
    assert letter.headers is not None
    assert letter.headers["Lykta-Reason"] == "INTERNAL"


async def test_a_message_for_another_replica_reaches_it_soon(nats_backbone: Backbone) -> None:
    """A replica that may not have any message costs none of them more than moments, and none is given up for it."""
    other, right = Recorder(*[AnotherReplicaError("of the other")] * 10_000), Recorder()
    facts = [gap(f"g{number}") for number in range(40)]
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(open_platform("storage"))
        for number, handler in enumerate((other, right)):
            settings = nats_backbone.settings(Plain, "storage", str(number))
            register = partial(Messaging.consume, durable=STORAGE_FOOTAGE, handler=handler)
            await stack.enter_async_context(open_messaging(settings, platform.telemetry, register))
        ingest = await stack.enter_async_context(
            open_messaging(nats_backbone.settings(Plain, "ingest"), platform.telemetry)
        )
        for fact in facts:
            await ingest.publish(fact)
        await eventually(lambda: len(right.seen) == len(facts), 10, "every fact reaches the right replica")
        assert other.seen, "the other replica was asked nothing"
    assert sorted(right.seen) == sorted(fact.id for fact in facts)
    assert await dead_letters(nats_backbone) == []


async def test_a_message_that_can_never_be_handled_is_kept_with_the_reason(nats_backbone: Backbone) -> None:
    """A permanent error moves the message to the dead letters of its controller, with reason and text, and counts."""
    handler = Recorder(PlatformError(Code.INVALID_ARGUMENT, "OBJECT_MISSING", "the object is missing"))
    metrics = await exchange(nats_backbone, handler, gap("g1"), gap("g2"), expected=2)
    [letter] = await dead_letters(nats_backbone)
    assert letter.subject == "lykta.v1.ks.deadletter.FOOTAGE.storage-footage"
    assert letter.headers is not None
    assert letter.headers["Lykta-Reason"] == "OBJECT_MISSING"
    assert letter.data == gap("g1").to_json()
    labels = {"durable": "storage-footage", "reason": "OBJECT_MISSING"}
    assert metrics.registry.get_sample_value("lykta_storage_dead_letters_total", labels) == 1
    assert metrics.registry.get_sample_value("lykta_storage_nats_connected") == 0


async def test_poison_and_a_future_schema_reach_no_handler(nats_backbone: Backbone) -> None:
    """Bytes that are no event, and events of a newer schema, are dead-lettered; the queue goes on."""
    handler = Recorder()
    future = gap("g1").model_copy(update={"type": "lykta.gap.declared.v9", "id": "g9"})
    async with (
        open_platform("storage") as platform,
        open_messaging(
            nats_backbone.settings(Plain, "storage"),
            platform.telemetry,
            lambda messaging: messaging.consume(STORAGE_FOOTAGE, handler),
        ),
        open_messaging(nats_backbone.settings(Plain, "ingest"), platform.telemetry) as ingest,
    ):
        await ingest.publish_raw("lykta.v1.ks.gap.declared.torg-1", b"\x00poison", {})
        await ingest.publish(future)
        await ingest.publish(gap("g2"))
        await eventually(lambda: handler.seen == ["g2"], 10)

        async def both() -> bool:
            return len(await dead_letters(nats_backbone)) == 2

        await eventually(both, 10, "two dead letters")
    reasons = {letter.headers["Lykta-Reason"] for letter in await dead_letters(nats_backbone) if letter.headers}
    assert reasons == {"INVALID_FIELD", "SCHEMA_VERSION"}


async def test_lost_data_stops_the_consumer_and_its_health(nats_backbone: Backbone) -> None:
    """DATA_LOSS handles nothing more, keeps every message, and turns the service unready."""
    handler = Recorder(PlatformError(Code.DATA_LOSS, "INTEGRITY", "the log does not match"))
    async with (
        open_platform("storage") as platform,
        open_messaging(
            nats_backbone.settings(Plain, "storage"),
            platform.telemetry,
            lambda messaging: messaging.consume(STORAGE_FOOTAGE, handler),
        ) as storage,
        open_messaging(nats_backbone.settings(Plain, "ingest"), platform.telemetry) as ingest,
    ):
        await ingest.publish(gap("g1"))
        await eventually(lambda: storage.halted, 10)
        await ingest.publish(gap("g2"))
        with pytest.raises(PlatformError, match="does not match"):
            await storage.ping()
        await asyncio.sleep(0.5)
    assert handler.seen == ["g1"]
    assert await dead_letters(nats_backbone) == []


async def test_consumption_and_watches_survive_a_killed_server(nats_backbone: Backbone) -> None:
    """After `kill -9` and a new start, facts are consumed and changed keys are seen as before."""
    handler, seen = Recorder(), []

    async def note(entry: KvEntry) -> None:
        seen.append(entry.key)

    async with (
        open_platform("storage") as platform,
        open_messaging(
            nats_backbone.settings(Plain, "storage"),
            platform.telemetry,
            lambda messaging: messaging.consume(STORAGE_FOOTAGE, handler),
        ) as storage,
        open_messaging(nats_backbone.settings(Plain, "ingest"), platform.telemetry) as ingest,
        asyncio.TaskGroup() as tasks,
    ):
        keys = await storage.bucket("media-keys")
        watching = tasks.create_task((await ingest.bucket("media-keys")).watch(note))
        await keys.put("ks.torg-1.a", b"1")
        await ingest.publish(gap("g1"))
        await eventually(lambda: seen == ["ks.torg-1.a"] and handler.seen == ["g1"])
        await nats_backbone.nats.kill()
        await eventually(lambda: not ingest.connected)
        with pytest.raises(PlatformError) as caught:
            await ingest.publish(gap("g2"))
        assert caught.value.code is Code.UNAVAILABLE
        await nats_backbone.nats.start()
        await eventually(lambda: ingest.connected and storage.connected, 20)
        await keys.put("ks.torg-1.b", b"1")
        await ingest.publish(gap("g2"))
        await eventually(lambda: seen == ["ks.torg-1.a", "ks.torg-1.b"] and handler.seen == ["g1", "g2"], 20)
        watching.cancel()


async def test_a_service_may_do_only_what_the_table_says(nats_backbone: Backbone) -> None:
    """Ingest can neither write mandates nor state another service's facts; the server refuses."""
    async with (
        open_platform("ingest") as platform,
        open_messaging(nats_backbone.settings(Plain, "ingest"), platform.telemetry) as ingest,
    ):
        mandates = await ingest.bucket("mandates")
        with pytest.raises(PlatformError):
            await mandates.put("ks.torg-1", b"forged")
        with pytest.raises(PlatformError):
            await ingest.publish_raw("lykta.v1.ks.grant.issued", b"{}", {})


async def test_only_one_of_two_can_create_a_key(nats_backbone: Backbone) -> None:
    """A lost race is told as ABORTED CONFLICT, and the revision fences a late writer."""
    async with (
        open_platform("ingest") as platform,
        open_messaging(nats_backbone.settings(Plain, "ingest"), platform.telemetry) as ingest,
    ):
        leases = await ingest.bucket("leases")
        first = await leases.create("ks.torg-1", b"a")
        with pytest.raises(PlatformError, match="same time"):
            await leases.create("ks.torg-1", b"b")
        await leases.update("ks.torg-1", b"a2", first)
        with pytest.raises(PlatformError, match="same time"):
            await leases.update("ks.torg-1", b"late", first)
        await leases.delete("ks.torg-1")
        assert await leases.get("ks.torg-1") is None
        assert await leases.create("ks.torg-1", b"c") > first


async def test_parts_flow_on_core_nats_with_their_headers(nats_backbone: Backbone) -> None:
    """A part reaches a present listener with its headers."""
    parts: list[CoreMessage] = []

    async def take(message: CoreMessage) -> None:
        parts.append(message)

    async with (
        open_platform("x") as platform,
        open_messaging(nats_backbone.settings(Plain, "analytics"), platform.telemetry) as analytics,
        open_messaging(nats_backbone.settings(Plain, "ingest"), platform.telemetry) as ingest,
        analytics.subscribe_core("lykta.media.v1.ks.torg-1.main", take),
    ):
        await analytics.ping()
        await ingest.publish_core("lykta.media.v1.ks.torg-1.main", b"part", {"Lykta-Key": "1"})
        await eventually(lambda: parts)
    assert (parts[0].payload, parts[0].headers["Lykta-Key"]) == (b"part", "1")


async def test_a_connection_can_be_awaited_in_the_background(nats_backbone: Backbone) -> None:
    """With `wait=False` a service starts without NATS and is joined to it later."""
    await nats_backbone.nats.kill()
    async with (
        open_platform("ingest") as platform,
        open_messaging(nats_backbone.settings(Plain, "ingest"), platform.telemetry, wait=False) as ingest,
    ):
        assert not ingest.connected
        with pytest.raises(PlatformError):
            await ingest.ping()
        await nats_backbone.nats.start()
        await eventually(lambda: ingest.connected, 20)
        await ingest.ping()
