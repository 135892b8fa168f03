"""Messages that come twice or that nobody can handle: facts are counted once, poison is put aside with its reason."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from lykta.audit.v1 import log_service_pb2 as log
from lykta_contracts.streams import DURABLES, Durable

from tests.integration.client import Client
from tests.integration.facts import Stored, consumer_state, newest, read_stream, state
from tests.integration.harness import Platform, eventually
from tests.integration.witness import Witness


def last(platform: Platform, kind: str, camera: str) -> tuple[str, dict[str, Any]]:
    """Return subject and CloudEvent of the newest fact that the platform stated of a type about a camera."""
    for one in reversed(read_stream(platform.file, "FOOTAGE")):
        if one.subject.endswith(f".{kind}.{camera}") and b'"/test"' not in one.data:
            return one.subject, one.event()
    raise LookupError(f"no {kind} of {camera}")


@pytest.fixture(scope="module")
def missing(platform: Platform, witnesses: list[Witness]) -> str:
    """A segment that is stated as recorded and whose object is not there; its name. It is tried again for a minute."""
    camera = witnesses[0].camera
    subject, event = last(platform, "segment.recorded", camera)
    index = event["data"]["index"]
    epoch = index["epoch"] - 1
    name = ".".join([camera, str(epoch), index["segment_id"].rsplit(".", 1)[1]])
    data = event["data"] | {
        "index": index | {"segment_id": name, "epoch": epoch},
        "key": event["data"]["key"].rsplit("/", 1)[0] + "/" + name,
    }
    state(
        platform.file,
        "ingest",
        [(subject, body(event | {"data": data, "id": "missing-object", "source": "/test"}), {})],
    )
    return name


def drained(platform: Platform, stream: str, durable: str) -> bool:
    """Say whether a consumer has nothing before it but, maybe, the segment whose object is missing."""
    pending, unanswered = consumer_state(platform.file, stream, durable)
    return pending == 0 and unanswered <= 1


def test_a_fact_told_twice_counts_once(missing: str, platform: Platform, witnesses: list[Witness]) -> None:
    """A fact that is published again, even past the duplicate window, changes nothing in the catalogue or at ingest."""
    witness = witnesses[0]
    assert missing
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


def reason_of(letter: Stored) -> str:
    """Return the reason that a dead letter carries."""
    return next((value for key, value in letter.headers.items() if key.lower() == "lykta-reason"), "")


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
    reasons = [reason_of(one) for one in letters]
    assert all(reasons), "a dead letter without a reason"
    by_data = {one.data: reason for one, reason in zip(letters, reasons, strict=True)}
    for name, _, data, reason in sent:
        assert data in by_data, f"{name} was not put aside"
        assert reason in ("", by_data[data]), name
    assert all(one.subject == "lykta.v1.ks.deadletter.FOOTAGE.storage-footage" for one in letters)
    assert witness.loss(at - 10).frames == 0


SAID_BY = {
    "storage-footage": ("ingest", "lykta.v1.ks.gap.declared.tradgardstorget-1"),
    "ingest-stored": ("storage", "lykta.v1.ks.segment.stored.tradgardstorget-1"),
    "audit-observed": ("storage", "lykta.v1.ks.audit.observed"),
    "storage-mandates": ("access-control", "lykta.v1.ks.mandate.approved"),
}
"""For each durable consumer: who states what it hears, and a subject of that."""


@pytest.mark.parametrize("durable", DURABLES, ids=lambda one: one.name)
def test_every_consumer_puts_poison_aside(durable: Durable, platform: Platform, witnesses: list[Witness]) -> None:
    """No durable consumer stops at what it cannot read: that becomes a dead letter, and the next message comes."""
    user, subject = SAID_BY[durable.name]
    seen = newest(platform.file, "DEADLETTER")
    newer = {
        "specversion": "1.0", "id": f"newer-{durable.name}", "source": "/test", "type": "lykta.something.new.v7",
        "subject": subject, "time": "2026-06-01T12:00:00.000Z", "dataschema": "urn:test", "data": {},
    }  # fmt: skip
    state(platform.file, user, [(subject, b"[]", {}), (subject, body(newer), {})])

    def aside() -> dict[bytes, str]:
        found = [one for one in read_stream(platform.file, "DEADLETTER", seen) if one.subject.endswith(durable.name)]
        return {one.data: reason_of(one) for one in found} if len(found) == 2 else {}

    reasons = eventually(aside, 60, "two dead letters", every=0.5)
    assert reasons == {b"[]": "INVALID_FIELD", body(newer): "SCHEMA_VERSION"}
    eventually(lambda: drained(platform, durable.stream, durable.name), 30, "an empty consumer")


def test_the_log_goes_on_after_poison(client: Client, witnesses: list[Witness]) -> None:
    """After poison in its stream the log takes new entries, and finds them."""
    search = log.SearchRequest(controller="ks", action="audit.searched", page_size=1)
    first = client.ask("LogService.Search", search, "david").records
    again = client.ask("LogService.Search", search, "david").records
    assert again[0].index > (first[0].index if first else -1)


def test_a_missing_object_waits_and_is_put_aside(missing: str, platform: Platform, witnesses: list[Witness]) -> None:
    """A segment whose object is not there is tried again with growing waits while others pass, then put aside."""
    assert missing not in {one.segment_id for one in witnesses[0].listed()}

    def aside() -> str:
        found = [one for one in read_stream(platform.file, "DEADLETTER") if missing.encode() in one.data]
        return reason_of(found[0]) if found else ""

    assert eventually(aside, 120, "the dead letter", every=1) == "OBJECT_MISSING"
    assert platform.log_of("storage").count(missing) >= 3, "it was not tried again"
