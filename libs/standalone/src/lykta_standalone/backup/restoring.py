"""Restores a backup into a new state directory: checked first, made beside its place, moved there when it is whole.

The log may be newer than the databases, and is the judge: its receipts say what was deleted since, and is deleted
again; its entries say what people decided since, and has to be decided again. A log never goes back: entries that
somebody may hold a checkpoint of are never given out anew.
"""

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lykta_common.errors import Code, PlatformError
from lykta_contracts.audit import Actor, AuditRecord
from lykta_contracts.events import AuditObserved, new_event

from lykta_standalone.backup.manifest import (
    FOOTAGE,
    LOG,
    Manifest,
    below,
    check_files,
    read_manifest,
    sync_directory,
)
from lykta_standalone.backup.messages import as_message, publish_again, read_messages
from lykta_standalone.backup.objects import CHECKPOINT, Buckets
from lykta_standalone.backup.records import Record, decisions_since, receipts, verified_records
from lykta_standalone.backup.rows import DATABASE, log_size, require_known
from lykta_standalone.backup.servers import started_servers
from lykta_standalone.backup.taking import FOLDERS, MESSAGES, without_spool
from lykta_standalone.layout import Layout

Say = Callable[[str], None]
RESTORED: Final = "platform.restored"


@dataclass(frozen=True)
class Restored:
    """What a restore brought back, and what it could not: `decisions` are to be made again by who made them."""

    manifest: Manifest
    log_size: int
    deleted_again: str
    decisions: list[Record]


@dataclass(frozen=True)
class Newer:
    """What is newer than the backup: another backup for its objects, a copy of the log, a checkpoint that was kept."""

    objects: Path | None = None
    log: Path | None = None
    since: Path | None = None


@dataclass(frozen=True)
class _Source:
    """What is restored: state from one backup, objects from it or a newer one, and the newest log."""

    backup: Path
    manifest: Manifest
    objects: Path
    mirrored: Manifest
    log: Path
    records: list[Record]


async def restore(backup: Path, layout: Layout, say: Say, newer: Newer | None = None) -> Restored:
    """Restore into a state directory that is empty or absent; raises PlatformError before anything is written.

    A newer log must contain the backup's, and every checkpoint that is given. An interrupted restore leaves nothing
    behind but a folder that the next one removes.
    """
    _require_empty(layout.root)
    source = await asyncio.to_thread(_checked, backup, newer or Newer())
    say(f"the backup of {source.manifest.created_at:%Y-%m-%d %H:%M:%S} is whole; log of {len(source.records)} entries")
    staging = Layout(layout.root.with_name(f".{layout.root.name}.restoring"))
    await asyncio.to_thread(shutil.rmtree, staging.root, True)
    await asyncio.to_thread(_place_files, source, staging)
    deleted = await _fill(source, staging, say)
    await asyncio.to_thread(_move, staging.root, layout.root)
    return Restored(
        source.manifest, len(source.records), deleted, decisions_since(source.records, source.manifest.log_before)
    )


def _checked(backup: Path, newer: Newer) -> _Source:
    """Check everything that will be used, before anything is."""
    manifest = mirrored = read_manifest(backup)
    require_known(manifest.revisions)
    check_files(backup, manifest)
    if newer.objects is not None:
        mirrored = read_manifest(newer.objects)
        check_files(newer.objects, mirrored)
    objects, vkey = newer.objects or backup, manifest.verifier_key
    log, kept = newer.log or objects / LOG, backup / LOG / CHECKPOINT
    records: list[Record] = []
    if CHECKPOINT in manifest.log:
        # A newer copy must begin with the backup's: another log, or one that was rewritten, is refused here.
        records = verified_records(log, vkey, kept.read_bytes())
    if newer.since is not None:
        records = verified_records(log, vkey, newer.since.read_bytes())
    return _Source(backup, manifest, objects, mirrored, log, records)


def _require_empty(root: Path) -> None:
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        message = f"{root} is not empty; a restore never overwrites a state: move it away, or name another --state-dir"
        raise PlatformError(Code.FAILED_PRECONDITION, "WRONG_STATE", message)


def _place_files(source: _Source, staging: Layout) -> None:
    folder = source.backup / source.manifest.generation
    staging.create()
    files = source.manifest.files
    # Beside newer objects, the spool of then would be half of them.
    for path in files if source.objects == source.backup else without_spool(files):
        if path == MESSAGES:
            continue
        target = below(staging.root, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(below(folder, path), target)
        target.chmod(0o600)
    for private in (staging.root, *(staging.root / name for name in FOLDERS)):
        private.chmod(0o700)


async def _fill(source: _Source, staging: Layout, say: Say) -> str:
    """Put back what servers hold, and bring the databases to what the log says; return what was deleted again."""
    manifest = source.manifest
    async with started_servers(staging, say) as (servers, commands):
        buckets = Buckets(servers.s3_settings())
        await buckets.put_footage(source.objects / FOOTAGE, source.mirrored.footage)
        if source.records:
            await buckets.put_log(source.log, source.mirrored.log)
        say(f"{len(source.mirrored.footage)} objects of footage and the log are back")
        rows = staging.service("audit") / DATABASE
        if len(source.records) > log_size(rows):
            # The database is a prefix of what was published: the log goes on where the bucket ends.
            rows.unlink(missing_ok=True)
            say(f"audit: {await commands.run('audit', 'rebuild')}")
        deleted = ""
        if "storage" in manifest.revisions:
            # Before the catalogue is rebuilt, so that nothing of it comes back there.
            deleted = await commands.run("storage", "delete-again", receipts(source.records))
            say(f"storage: {deleted}")
            say(f"storage, catalogue: {await commands.run('storage', 'rebuild')}")
        lines = read_messages(source.backup / manifest.generation / MESSAGES)
        count = await publish_again(staging, servers.nats_url, [*lines, _restored_fact(source)])
        say(f"{count - 1} facts that were under way are stated again")
    return deleted


def _restored_fact(source: _Source) -> dict[str, Any]:
    """Write the fact of this restore for the log, as a message like those of the backup."""
    now, manifest = datetime.now(UTC), source.manifest
    record = AuditRecord(
        entry_id=f"{RESTORED}/{now:%Y%m%dT%H%M%S.%f}Z",
        occurred_at=now,
        actor=Actor(kind="service", id="restore"),
        action=RESTORED,
        result="done",
        details={
            "databases_of": f"{manifest.created_at:%Y-%m-%dT%H:%M:%SZ}",
            "databases_know_entries": str(manifest.log_before),
            "log_entries": str(len(source.records)),
            "decisions_to_repeat": str(len(decisions_since(source.records, manifest.log_before))),
        },
    )
    event = new_event(AuditObserved(record=record), f"audit.observed:{record.entry_id}", "/lykta/restore", now)
    return as_message(event.subject, event.id, event.to_json())


def _move(staging: Path, root: Path) -> None:
    if root.exists():
        root.rmdir()
    os.sync()
    staging.rename(root)
    sync_directory(root.parent)
