"""The incident book on a real database: told once, never doubled, never reopened."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lykta_analytics.domain import Region, Sighting, Step, Track
from lykta_analytics.incidents import Scene
from lykta_analytics.store import MIGRATIONS, OUTBOX, BookRow, BookStore, OrderArchive
from lykta_analytics.usecases import IncidentBook, told_incident
from lykta_common.database import Database, migrate, open_database
from lykta_common.outbox import Outbox
from lykta_contracts.events import CloudEvent
from lykta_contracts.incidents import ModelRef, Producer
from lykta_contracts.mandates import MandateOrder
from sqlalchemy import select

START_MS = 1_780_315_200_000
KEY = "person-in-zone:torget"
OPEN = Step("open", KEY, "person-in-zone", "medium", START_MS, START_MS + 400, zones=("torget",), counts={"person": 1})
CLOSE = replace(OPEN, kind="close", observed_ms=START_MS + 9_000, ended_ms=START_MS + 6_000, changed=("ended_at",))


class Desk:
    """A book, its database, and what it told."""

    def __init__(self, database: Database, clock: Any) -> None:
        self.database = database
        self.told: list[BookRow] = []
        # The outbox is never run here, so that it needs no messaging and its rows stay to be read.
        self.store = BookStore(database, Outbox(database, None, OUTBOX))  # type: ignore[arg-type]
        self.book = IncidentBook(self.store, clock, "/lykta/analytics/0", (self.told.append,))

    async def events(self) -> list[CloudEvent]:
        """What waits in the outbox, in order."""
        async with self.database.reading() as connection:
            rows = (await connection.execute(select(OUTBOX).order_by(OUTBOX.c.sequence))).all()
        return [CloudEvent.from_json(row.event) for row in rows]


@pytest.fixture
async def desk(tmp_path: Path, clock: Any) -> AsyncIterator[Desk]:
    """An empty book on SQLite."""
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/rows.db", MIGRATIONS) as database:
        yield Desk(database, clock)


@pytest.fixture
def scene(make_mandate: Callable[..., Any]) -> Scene:
    """A camera under a mandate."""
    order = MandateOrder(
        controller="ks", camera="torg-1", serial=1, status="live", mandate=make_mandate(),
        camera_address="rtsp://127.0.0.1/", issued_at=datetime(2026, 6, 1, tzinfo=UTC),
    )  # fmt: skip
    model = ModelRef(name="m", version="1", sha256="0" * 64, runtime="openvino")
    return Scene(order, (768, 576), model, Producer(service="analytics", version="0"))


async def test_each_step_is_one_event_with_an_id_that_repeats(desk: Desk, scene: Scene) -> None:
    """Opening, change and end are events 1, 2, 3 of one incident, in the same transaction as its row."""
    await desk.book.record(scene, OPEN, "00-a-b-01")
    await desk.book.record(scene, replace(OPEN, kind="update", changed=("counts",)), "00-a-b-01")
    row = await desk.book.record(scene, CLOSE, "00-a-b-01")
    assert row is not None
    events = await desk.events()
    assert [event.id for event in events] == [f"{row.incident_id}.{number}" for number in (1, 2, 3)]
    assert [event.type for event in events] == [f"lykta.incident.{what}.v1" for what in ("opened", "updated", "closed")]
    assert [told.step for told in desk.told] == [1, 2, 3]
    assert (row.is_open, row.last_seen_ms) == (False, START_MS + 6_000)


async def test_an_incident_is_never_doubled(desk: Desk, scene: Scene) -> None:
    """A second opening of the same rule, as after a lost restart, goes on with the first incident."""
    first = await desk.book.record(scene, OPEN)
    second = await desk.book.record(scene, replace(OPEN, started_ms=START_MS + 5_000, observed_ms=START_MS + 5_400))
    assert first is not None
    assert second is not None
    assert second.incident_id == first.incident_id
    assert (second.started_ms, told_incident(second).lifecycle) == (START_MS, "update")


async def test_two_writers_cannot_open_it_twice(desk: Desk, scene: Scene) -> None:
    """The database itself refuses a second open incident of one rule, and its event with it."""
    first = await desk.book.record(scene, OPEN)
    assert first is not None
    rival = replace(first, incident_id="inc_rival", event=first.event.model_copy(update={"id": "inc_rival.1"}))
    assert not await desk.store.add(rival, [rival.event])
    assert len(await desk.events()) == 1


async def test_what_is_closed_stays_closed(desk: Desk, scene: Scene) -> None:
    """A late update or second end of a closed incident is not told; a new opening is a new incident."""
    first = await desk.book.record(scene, OPEN)
    await desk.book.record(scene, CLOSE)
    assert await desk.book.record(scene, CLOSE) is None
    assert await desk.book.record(scene, replace(OPEN, kind="update")) is None
    again = await desk.book.record(scene, OPEN)
    assert first is not None
    assert again is not None
    assert again.incident_id != first.incident_id


async def test_the_end_keeps_what_was_seen(desk: Desk, scene: Scene) -> None:
    """A closing step sees nobody; the objects told last and the highest confidence stand."""
    track = Track("t-1", "person", Region(0.1, 0.1, 0.2, 0.4), 0.7, 0.9, START_MS, START_MS)
    await desk.book.record(scene, replace(OPEN, sightings=(Sighting(track, ("torget",), 0),)))
    row = await desk.book.record(scene, CLOSE)
    assert row is not None
    assert row.confidence == 0.9
    assert [item.track_id for item in told_incident(row).objects] == ["t-1"]


async def test_touching_moves_the_last_sight_forward_only(desk: Desk, scene: Scene) -> None:
    """What a restart resumes from is the newest sight that was noted."""
    await desk.book.record(scene, OPEN)
    await desk.store.touch("ks", "torg-1", {KEY: START_MS + 8_000})
    await desk.store.touch("ks", "torg-1", {KEY: START_MS + 2_000})
    resumed = await desk.book.resume("ks", "torg-1")
    assert resumed[KEY].last_seen_ms == START_MS + 8_000
    assert (resumed[KEY].started_ms, resumed[KEY].counts, resumed[KEY].zones) == (START_MS, {"person": 1}, ("torget",))


async def test_covered_cameras_are_left_alone(desk: Desk, scene: Scene) -> None:
    """Ending what has no mandate any more touches no camera that has one."""
    await desk.book.record(scene, OPEN)
    assert await desk.book.close_where_not({("ks", "torg-1")}, "mandate_ended") == 0
    assert await desk.book.close_where_not(set(), "mandate_ended") == 1
    assert await desk.book.close_where_not(set(), "mandate_ended") == 0


async def test_the_picture_s_health_is_told_twice_over(desk: Desk, scene: Scene) -> None:
    """A black picture is an incident and a camera fact; the fact of its end says restored; neither names a model."""
    black = Step("open", "camera-obscured", "camera-black", "high", START_MS, START_MS + 2_000)
    await desk.book.record(scene, black)
    await desk.book.record(scene, replace(black, kind="close", ended_ms=START_MS + 3_000))
    events = await desk.events()
    assert [event.data.get("kind") for event in events if event.type == "lykta.camera.tampered.v1"] == [
        "black",
        "restored",
    ]
    assert events[0].data["model"]["name"] == ""


async def test_the_newest_order_is_kept(desk: Desk) -> None:
    """The archive holds one envelope a camera: the last that was kept."""
    archive = OrderArchive(desk.database)
    await archive.keep("ks", "torg-1", 1, b"one")
    await archive.keep("ks", "torg-1", 2, b"two")
    await archive.keep("ks", "torg-2", 1, b"other")
    assert await archive.all() == {"ks.torg-1": b"two", "ks.torg-2": b"other"}


def test_the_migrations_go_down_and_up_again(tmp_path: Path) -> None:
    """Every migration can be undone and done again."""
    url = f"sqlite+aiosqlite:///{tmp_path}/rows.db"
    for revision in ("head", "base", "head"):
        migrate(url, MIGRATIONS, revision)
