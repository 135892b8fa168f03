"""The catalogue from events and from the bucket: idempotent, complete, and careful about what it is told."""

import asyncio
import os
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta_common.errors import PlatformError
from lykta_contracts.events import GapDeclared, SegmentRecorded, new_event
from lykta_contracts.media import GapCause
from lykta_contracts.streams import STORAGE_FOOTAGE
from lykta_storage.app import Storage
from lykta_storage.store.tables import fragments, gaps, segments
from lykta_testing.platform import eventually
from sqlalchemy import select

from .conftest import CAMERA, CONTROLLER, START, World, bearer


async def rows(storage: Storage, *tables: Any) -> list[list[Any]]:
    """Return every row of the tables, in the order of their keys."""
    async with storage.outside.database.reading() as connection:
        return [
            [tuple(row) for row in (await connection.execute(select(t).order_by(*t.primary_key.columns))).all()]
            for t in tables
        ]


async def test_a_recorded_segment_is_catalogued_and_confirmed(running: World) -> None:
    """An event makes rows and, with them, the event that lets the recorder free its copy."""
    (made,) = await running.recorded()
    (stored,) = await running.facts("segment.stored")
    assert stored.data == {"controller": CONTROLLER, "camera": CAMERA, "segment_id": made.index.segment_id}
    assert stored.subject == f"lykta.v1.{CONTROLLER}.segment.stored.{CAMERA}"


async def test_duplicates_change_nothing(running: World) -> None:
    """The same event three times is one segment and one confirmation."""
    (made,) = await running.recorded()
    await made.publish(again="-again")
    await made.publish(again="-and-again")
    last = await running.recorder(epoch=made.index.epoch + 1).segment(START + timedelta(seconds=10))
    await last.publish()
    await running.facts("segment.stored", 2)
    reply = await running.tool.catalogue.ListFootage(_list_request(), **bearer())
    assert [found.segment_id for found in reply.segments] == [made.index.segment_id, last.index.segment_id]
    assert [found.object_key for found in reply.segments] == [made.key, last.key]
    assert len(await running.facts("segment.stored", 2)) == 2


async def test_an_event_before_its_object_waits_for_it(running: World) -> None:
    """A segment whose object comes later than its event is catalogued when it is there."""
    await running.order()
    made = await running.recorder().segment(START, upload=False)
    await made.publish()
    await made.upload()
    await running.facts("segment.stored")


async def test_an_event_for_a_missing_object_is_dead_lettered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that never comes leaves a dead letter that says so, and no row."""
    monkeypatch.setattr("lykta_storage.app.STORAGE_FOOTAGE", replace(STORAGE_FOOTAGE, max_failures=2))
    async with world.service():
        await world.order()
        made = await world.recorder().segment(START, upload=False)
        await made.publish()
        (letter,) = await world.dead_letters()
        assert letter.headers["Lykta-Reason"] == "OBJECT_MISSING"
        assert (await world.stubs.catalogue.ListFootage(_list_request(), **bearer())).segments == []


async def test_a_future_schema_version_is_dead_lettered(running: World) -> None:
    """An event of a version this release does not know is kept as a dead letter, whole."""
    await running.order()
    made = await running.recorder().segment(START)
    event = new_event(made.fact, "future", "/lykta/test/0", running.clock.now())
    raw = event.model_copy(update={"type": "lykta.segment.recorded.v9"}).to_json()
    await running.nats.jetstream().publish(event.subject, raw)
    (letter,) = await running.dead_letters()
    assert letter.headers["Lykta-Reason"] == "SCHEMA_VERSION"
    assert letter.data == raw


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": "footage/ks/torg-1/2026/06/01/12/other"}, "INVALID_FIELD"),
        ({"bucket": "another"}, "INVALID_FIELD"),
        ({"size_bytes": 100_000}, "INTEGRITY"),
        ({"size_bytes": 10}, "INVALID_FIELD"),
        ({"index": {"controller": "k*"}}, "INVALID_FIELD"),
        ({"index": {"hour": "20260601T11"}}, "INVALID_FIELD"),
        ({"index": {"epoch": 5}}, "INVALID_FIELD"),
        ({"seal": {"first_leaf": 1}}, "INVALID_FIELD"),
    ],
)
async def test_a_segment_that_contradicts_itself_is_refused(
    running: World, changes: dict[str, Any], reason: str
) -> None:
    """An index that does not fit its object or itself is dead-lettered with its reason."""
    await running.order()
    fact = (await running.recorder().segment(START)).fact
    index = fact.index.model_copy(update=changes.pop("index", {}))
    index = index.model_copy(update={"seal": index.seal.model_copy(update=changes.pop("seal", {}))})
    broken = SegmentRecorded.model_construct(**{**dict(fact), "index": index, **changes})
    await running.publish(broken, "broken")
    (letter,) = await running.dead_letters()
    assert letter.headers["Lykta-Reason"] == reason


async def test_another_segment_under_the_same_name_is_refused(running: World) -> None:
    """What is in the catalogue is never replaced: other content under a known id is a conflict."""
    (made,) = await running.recorded()
    other = made.fact.model_copy(update={"index": made.index.model_copy(update={"width": 1})})
    await running.publish(other, "other")
    (letter,) = await running.dead_letters()
    assert letter.headers["Lykta-Reason"] == "CONFLICT"


async def test_gaps_are_kept_once(running: World) -> None:
    """A declared gap is listed with its cause, once, however often it is declared."""
    gap = GapDeclared(
        gap_id="gap_1", controller=CONTROLLER, camera=CAMERA, from_at=START, to_at=START + timedelta(seconds=9),
        cause=GapCause.NETWORK,
    )  # fmt: skip
    await running.publish(gap, "gap-1")
    await running.publish(gap, "gap-2")

    async def listed() -> Any:
        return (await running.stubs.catalogue.ListGaps(_gaps_request(), **bearer())).gaps

    (found,) = await eventually(listed, what="the gap")
    assert (found.gap_id, found.cause) == ("gap_1", 2)
    await running.publish(gap.model_copy(update={"to_at": START}), "gap-3")
    assert (await running.dead_letters())[0].headers["Lykta-Reason"] == "INVALID_FIELD"


async def test_the_catalogue_is_rebuilt_from_the_bucket_alone(world: World) -> None:
    """A fresh database filled from the bucket's trailers equals the one that events built."""
    async with world.service():
        await world.recorded(START, START + timedelta(seconds=6), START + timedelta(minutes=31))
    await world.bucket.put("footage/ks/torg-1/2026/06/01/12/rubbish", b"no trailer here")
    async with world.wired() as built:
        from_events = await rows(built, segments, fragments, gaps)
    fresh = world.backbone.database_url("fresh")
    async with world.wired(database_url=fresh) as storage:
        first = await storage.catalogue.rebuild()
        assert (first.segments, first.refused) == (3, 1)
        assert await storage.catalogue.rebuild() == first
        assert await rows(storage, segments, fragments, gaps) == from_events


async def test_an_object_without_an_event_is_found(running: World) -> None:
    """A segment whose event was lost is catalogued from its object, and its recorder is told."""
    (first,) = await running.recorded()
    lost = await running.recorder(run="02RUN", epoch=first.index.epoch + 1).segment(START + timedelta(seconds=6))
    await running.bucket.put("footage/ks/torg-1/2026/06/01/12/rubbish", b"no trailer here")
    await running.clock.advance(timedelta(minutes=11))
    stored = await running.facts("segment.stored", 2)
    assert stored[-1].data["segment_id"] == lost.index.segment_id
    await lost.publish()
    assert await running.stubs.catalogue.ListFootage(_list_request(), **bearer())
    async with running.wired() as storage:
        assert await storage.catalogue.reconcile(timedelta(hours=2)) == 0


async def test_the_command_rebuilds(world: World) -> None:
    """`python -m lykta_storage rebuild` says what it found, and fails when it had to refuse an object."""
    async with world.service():
        await world.recorded()
    settings = world.settings(database_url=world.backbone.database_url("fresh"))
    environment = {
        f"LYKTA_STORAGE__{name.upper()}": str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in settings.model_dump().items()
    }

    async def rebuild() -> tuple[int | None, bytes]:
        command = (sys.executable, "-m", "lykta_storage", "rebuild")
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, env=os.environ | environment)
        output, _ = await process.communicate()
        return process.returncode, output

    assert await rebuild() == (0, b"segments 1, refused 0\n")
    await world.bucket.put("footage/ks/torg-1/2026/06/01/12/rubbish", b"no trailer here")
    assert await rebuild() == (1, b"segments 1, refused 1\n")


async def test_a_long_trailer_is_read_whole(world: World) -> None:
    """A rebuild reads a trailer that is longer than its first guess."""
    async with world.service():
        await world.order()
        made = await world.recorder().segment(START, fragments=200)
    assert len(made.payload) - made.index.fragments[-1].offset > 32 * 1024
    fresh = world.backbone.database_url("fresh")
    async with world.wired(database_url=fresh) as storage:
        assert (await storage.catalogue.rebuild()).segments == 1


async def test_a_store_that_is_away_is_no_missing_object(world: World) -> None:
    """While the store does not answer, an event is to be tried again, and is not said to miss its object."""
    async with world.service():
        await world.order()
        made = await world.recorder().segment(START)
    async with world.wired(s3_endpoint="http://127.0.0.1:9") as storage:
        event = new_event(made.fact, "x", "/lykta/test/0", world.clock.now())
        with pytest.raises(PlatformError) as caught:
            await storage.catalogue.on_event(event, made.fact)
    assert (caught.value.reason, caught.value.retryable) == ("DEPENDENCY_UNAVAILABLE", True)


def _list_request() -> Any:

    request = pb2.ListFootageRequest(controller=CONTROLLER, camera=CAMERA)
    request.to.FromDatetime(START + timedelta(hours=1))
    return request


def _gaps_request() -> Any:

    request = pb2.ListGapsRequest(controller=CONTROLLER, camera=CAMERA)
    request.to.FromDatetime(START + timedelta(hours=1))
    return request
