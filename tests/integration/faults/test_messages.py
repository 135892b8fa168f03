"""Messages that come twice or that nobody can handle: facts are counted once, poison is put aside with its reason."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from lykta.audit.v1 import log_service_pb2 as log

from tests.integration.client import Client
from tests.integration.facts import consumer_state, newest, read_stream, state
from tests.integration.harness import Platform, eventually
from tests.integration.witness import Witness


def last(platform: Platform, kind: str, camera: str) -> tuple[str, dict[str, Any]]:
    """Return subject and CloudEvent of the newest fact of a type about a camera."""
    found = [one for one in read_stream(platform.file, "FOOTAGE") if one.subject.endswith(f".{kind}.{camera}")]
    return found[-1].subject, found[-1].event()


def drained(platform: Platform, stream: str, durable: str) -> bool:
    """Say whether a consumer has nothing before it."""
    return consumer_state(platform.file, stream, durable) == (0, 0)


def test_a_fact_told_twice_counts_once(platform: Platform, witnesses: list[Witness]) -> None:
    """A fact that is published again, even past the duplicate window, changes nothing in the catalogue or at ingest."""
    witness = witnesses[0]
    told = [last(platform, kind, witness.camera) for kind in ("segment.recorded", "segment.stored")]
    before = {one.segment_id: one.size_bytes for one in witness.listed()}
    same = state(platform.file, "ingest", [(told[0][0], body(told[0][1]), {"Nats-Msg-Id": told[0][1]["id"]})])
    assert same[0] < 0, "JetStream did not know the message again"
    users = ("ingest", "storage")
    for number in range(3):
        for user, (subject, event) in zip(users, told, strict=True):
            assert (
                state(platform.file, user, [(subject, body(event), {"Nats-Msg-Id": f"again-{number}-{user}"})])[0] > 0
            )
    at = time.time()
    witness.stored_from(at)
    eventually(lambda: drained(platform, "FOOTAGE", "storage-footage"), 30, "an empty consumer")
    after = {one.segment_id: one.size_bytes for one in witness.listed()}
    assert before.items() <= after.items()
    assert len(witness.listed()) == len(after)
    assert witness.loss(at - 20).frames == 0


def body(event: dict[str, Any]) -> bytes:
    """Encode an event."""
    return json.dumps(event).encode()


def poisons(platform: Platform, camera: str) -> list[tuple[str, str, bytes, str]]:
    """Return messages nobody can handle: name, subject, bytes, and the reason they must be put aside with."""
    subject, event = last(platform, "segment.recorded", camera)
    index = event["data"]["index"]
    other = index | {"segment_id": f"{camera}.1.1"}
    return [
        ("noise", subject, b"\x00\xffnot JSON", "INVALID_FIELD"),
        ("empty", subject, b"", "INVALID_FIELD"),
        ("no event", subject, b'{"hello": "world"}', "INVALID_FIELD"),
        ("newer", subject, body(event | {"type": "lykta.segment.recorded.v9", "id": "p-1"}), "SCHEMA_VERSION"),
        ("unknown", subject, body(event | {"type": "lykta.moon.rose.v1", "id": "p-2"}), "SCHEMA_VERSION"),
        ("field missing", subject, body(event | {"data": {"bucket": "b"}, "id": "p-3"}), "INVALID_FIELD"),
        (
            "contradiction", subject, body(event | {"data": event["data"] | {"index": other}, "id": "p-4"}),
            "INVALID_FIELD",
        ),
        ("other size", subject, body(event | {"data": event["data"] | {"size_bytes": 7}, "id": "p-5"}), ""),
    ]  # fmt: skip


@pytest.mark.timeout(300)
def test_poison_is_put_aside(platform: Platform, witnesses: list[Witness]) -> None:
    """What cannot be handled goes to the dead letters with its reason, the same hour, and nothing waits behind it."""
    witness = witnesses[0]
    seen, at = newest(platform.file, "DEADLETTER"), time.time()
    sent = poisons(platform, witness.camera)
    state(platform.file, "ingest", [(subject, data, {}) for _, subject, data, _ in sent])
    witness.stored_from(at)

    def aside() -> list[Any] | None:
        found = [
            one for one in read_stream(platform.file, "DEADLETTER", seen) if one.subject.endswith("storage-footage")
        ]
        return found if len(found) >= len(sent) else None

    letters = eventually(aside, 120, "all dead letters", every=1)
    reasons = [next((v for k, v in one.headers.items() if k.lower() == "lykta-reason"), "") for one in letters]
    assert all(reasons), "a dead letter without a reason"
    by_data = {one.data: reason for one, reason in zip(letters, reasons, strict=True)}
    for name, _, data, reason in sent:
        assert data in by_data, f"{name} was not put aside"
        assert reason in ("", by_data[data]), name
    assert all(one.subject == "lykta.v1.ks.deadletter.FOOTAGE.storage-footage" for one in letters)
    assert witness.loss(at - 10).frames == 0


def test_a_missing_object_waits_then_is_put_aside(platform: Platform, witnesses: list[Witness]) -> None:
    """A segment whose object is missing is asked for again with growing waits while the others pass by it."""
    witness = witnesses[0]
    subject, event = last(platform, "segment.recorded", witness.camera)
    index = event["data"]["index"]
    epoch = index["epoch"] - 1
    name = ".".join([witness.camera, str(epoch), index["segment_id"].rsplit(".", 1)[1]])
    data = event["data"] | {
        "index": index | {"segment_id": name, "epoch": epoch},
        "key": event["data"]["key"].rsplit("/", 1)[0] + "/" + name,
    }
    at = time.time()
    state(platform.file, "ingest", [(subject, body(event | {"data": data, "id": "missing-object"}), {})])
    witness.stored_from(at)
    assert name not in {one.segment_id for one in witness.listed()}
    eventually(lambda: "OBJECT_MISSING" in platform.log_of("storage"), 30, "a word about the missing object")


def test_poison_in_the_audit_stream(platform: Platform, client: Client, witnesses: list[Witness]) -> None:
    """An audit fact that cannot be read is put aside, and the log goes on taking others."""
    seen = newest(platform.file, "DEADLETTER")
    state(platform.file, "storage", [("lykta.v1.ks.audit.observed", b"[]", {})])

    def aside() -> list[Any]:
        found = read_stream(platform.file, "DEADLETTER", seen)
        return [one for one in found if one.subject.endswith("audit-observed")]

    eventually(aside, 60, "a dead letter", every=0.5)
    search = log.SearchRequest(controller="ks", action="audit.searched", page_size=1)
    first = client.ask("LogService.Search", search, "david").records
    again = client.ask("LogService.Search", search, "david").records
    assert not first or again[0].index > first[0].index
