"""The parts of a backup: its manifest, copies of databases, messages under way, objects with their locks."""

import base64
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
from lykta_common.config import read_secret
from lykta_common.errors import Code, PlatformError
from lykta_common.objectstore import open_admin, open_bucket
from lykta_common.tls import client_context
from lykta_contracts.streams import DURABLES
from lykta_standalone.backup.manifest import (
    FORMAT,
    MANIFEST,
    Manifest,
    Stored,
    check_files,
    claimed,
    fingerprint,
    read_manifest,
    write_durably,
    write_manifest,
)
from lykta_standalone.backup.messages import positions, publish_again, read_messages, save_in_flight
from lykta_standalone.backup.objects import Buckets
from lykta_standalone.backup.records import Record, decisions_since, describe, receipts
from lykta_standalone.backup.rows import copy_database, log_size, require_known, revision_of
from lykta_standalone.backup.taking import without_spool
from lykta_standalone.bootstrap import AUDIT_BUCKET, FOOTAGE_BUCKET
from lykta_standalone.layout import Layout
from lykta_standalone.servers import nats_url
from lykta_testing.platform import Backbone

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def a_backup(directory: Path, **changes: Any) -> Manifest:
    """Write a small whole backup."""
    for path in ("state-1/secrets/a.pem", "footage/footage/ks/x", "log/checkpoint"):
        write_durably(directory / path, path.encode())
    values: dict[str, Any] = {
        "format": FORMAT, "release": "0.1.0", "created_at": NOW, "mirrored_at": NOW, "generation": "state-1",
        "revisions": {}, "verifier_key": "", "log_before": 0, "log_size": 0,
        "files": {"secrets/a.pem": fingerprint(directory / "state-1/secrets/a.pem")},
        "footage": {"footage/ks/x": fingerprint(directory / "footage/footage/ks/x")},
        "log": {"checkpoint": fingerprint(directory / "log/checkpoint")},
    }  # fmt: skip
    manifest = Manifest(**(values | changes))
    write_manifest(directory, manifest)
    return manifest


def test_a_whole_backup_is_read_and_checked(tmp_path: Path) -> None:
    """What was written is read back, every file fits, and only its owner can read it."""
    written = a_backup(tmp_path)
    assert read_manifest(tmp_path) == written
    assert check_files(tmp_path, written) == sum(len(path) for path in written.everything())
    assert (tmp_path / "state-1/secrets/a.pem").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("path", ["state-1/secrets/a.pem", "footage/footage/ks/x", "log/checkpoint"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_named(tmp_path: Path, path: str, damage: str) -> None:
    """A flipped byte, a cut and a missing file are each found and named."""
    manifest = a_backup(tmp_path)
    content = (tmp_path / path).read_bytes()
    if damage == "remove":
        (tmp_path / path).unlink()
    else:
        (tmp_path / path).write_bytes(content[:-1] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(PlatformError, match=f"damaged: {path} ") as caught:
        check_files(tmp_path, manifest)
    assert caught.value.code is Code.DATA_LOSS


def test_what_is_no_backup_is_refused_by_name(tmp_path: Path) -> None:
    """No manifest, something else in its place, and a newer format: each says so and names the file."""
    with pytest.raises(PlatformError, match=r"manifest\.json is missing"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST).write_text('{"name": "another program"}')
    with pytest.raises(PlatformError, match=r"manifest.json is not the manifest of a Lykta backup"):
        read_manifest(tmp_path)
    a_backup(tmp_path, format="lykta-backup/2")
    with pytest.raises(PlatformError, match=r"lykta-backup/2.*newer release"):
        read_manifest(tmp_path)


def test_a_manifest_cannot_reach_out_of_its_directory(tmp_path: Path) -> None:
    """A name that leads elsewhere is refused before anything is read."""
    manifest = a_backup(tmp_path, footage={"../../../etc/passwd": Stored(size_bytes=1, sha256="")})
    with pytest.raises(PlatformError, match="impossible name"):
        check_files(tmp_path, manifest)


def test_a_folder_of_something_else_is_not_written_to(tmp_path: Path) -> None:
    """A backup goes into a new or empty folder, or its own; and two at once into one are refused."""
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("…")
    with pytest.raises(PlatformError, match="holds something that is no backup"), claimed(tmp_path / "letters"):
        pass
    with claimed(tmp_path / "b"), pytest.raises(PlatformError, match="another backup"), claimed(tmp_path / "b"):
        pass
    with claimed(tmp_path / "b"):
        pass


def test_a_database_is_copied_as_of_one_moment_while_it_is_written(tmp_path: Path) -> None:
    """An open transaction is not in the copy, a committed one is; what was deleted is nowhere in the copy's bytes."""
    source, copy = tmp_path / "rows.db", tmp_path / "copy" / "rows.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf TEXT)")
        connection.executemany("INSERT INTO entry VALUES (?, ?)", [(0, "a"), (1, "DESTROYED"), (2, "c")])
        connection.commit()
        connection.execute("DELETE FROM entry WHERE idx = 1")
        connection.commit()
        connection.execute("INSERT INTO entry VALUES (3, 'open')")
        copy_database(source, copy)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT leaf FROM entry").fetchall() == [("a",), ("c",)]
    assert b"DESTROYED" not in copy.read_bytes()
    assert [path.name for path in copy.parent.iterdir()] == ["rows.db"]
    assert copy.stat().st_mode & 0o077 == 0
    assert (log_size(copy), log_size(tmp_path / "none.db"), revision_of(copy)) == (3, 0, "")


def test_only_the_spool_is_left_out_beside_newer_objects() -> None:
    """Keys, databases and messages are taken in any case."""
    stored = Stored(size_bytes=1, sha256="")
    kept = ("secrets/a", "services/storage/rows.db", "in-flight.jsonl")
    files = dict.fromkeys((*kept, "services/ingest/spool/00001.journal"), stored)
    assert tuple(without_spool(files)) == kept


def test_a_backup_of_a_newer_release_is_refused() -> None:
    """A database at a revision that the code does not know is named; those of today are known."""
    require_known({"audit": "0001", "storage": "0001", "access-control": "0001", "analytics": "0001"})
    with pytest.raises(PlatformError, match=r"database of storage is at revision 9999.*newer release"):
        require_known({"audit": "0001", "storage": "9999"})


async def test_facts_under_way_are_kept_and_stated_again_by_who_may(nats_backbone: Backbone, tmp_path: Path) -> None:
    """What a consumer has taken in is left out, what it has not is kept; stated again, its id makes it one message."""
    layout, url = Layout(nats_backbone.directory), nats_url(nats_backbone.nats)
    for user in ("bootstrap", "ingest", "storage"):
        nats_backbone.tls(user)
    client = await nats.connect(
        url, user="test", password=read_secret(nats_backbone.password_file("test")),
        tls=client_context(nats_backbone.tls("test")), inbox_prefix="_INBOX.test",
    )  # fmt: skip
    try:
        jetstream = client.jetstream()
        facts = {
            "lykta.v1.ks.segment.recorded.torg-1": ["s1", "s2", "s3"],
            "lykta.v1.ks.audit.observed": ["a1"],
            "lykta.v1.ks.deadletter.FOOTAGE.storage-footage": ["d1"],
        }
        for subject, names in facts.items():
            for name in names:
                await jetstream.publish(subject, name.encode(), headers={"Nats-Msg-Id": name, "traceparent": "t"})
        storage = next(durable for durable in DURABLES if durable.name == "storage-footage")
        consumer = await jetstream.pull_subscribe_bind(storage.name, storage.stream)
        for message in await consumer.fetch(2):
            await message.ack_sync()
        since = await positions(layout, url)
        # The recorder's consumer has taken in nothing: it decides for the stream.
        assert (since["FOOTAGE"], since["AUDIT"], since["DEADLETTER"]) == (1, 1, 1)
        assert await save_in_flight(layout, url, {**since, "FOOTAGE": 3}, tmp_path / "m") == 3
        lines = read_messages(tmp_path / "m")
        assert [base64.b64decode(line["data"]) for line in lines] == [b"s3", b"a1", b"d1"]
        assert lines[0]["headers"] == {"Nats-Msg-Id": "s3", "traceparent": "t"}
        await jetstream.purge_stream("AUDIT")
        assert await publish_again(layout, url, lines) == 3
        assert (await jetstream.stream_info("FOOTAGE")).state.messages == 3
        assert (await jetstream.stream_info("DEADLETTER")).state.messages == 1
    finally:
        await client.close()


async def test_objects_are_copied_once_and_come_back_with_their_locks(backbone: Backbone, tmp_path: Path) -> None:
    """A second run fetches only what is new and drops what was deleted; the log's retention is kept and put back."""
    settings = backbone.s3_settings()
    buckets, footage, log = (
        Buckets(settings),
        open_bucket(settings, FOOTAGE_BUCKET),
        open_bucket(settings, AUDIT_BUCKET),
    )
    for key, payload in (("footage/ks/a", b"one"), ("footage/ks/b", b"two"), ("holds/x", b"held")):
        await footage.put(key, payload)
    for key in ("tile/0/000.p/1", "tile/entries/000.p/1", "checkpoint"):
        await log.put(key, key.encode())
    first = await buckets.mirror_footage(tmp_path / "f", {})
    assert set(first) == {"footage/ks/a", "footage/ks/b", "holds/x"}
    (tmp_path / "f/footage/ks/a").write_bytes(b"xxx")
    await footage.delete("footage/ks/b")
    await footage.put("footage/ks/c", b"three")
    second = await buckets.mirror_footage(tmp_path / "f", first)
    assert set(second) == {"footage/ks/a", "footage/ks/c", "holds/x"}
    assert (tmp_path / "f/footage/ks/a").read_bytes() == b"xxx", "what is known is not fetched again"
    stored = await buckets.mirror_log(tmp_path / "l", {})
    until = stored["tile/0/000.p/1"].retain_until
    assert until is not None
    assert until > datetime.now(UTC) + timedelta(days=5 * 365 - 1)
    later = {key: item.model_copy(update={"retain_until": NOW + timedelta(days=4000)}) for key, item in stored.items()}
    assert await buckets.put_log(tmp_path / "l", later) == 3
    kept = open_admin(settings).get_object_retention(AUDIT_BUCKET, "tile/0/000.p/1")
    assert kept is not None
    assert kept.retain_until_date.replace(tzinfo=UTC) == NOW + timedelta(days=4000)


def record(index: int, action: str, kind: str = "person", result: str = "done") -> Record:
    """Any entry of the log."""
    fields = {
        "action": action, "actor": {"kind": kind, "id": "gun"}, "controller": "ks", "object": "mandate/m1",
        "occurred_at": "2026-11-23T12:00:00.000Z", "result": result,
    }  # fmt: skip
    return Record(index, json.dumps(fields).encode(), fields)


def test_the_log_tells_what_a_restore_must_do_again() -> None:
    """Receipts are taken from the whole log; decisions are those of people, done, after the backup."""
    records = [
        record(0, "mandate.end"),
        record(1, "footage.hour.deleted", "service"),
        record(2, "mandate.end"),
        record(3, "grant.approve", result="denied"),
        record(4, "footage.playback.opened"),
        record(5, "grant.token"),
    ]
    assert receipts(records) == records[1].leaf + b"\n"
    assert [item.index for item in decisions_since(records, 1)] == [2]
    assert describe(records[2]) == "2026-11-23T12:00:00.000Z gun of ks: mandate.end mandate/m1"
