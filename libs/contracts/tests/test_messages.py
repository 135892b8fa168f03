"""Events, mandates, the segment trailer, audit leaves and permissions."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lykta_contracts import events, media, permissions, streams
from lykta_contracts.audit import Actor, AuditRecord, leaf_bytes
from lykta_contracts.ids import is_slug
from lykta_contracts.incidents import Incident
from lykta_contracts.instants import from_ms, from_wire, hour_of, hour_start, to_ms, to_wire
from lykta_contracts.mandates import LegalGround, MandateDocument, MandateOrder
from pydantic import ValidationError

NOW = datetime(2026, 11, 23, 8, 0, 0, 123000, tzinfo=UTC)


def document(**changes: Any) -> MandateDocument:
    """A lawful mandate, with changes."""
    values: dict[str, Any] = {
        "mandate_id": "man_1",
        "version": 1,
        "controller": "ks",
        "place": "tradgardstorget",
        "cameras": ("torg-1",),
        "purpose": "prevent assaults",
        "legal_ground": LegalGround(text="balancing test 2026-1"),
        "valid_from": NOW,
        "valid_to": NOW + timedelta(days=365),
        "review_at": NOW + timedelta(days=300),
    }
    return MandateDocument.model_validate(values | changes)


def order(**changes: Any) -> MandateOrder:
    """A live order for torg-1, with changes."""
    values: dict[str, Any] = {
        "controller": "ks",
        "camera": "torg-1",
        "serial": 1,
        "status": "live",
        "mandate": document(),
        "camera_address": "rtsp://127.0.0.1/torg",
        "issued_at": NOW,
    }
    return MandateOrder.model_validate(values | changes)


def gap() -> events.GapDeclared:
    """A declared gap."""
    return events.GapDeclared(
        gap_id="g1", controller="ks", camera="torg-1", from_at=NOW, to_at=NOW, cause=media.GapCause.NETWORK
    )


def test_an_event_survives_the_wire() -> None:
    """What is written is read back, under a subject that names controller, fact and camera."""
    event = events.new_event(gap(), "g1", "/lykta/ingest/0", NOW, "00-1-2-01")
    assert event.subject == "lykta.v1.ks.gap.declared.torg-1"
    assert events.read_event(event.to_json()) == (event, gap())


def test_a_newer_minor_version_is_read_and_a_newer_major_one_is_refused() -> None:
    """Unknown fields are ignored; an unknown type is refused with what to do."""
    event = events.new_event(gap(), "g1", "/lykta/ingest/0", NOW)
    raw = json.loads(event.to_json())
    raw["data"]["added_later"] = 1
    raw["extension"] = "x"
    assert events.read_event(json.dumps(raw).encode())[1] == gap()
    raw["type"] = "lykta.gap.declared.v2"
    with pytest.raises(events.UnreadableEventError, match="upgrade") as caught:
        events.read_event(json.dumps(raw).encode())
    assert caught.value.reason == "SCHEMA_VERSION"


@pytest.mark.parametrize("raw", [b"", b"{}", b"\xff\xfe", b'{"specversion":"1.0"}', b"[1]"])
def test_rubbish_is_no_event(raw: bytes) -> None:
    """Bytes that are no CloudEvent are refused, never half-read."""
    with pytest.raises(events.UnreadableEventError) as caught:
        events.read_event(raw)
    assert caught.value.reason == "INVALID_FIELD"


def test_an_unknown_field_is_refused_when_a_message_is_built() -> None:
    """A sender cannot invent fields."""
    with pytest.raises(ValidationError):
        events.SegmentStored.model_validate({"controller": "ks", "camera": "c", "segment_id": "s", "face": "x"})


def test_an_incident_has_no_field_for_a_person() -> None:
    """No field of the incident, at any depth, could name or embed a person (R-21)."""
    schema = json.dumps(Incident.model_json_schema()).lower()
    for word in ("face", "plate", "gender", "embedding", "emotion", "ethnic"):
        assert f'"{word}' not in schema


def test_every_event_has_a_stream() -> None:
    """Each fact's subject lies in exactly one stream."""
    for row in events.EVENT_TYPES:
        noun = row.name.split(".")[0]
        assert sum(noun in stream.nouns for stream in streams.STREAMS) == 1, row.name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"retention_hours": 96}, "retention_motivation"),
        ({"audio": True}, "audio"),
        ({"valid_to": NOW}, "valid_to"),
        ({"cameras": ("torg-1", "torg-1")}, "twice"),
        ({"cameras": ()}, "cameras"),
        ({"controller": "../ks"}, "controller"),
    ],
)
def test_an_unlawful_mandate_cannot_be_written(change: dict[str, Any], message: str) -> None:
    """A document that breaks a rule is refused with the field it concerns."""
    with pytest.raises(ValidationError, match=message):
        document(**change)


def test_longer_retention_needs_a_motivation() -> None:
    """Above 72 h retention is possible with a motivation only."""
    assert document(retention_hours=96, retention_motivation="decision 2026-7").retention_hours == 96


def test_an_order_covers_its_validity_and_nothing_else() -> None:
    """Recording is allowed from valid_from until valid_to, and never under an ended order."""
    live = order()
    assert live.covers(NOW)
    assert not live.covers(NOW - timedelta(milliseconds=1))
    assert not live.covers(NOW + timedelta(days=365))
    assert live.allowed_until(NOW + timedelta(days=364)) == NOW + timedelta(days=365)
    assert not order(status="ended").covers(NOW)


def test_an_order_for_a_camera_outside_its_mandate_is_refused() -> None:
    """The signature of a mandate cannot be carried over to another camera."""
    with pytest.raises(ValidationError, match="not in its mandate"):
        order(camera="torg-2")


def test_a_trailer_is_read_from_the_end_of_an_object() -> None:
    """The index comes back from the tail; a short tail says how much is needed; rubbish is refused."""
    index = media.SegmentIndex.model_validate(
        {
            "segment_id": "torg-1.1.2", "controller": "ks", "camera": "torg-1", "place": "t", "mandate_id": "man_1",
            "mandate_version": 1, "epoch": 1, "hour": "20261123T08", "fencing_token": 1, "from_at": NOW, "to_at": NOW,
            "codec": "avc1.42c01e", "width": 1, "height": 1, "clock": {},
            "fragments": [
                {
                    "offset": 0, "length": 9, "sha256": "0" * 64, "cipher_sha256": "1" * 64, "plain_length": 5,
                    "init_length": 1, "from_at": NOW, "to_at": NOW, "decode_time": 0, "frames": 1,
                }
            ],
            "seal": {"run": "r", "first_leaf": 0, "count": 1, "root": "2" * 64, "key_id": "k", "signature": "s"},
        }
    )  # fmt: skip
    data = b"cipher---" + media.write_trailer(index)
    assert media.read_trailer(data) == index
    needed = media.read_trailer(data[-20:])
    assert isinstance(needed, int)
    assert media.read_trailer(data[-needed:]) == index
    with pytest.raises(ValueError, match="trailer"):
        media.read_trailer(data[:-1])


def test_object_keys_sort_by_time() -> None:
    """An object lies under its controller, camera and UTC hour."""
    assert media.object_key("ks", "torg-1", "20261123T08", "s") == "footage/ks/torg-1/2026/11/23/08/s"


def test_instants_round_trip() -> None:
    """Wire form, milliseconds and hours agree; a naive instant is refused."""
    assert to_wire(NOW) == "2026-11-23T08:00:00.123Z"
    assert from_wire(to_wire(NOW)) == NOW == from_ms(to_ms(NOW))
    assert hour_start(hour_of(NOW)) == NOW.replace(minute=0, second=0, microsecond=0)
    with pytest.raises(ValueError, match="time zone"):
        from_wire("2026-11-23T08:00:00")


def test_a_leaf_has_one_spelling() -> None:
    """The order in which a record's fields are given does not change its leaf."""
    values: dict[str, Any] = {
        "entry_id": "aud_1", "occurred_at": NOW, "actor": Actor(kind="person", id="å"), "action": "a", "result": "done",
        "details": {"b": "2", "a": "1"},
    }  # fmt: skip
    turned = dict(reversed(values.items())) | {"details": {"a": "1", "b": "2"}}
    leaf = leaf_bytes(AuditRecord.model_validate(values))
    assert leaf == leaf_bytes(AuditRecord.model_validate(turned))
    assert leaf.startswith(b'{"action":"a","actor":{"id":"\xc3\xa5","kind":"person"},')


def test_no_service_may_state_another_services_facts() -> None:
    """Only its owner may publish a fact, and nobody may publish everything."""
    for service in permissions.SERVICES:
        allowed = permissions.service_permissions(service).publish
        assert ">" not in allowed
        for other, facts in permissions.FACTS.items():
            shared = {"lykta.v1.*.camera.tampered.*"}
            if other != service:
                assert not (set(facts) - shared) & set(allowed), (service, other)


def test_a_subscriber_sees_one_controllers_incidents_only() -> None:
    """No permission of a subscriber reaches beyond its controller's incidents."""
    user = permissions.subscriber_permissions("subscriber-ks", "ks")
    assert all("lykta.v1.ks.incident" in s or s.startswith("_INBOX.subscriber-ks.") for s in user.subscribe)
    assert not any(p.startswith("lykta.") for p in user.publish)


@pytest.mark.parametrize("text", ["", "A", "a.b", "a*", "a/b", "platform", "-a", "a-", "a" * 64, "torg\n"])
def test_what_could_break_a_subject_or_key_is_no_slug(text: str) -> None:
    """A slug never carries a dot, wildcard, slash or line end, and is not the platform's own token."""
    assert not is_slug(text)


@pytest.mark.parametrize("text", ["ks", "tradgardstorget-1", "a", "1"])
def test_plain_names_are_slugs(text: str) -> None:
    """Ordinary names pass."""
    assert is_slug(text)
