"""Takes a backup, while the platform runs or is stopped, in the order in which nothing falls between two copies.

1. The size of the log, and how far consumers have come in the streams: the marks everything else is compared with.
2. The recorder's spool, where the platform is stopped (else it is in the bucket within seconds); then the databases,
   who states facts before who takes them in: a fact that its source no longer has and its consumer does not have yet
   lies in a stream after the mark, and is copied in step 4.
3. Keys and secrets, after the databases: a key is made before the first row that needs it.
4. The messages after the marks, and the dead letters.
5. The footage, after the catalogue: an object without a row is found again by its own index, a row without an object
   would be a loss. Hour keys are made two days ahead, so that footage of these two days opens with an older database.
6. The log, last: every deletion that an earlier copy has missed is known by its receipt.

Steps 5 and 6 copy only what is new, so that they can be repeated alone, every few minutes.
"""

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lykta_common.errors import Code, PlatformError

from lykta_standalone.backup.manifest import (
    FOOTAGE,
    FORMAT,
    LOG,
    MANIFEST,
    Manifest,
    Stored,
    claimed,
    fingerprint,
    read_manifest,
    release,
    write_durably,
    write_manifest,
)
from lykta_standalone.backup.messages import positions, save_in_flight
from lykta_standalone.backup.objects import CHECKPOINT, Buckets
from lykta_standalone.backup.records import verified_records
from lykta_standalone.backup.rows import DATABASE, ORDER, copy_database, log_size, revision_of
from lykta_standalone.backup.servers import Servers, servers_of
from lykta_standalone.credentials import audit_verifier_key
from lykta_standalone.layout import Layout

Say = Callable[[str], None]

SERVICES: Final = "services"
MESSAGES: Final = "in-flight.jsonl"
SPOOL: Final = "services/ingest/spool/"
FOLDERS: Final = ("secrets", "keys", "pki")


async def back_up(layout: Layout, target: Path, say: Say, *, objects_only: bool = False) -> Manifest:
    """Bring a backup up to date, or make it; until its end the one before stands. Raises PlatformError.

    With `objects_only` the databases and keys stay those of the last whole backup, and both buckets are brought up
    to date.
    """
    with claimed(target):
        last = read_manifest(target) if objects_only or (target / MANIFEST).exists() else None
        async with servers_of(layout, say) as servers:
            if last is not None and objects_only:
                manifest = await _mirror(servers, target, last, say)
            else:
                manifest = await _whole(servers, target, last, say)
        await asyncio.to_thread(write_manifest, target, manifest)
        await asyncio.to_thread(_forget, target, manifest)
    return manifest


async def _whole(servers: Servers, target: Path, last: Manifest | None, say: Say) -> Manifest:
    layout, now = servers.layout, datetime.now(UTC)
    generation = f"state-{now:%Y%m%dT%H%M%S.%f}Z"
    folder = target / generation
    log_before = log_size(layout.service("audit") / DATABASE)
    since = await positions(layout, servers.nats_url)
    revisions = await asyncio.to_thread(_copy_state, layout, folder, running=servers.running)
    messages = await save_in_flight(layout, servers.nats_url, since, folder / MESSAGES)
    files = await asyncio.to_thread(_fingerprints, folder)
    say(f"{len(revisions)} databases, keys, {messages} messages under way: {len(files)} files")
    whole = Manifest(
        format=FORMAT, release=release(), created_at=now, mirrored_at=now, generation=generation, revisions=revisions,
        verifier_key=audit_verifier_key(layout), log_before=log_before, log_size=0, files=files,
        footage=last.footage if last else {}, log=last.log if last else {},
    )  # fmt: skip
    return await _mirror(servers, target, whole, say)


async def _mirror(servers: Servers, target: Path, last: Manifest, say: Say) -> Manifest:
    buckets = Buckets(servers.s3_settings())
    now = datetime.now(UTC)
    footage = await buckets.mirror_footage(target / FOOTAGE, last.footage)
    earlier = target / LOG / CHECKPOINT
    since = earlier.read_bytes() if CHECKPOINT in last.log and earlier.exists() else None
    log = await buckets.mirror_log(target / LOG, last.log)
    size = 0
    if not log and last.log:
        message = f"the bucket holds no log, the backup one of {last.log_size} entries; nothing was changed"
        raise PlatformError(Code.DATA_LOSS, "INTEGRITY", message)
    if log:
        # Nothing is kept that would be refused when it is needed.
        size = len(await asyncio.to_thread(verified_records, target / LOG, last.verifier_key, since))
    # A running recorder's spool is in the bucket within seconds; beside newer objects its copy would be half of them.
    files = without_spool(last.files) if servers.running else last.files
    say(f"{len(footage)} objects of footage; the log of {size} entries holds")
    update = {"files": files, "footage": footage, "log": log, "log_size": size, "mirrored_at": now}
    return last.model_copy(update=update)


def without_spool(files: dict[str, Stored]) -> dict[str, Stored]:
    """Return the files but those of the recorder's spool."""
    return {path: stored for path, stored in files.items() if not path.startswith(SPOOL)}


def _copy_state(layout: Layout, folder: Path, *, running: bool) -> dict[str, str]:
    folder.mkdir(mode=0o700)
    if not running:
        _copy_files(layout.root / SPOOL, folder / SPOOL)
    revisions: dict[str, str] = {}
    for name in ORDER:
        source = layout.service(name) / DATABASE
        if source.exists():
            copy = folder / SERVICES / name / DATABASE
            copy_database(source, copy)
            revisions[name] = revision_of(copy)
    for part in FOLDERS:
        _copy_files(layout.root / part, folder / part)
    if layout.ports_file.exists():
        # Where the cameras are known.
        write_durably(folder / layout.ports_file.name, layout.ports_file.read_bytes())
    return revisions


def _copy_files(source: Path, target: Path) -> None:
    """Copy a folder.

    The recorder's held copies of orders and keys are in none of them: it is given them again, and a recorder that was
    restored must not obey an order that was ended since.
    """
    for path in sorted(item for item in source.rglob("*") if item.is_file() and not item.is_symlink()):
        if path.name != "lock" and path.suffix != ".half":
            write_durably(target / path.relative_to(source), path.read_bytes())


def _fingerprints(folder: Path) -> dict[str, Stored]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): fingerprint(path) for path in files}


def _forget(target: Path, manifest: Manifest) -> None:
    """Remove what the manifest no longer names: a key that was destroyed must not live on in an older copy."""
    for folder in target.glob("state-*"):
        if folder.name != manifest.generation:
            shutil.rmtree(folder, ignore_errors=True)
    for path in (target / FOOTAGE).rglob("*"):
        if path.is_file() and path.relative_to(target / FOOTAGE).as_posix() not in manifest.footage:
            path.unlink()
