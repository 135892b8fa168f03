"""Deletion on time: key, objects, receipt, in this order, whatever breaks in between."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import grpc
import pyrage
import pytest
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta_common.errors import PlatformError
from lykta_common.objectstore import open_admin, open_bucket
from lykta_contracts.instants import to_ms
from lykta_storage.domain.deletion import segments_digest
from lykta_storage.domain.footage import CameraHour
from lykta_storage.retention import Scope
from lykta_storage.store.versions import ObjectVersions
from lykta_testing import postgres
from lykta_testing.platform import eventually
from minio import Minio
from minio.commonconfig import ENABLED
from minio.versioningconfig import VersioningConfig

from .conftest import CAMERA, CONTROLLER, START, World, bearer, reason_of

HOUR = CameraHour(CONTROLLER, CAMERA, "20260601T12")
END = datetime.fromisoformat("2026-06-01T13:00:00Z")
DUE = END + timedelta(hours=72)
EXPORT = pb2.ExportHourKeyRequest(**HOUR._asdict())


def run_as_of(instant: datetime | None = None, **more: str) -> Any:
    """Return a request to run retention, with a fast clock when an instant is given."""
    request = pb2.RunRequest(**more)
    if instant is not None:
        request.as_of.FromDatetime(instant)
    return request


async def keys_left(world: World) -> list[str]:
    """Return every object under footage/."""
    return [found.key async for found in world.bucket.list("footage/")]


async def test_an_hour_is_deleted_when_its_last_minute_is_due(running: World) -> None:
    """At 71:59:59 after the hour nothing is gone; at 72 h key and objects are, with receipt and event."""
    (made,) = await running.recorded()
    identity = (await running.tool.keys.ExportHourKey(EXPORT)).identity
    assert (await running.tool.retention.Run(run_as_of(DUE - timedelta(seconds=1)))).deletions == []
    assert await keys_left(running) == [made.key]
    (deletion,) = (await running.tool.retention.Run(run_as_of(DUE))).deletions
    assert (deletion.camera, deletion.hour, deletion.segments) == (CAMERA, "20260601T12", 1)
    assert await keys_left(running) == []
    assert await running.tool_key_reason(HOUR) == "NOT_FOUND"
    receipt = running.log.records[deletion.audit_entry_id]
    assert receipt.action == "footage.hour.deleted"
    assert receipt.details["segment_ids_sha256"] == segments_digest([made.index.segment_id])
    assert receipt.details["policy"] == "retention 72 h"
    assert receipt.details["recipient"] == str(pyrage.x25519.Identity.from_str(identity).to_public())
    (fact,) = await running.facts("segment.deleted")
    assert fact.data["segment_ids"] == [made.index.segment_id]
    assert fact.data["audit_entry_id"] == deletion.audit_entry_id


async def test_the_loop_deletes_by_the_clock(running: World) -> None:
    """Nobody has to ask: when the clock passes the limit, the next round deletes."""
    await running.recorded()
    await running.clock.advance(DUE - START + timedelta(minutes=2))
    await running.facts("segment.deleted")
    assert await keys_left(running) == []


async def test_a_destroyed_key_is_nowhere_on_the_disk(running: World) -> None:
    """After deletion no file of the database holds the wrapped key, and a copy of the object stays noise.

    PostgreSQL keeps old row versions until VACUUM (README), so there only the second half is looked at.
    """
    (made,) = await running.recorded()
    async with running.wired() as storage:
        wrapped = await storage.retention._hours.wrapped_key(HOUR)
    assert wrapped is not None
    folder = running.backbone.directory / "state" / "storage-0"
    assert postgres.wanted() or wrapped in b"".join(path.read_bytes() for path in folder.glob("rows.db*"))
    await running.tool.retention.Run(run_as_of(DUE))
    assert wrapped not in b"".join(path.read_bytes() for path in folder.glob("rows.db*"))
    await running.bucket.put(made.key, made.payload)
    items = await running.open().all()
    assert [(item.WhichOneof("item"), item.edge.reason) for item in items] == [("edge", 3)]


async def test_the_retention_is_that_of_the_mandate(running: World) -> None:
    """A mandate of 24 h is obeyed after 24 h, also when the next version allows longer."""
    await running.order(retention_hours=24)
    made = await running.recorder().segment(START)
    await made.publish()
    await running.facts("segment.stored")
    await running.order(version=2, retention_hours=72)
    await running.recipient("20260601T14")
    (deletion,) = (await running.tool.retention.Run(run_as_of(END + timedelta(hours=24)))).deletions
    assert running.log.records[deletion.audit_entry_id].details["policy"] == "retention 24 h"


async def test_hours_to_come_are_never_touched(running: World) -> None:
    """A fast clock far ahead destroys no key of an hour that has not begun, and logs no empty hours."""
    await running.recorded()
    await running.recipient("20260601T14")
    reply = await running.tool.retention.Run(run_as_of(START + timedelta(days=400)))
    assert [deletion.hour for deletion in reply.deletions] == ["20260601T12"]
    identity = await running.tool.keys.ExportHourKey(
        pb2.ExportHourKeyRequest(controller=CONTROLLER, camera=CAMERA, hour="20260601T13")
    )
    assert identity.identity.startswith("AGE-SECRET-KEY-1")


async def test_an_hour_without_footage_goes_in_silence(running: World) -> None:
    """The key of an hour in which nothing was recorded is destroyed without receipt or event."""
    await running.order()
    await running.recipient("20260601T12")
    assert (await running.tool.retention.Run(run_as_of(DUE))).deletions == []
    assert await running.tool_key_reason(HOUR) == "NOT_FOUND"
    assert running.log.of("footage.hour.deleted") == []


async def test_without_the_log_the_deletion_waits_for_its_receipt(running: World) -> None:
    """With audit away the key and the objects go on time; receipt and event follow when it is back."""
    await running.recorded()
    running.log.away = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.tool.retention.Run(run_as_of(DUE))
    assert reason_of(caught.value) == "AUDIT_UNAVAILABLE"
    assert await keys_left(running) == []
    assert await running.tool_key_reason(HOUR) == "NOT_FOUND"
    running.log.away = False
    await running.restart()
    await running.facts("segment.deleted")
    assert len(running.log.of("footage.hour.deleted")) == 1


async def test_a_crash_between_the_steps_is_resumed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that stopped after the key, or half-way through the objects, ends with one whole receipt."""
    async with world.service():
        made = await world.recorded(START, START + timedelta(seconds=6))
    names = [segment.index.segment_id for segment in made]

    async def stop_half_way(self: ObjectVersions, prefix: str) -> None:
        await self.delete(made[0].key)
        raise PlatformError("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE", "power cut")  # type: ignore[arg-type]

    async with world.wired() as storage:
        with monkeypatch.context() as patch:
            patch.setattr(ObjectVersions, "delete_under", stop_half_way)
            with pytest.raises(PlatformError):
                await storage.retention.run(DUE)
    assert await keys_left(world) == [made[1].key]
    async with world.service():
        await world.facts("segment.deleted")
    (receipt,) = world.log.of("footage.hour.deleted")
    assert receipt.details["segment_ids_sha256"] == segments_digest(names)


async def test_what_turns_up_late_is_deleted_too(running: World) -> None:
    """An object uploaded after its hour was destroyed is deleted, logged, and its recorder may free its copy."""
    (made,) = await running.recorded()
    late = await running.recorder(run="02RUN", epoch=made.index.epoch + 5).segment(START, upload=False)
    await running.tool.retention.Run(run_as_of(DUE))
    await late.upload()
    await late.publish()
    await running.facts("segment.stored", 2)
    await running.facts("segment.deleted", 2)
    assert await keys_left(running) == []
    receipts = running.log.of("footage.hour.deleted")
    assert [receipt.details.get("late_segment", "") for receipt in receipts] == ["", late.index.segment_id]


async def test_a_replayed_event_of_a_deleted_segment_does_nothing(running: World) -> None:
    """An event redelivered after the deletion is acknowledged: no dead letter and no second receipt."""
    (made,) = await running.recorded()
    await running.tool.retention.Run(run_as_of(DUE))
    await made.publish(again="-again")
    await running.recorded(START + timedelta(hours=1))
    await running.facts("segment.stored", 2)
    assert len(running.log.of("footage.hour.deleted")) == 1
    assert (await running.nats.jetstream().stream_info("DEADLETTER")).state.messages == 0


async def test_every_version_is_deleted(running: World) -> None:
    """Where the bucket keeps versions, old ones and delete markers go as well."""
    s3 = running.backbone.s3_settings()
    admin: Minio = open_admin(s3)
    if not await asyncio.to_thread(admin.bucket_exists, "versioned"):
        await asyncio.to_thread(admin.make_bucket, "versioned")
        await asyncio.to_thread(admin.set_bucket_versioning, "versioned", VersioningConfig(ENABLED))
    bucket, versions = open_bucket(s3, "versioned"), ObjectVersions(admin, "versioned")
    for content in (b"one", b"two"):
        await bucket.put("footage/a/1", content)
    await bucket.put("footage/ab/1", b"other")
    await bucket.delete("footage/a/1")
    assert await versions.keys("footage/a/") == ["footage/a/1"]
    await versions.delete_under("footage/a/")
    assert await versions.keys("footage/a/") == []
    assert await versions.keys("footage/") == ["footage/ab/1"]
    await versions.delete("footage/ab/1")
    assert await versions.keys("footage/") == []


async def test_a_run_can_be_for_one_camera(running: World) -> None:
    """A run for another controller or camera leaves this one's footage alone."""
    await running.recorded()
    for scope in ({"controller": "bolag"}, {"controller": CONTROLLER, "camera": "torg-2"}):
        assert (await running.tool.retention.Run(run_as_of(DUE, **scope))).deletions == []
    assert len((await running.tool.retention.Run(run_as_of(DUE, controller=CONTROLLER))).deletions) == 1
    assert Scope("", "").covers(HOUR)


async def test_a_person_needs_the_right_and_names_a_controller(running: World) -> None:
    """A person with the action runs retention for the own controller; others get NOT_FOUND or a refusal."""
    own = run_as_of(DUE, controller=CONTROLLER)
    assert (await running.stubs.retention.Run(own, **bearer())).deletions == []
    assert running.policy.asked[-1].action == "retention.run"
    for request, who, refusal, reason in (
        (run_as_of(DUE), "anna-token", "", "INVALID_FIELD"),
        (own, "eva-token", "", "NOT_FOUND"),
        (own, "anna-token", "ROLE", "ROLE"),
        (run_as_of(DUE, controller="k*"), "anna-token", "", "NOT_FOUND"),
    ):
        running.policy.refusal = refusal
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.stubs.retention.Run(request, **bearer(who))
        assert reason_of(caught.value) == reason


async def test_production_has_no_fast_clock(world: World) -> None:
    """In the production profile a run obeys its own clock only."""
    async with world.service(profile="production"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await world.tool.retention.Run(run_as_of(DUE))
        assert reason_of(caught.value) == "PROHIBITED"
        assert (await world.tool.retention.Run(run_as_of())).deletions == []


async def test_footage_that_is_deleted_while_it_is_read_becomes_an_edge(running: World) -> None:
    """A reader whose next fragment's hour is destroyed meanwhile is told so, not alarmed."""
    await running.recorded()
    playback = await running.open().open()
    await playback.next()
    await playback.next()
    await running.tool.retention.Run(run_as_of(DUE))
    await playback.credit(2)
    kinds = []
    while (item := await playback.next()) is not None:
        kinds.append(item.WhichOneof("item"))
    assert kinds[-1] == "edge"
    assert running.log.of("footage.integrity.failed") == []
    await eventually(lambda: running.log.of("footage.playback.closed"))
    assert to_ms(DUE) > 0
