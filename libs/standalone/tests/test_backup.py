"""A platform without cameras, backed up and restored: while it runs, while it is stopped, interrupted, refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lykta.access_control.v1 import directory_service_pb2 as directory
from lykta.access_control.v1 import directory_service_pb2_grpc as directory_grpc
from lykta.audit.v1 import log_service_pb2 as log_pb
from lykta.audit.v1 import log_service_pb2_grpc as log_grpc
from lykta_common.errors import Code, PlatformError
from lykta_standalone.backup import restoring
from lykta_standalone.backup.manifest import check_files, read_manifest
from lykta_standalone.backup.objects import CHECKPOINT, Buckets
from lykta_standalone.backup.records import describe
from lykta_standalone.backup.restoring import Newer, restore
from lykta_standalone.backup.rows import DATABASE, log_size
from lykta_standalone.backup.taking import back_up
from lykta_standalone.cli import application
from lykta_standalone.connection import Connection
from lykta_standalone.layout import Layout
from lykta_standalone.supervisor import UpOptions
from lykta_standalone.up import running_platform
from lykta_testing.platform import eventually
from lykta_verify.log import verify_log
from typer.testing import CliRunner

TARGETS = ("access-control", "audit")


class Silence:
    """Takes what a platform says."""

    def say(self, line: str) -> None:
        """Take a line."""

    def show(self, snapshot: object) -> None:
        """Take a snapshot."""


def silently(line: str) -> None:
    """Take a line."""


async def says(code: int, words: str, *arguments: str) -> None:
    """Run a command that needs no platform and look at its exit code and words."""
    result = await asyncio.to_thread(CliRunner().invoke, application, arguments)
    assert result.exit_code == code, result.output
    assert words in result.output


def power_cut(*_: object) -> None:
    """Stand in for a step at which everything ends."""
    raise PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "power cut")


def hidden(directory: Path) -> list[Path]:
    """Return what lies about."""
    return list(directory.glob(".*"))


@asynccontextmanager
async def running(root: Path) -> AsyncIterator[Connection]:
    """Run access-control and audit with the demo municipality, without cameras."""
    options = UpOptions(root, root.parent / "cache", targets=TARGETS, demo_cameras=False)
    async with running_platform(options, Silence()) as (_, connection):
        yield connection


async def decide(connection: Connection, place: str) -> int:
    """Make a decision as karin and return the size of the log once it is published."""
    stub = await connection.stub(directory_grpc.PlaceServiceStub, "access-control")
    wanted = directory.Place(controller="ks", place=place, name=place, problem="x", timezone="Europe/Stockholm")
    await connection.ask("karin", "access-control", stub.Create, directory.PlaceServiceCreateRequest(place=wanted))
    log = await connection.stub(log_grpc.LogServiceStub, "audit")
    found = log_pb.SearchRequest(controller="ks", action="place.create", object=f"place/ks/{place}")

    async def logged() -> int:
        answer = await connection.ask("david", "audit", log.Search, found)
        return answer.records[0].index + 1 if answer.records else 0

    size = await eventually(logged, what=f"the entry of {place}")
    request = log_pb.GetCheckpointRequest(min_size=size)
    return int((await connection.ask("", "audit", log.GetCheckpoint, request, seconds=20)).size)


async def places(connection: Connection) -> set[str]:
    """Return the places of ks."""
    stub = await connection.stub(directory_grpc.PlaceServiceStub, "access-control")
    request = directory.PlaceServiceListRequest(controller="ks")
    answer = await connection.ask("karin", "access-control", stub.List, request)
    return {item.place for item in answer.places}


async def refused(backup: Path, new: Layout, newer: Path) -> None:
    """Try what must be refused: a log that was cut, a damaged file, a state that is there."""
    with pytest.raises(PlatformError, match="it was cut"):
        await restore(backup, new, silently, Newer(since=newer))
    tile = next((backup / "log" / "tile").rglob("*.p/*"))
    content = tile.read_bytes()
    tile.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(PlatformError, match=f"damaged: {tile.relative_to(backup)}"):
        await restore(backup, new, silently)
    tile.write_bytes(content)
    full = backup.with_name("full")
    full.mkdir()
    (full / "letter").write_text("…")
    with pytest.raises(PlatformError, match="never overwrites") as caught:
        await restore(backup, Layout(full), silently)
    assert caught.value.code is Code.FAILED_PRECONDITION


@pytest.mark.timeout(240)
async def test_what_is_restored_goes_on_where_the_log_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The databases are older than the log: it continues, forgotten decisions are named, and nothing is overwritten.

    Before that every reason to refuse is tried: damage, a checkpoint that the backup's log does not reach, an
    interruption, a state that is there; and a newer backup's log is put to older databases.
    """
    backup, new = tmp_path / "backup", Layout(tmp_path / "new")
    async with running(tmp_path / "old") as connection:
        first = await decide(connection, "torget")
        await back_up(Layout(tmp_path / "old"), backup, silently)
        second = await decide(connection, "parken")
        manifest = await back_up(Layout(tmp_path / "old"), backup, silently, objects_only=True)
        assert first <= manifest.log_before < second <= manifest.log_size
        checkpoint = (backup / "log" / CHECKPOINT).read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(Buckets, "mirror_log", power_cut)
            with pytest.raises(PlatformError, match="power cut"):
                await back_up(Layout(tmp_path / "old"), backup, silently)
        before = read_manifest(backup)
        assert before.generation == manifest.generation, "an interrupted backup leaves the one before"
        assert check_files(backup, before) > 0
        await decide(connection, "bron")
    async with running(tmp_path / "old"):
        pass
    await back_up(Layout(tmp_path / "old"), tmp_path / "other", silently)
    newer = tmp_path / "newer-checkpoint"
    newer.write_bytes((tmp_path / "other" / "log" / CHECKPOINT).read_bytes())

    log = str(backup / "log")
    await says(
        0, "place.create place/ks/parken", "decisions", log, "--vkey", manifest.verifier_key, "--after", str(first)
    )
    await says(0, "", "receipts", log, "--vkey", manifest.verifier_key)
    await says(1, "verifier key", "receipts", log, "--vkey", "nonsense")
    await refused(backup, new, newer)
    with monkeypatch.context() as patch:
        patch.setattr(restoring, "_move", power_cut)
        with pytest.raises(PlatformError, match="power cut"):
            await restore(backup, new, silently)
    assert not new.root.exists()

    done = await restore(backup, Layout(tmp_path / "third"), silently, Newer(objects=tmp_path / "other"))
    assert len(done.decisions) == 2, "the newer log tells of one decision more"
    done = await restore(backup, new, silently)
    assert done.log_size == manifest.log_size
    assert [describe(item).split(": ")[1] for item in done.decisions] == ["place.create place/ks/parken"]
    assert log_size(new.service("audit") / DATABASE) == done.log_size
    assert hidden(tmp_path) == [], "nothing of the interrupted restore is left"
    async with running(new.root) as connection:
        assert "torget" in await places(connection)
        assert "parken" not in await places(connection)
        await decide(connection, "parken")
        await back_up(new, backup, silently)
    report = verify_log(backup / "log", manifest.verifier_key, checkpoint)
    assert report.holds, report.text()
    assert len(list(backup.glob("state-*"))) == 1
