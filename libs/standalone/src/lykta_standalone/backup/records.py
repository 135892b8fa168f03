"""What a verified copy of the log tells a restore: receipts of deletions, and decisions that a backup does not know."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lykta_common.errors import Code, PlatformError, invalid
from lykta_verify.bundle import split
from lykta_verify.files import ENTRIES, LogDirectory
from lykta_verify.log import verify_log
from lykta_verify.merkle import TILE_WIDTH
from lykta_verify.note import NoteError

DELETED: Final = "footage.hour.deleted"
DECISIONS: Final = ("controller.", "place.", "member.", "camera.", "mandate.", "case.", "grant.")
"""What access-control keeps, by the first word of the action."""
NO_CHANGE: Final = frozenset({"grant.token"})


@dataclass(frozen=True)
class Record:
    """One entry of the log: its index, its leaf, and the leaf read."""

    index: int
    leaf: bytes
    fields: dict[str, Any]


def verified_records(log: Path, vkey: str, since: bytes | None = None) -> list[Record]:
    """Verify a copy of the log, also against an earlier checkpoint, and return its entries in order.

    Raises DATA_LOSS with the verifier's first finding when it does not hold.
    """
    try:
        report = verify_log(log, vkey, since)
    except NoteError as error:
        raise invalid(f"the verifier key cannot be read: {error}") from error
    except OSError as error:
        raise invalid(f"the log in {log} cannot be read: {error.strerror}") from error
    if not report.holds:
        finding = report.findings[0]
        message = f"the log in {log} does not hold: {finding.check}: {finding.where}: {finding.message}"
        raise PlatformError(Code.DATA_LOSS, "INTEGRITY", message)
    return _records(LogDirectory(log), int(report.facts["size"]))


def receipts(records: list[Record]) -> bytes:
    """Return the deletion receipts, one record (JSON) per line, for `python -m lykta_storage delete-again`."""
    return b"".join(record.leaf + b"\n" for record in records if record.fields["action"] == DELETED)


def decisions_since(records: list[Record], size: int) -> list[Record]:
    """Return what people decided after the log had a size: a database that was copied then does not know it."""
    return [
        record
        for record in records[size:]
        if record.fields["actor"]["kind"] == "person"
        and record.fields["result"] == "done"
        and str(record.fields["action"]).startswith(DECISIONS)
        and record.fields["action"] not in NO_CHANGE
    ]


def describe(record: Record) -> str:
    """Write a decision for people, in one line."""
    fields = record.fields
    where = f" of {fields['controller']}" if fields["controller"] else ""
    return f"{fields['occurred_at']} {fields['actor']['id']}{where}: {fields['action']} {fields['object']}".rstrip()


def _records(directory: LogDirectory, size: int) -> list[Record]:
    found: list[Record] = []
    for index in range((size + TILE_WIDTH - 1) // TILE_WIDTH):
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        file = directory.serving(ENTRIES, index, width)
        if file is None:  # the verification has read it
            raise PlatformError(Code.DATA_LOSS, "INTEGRITY", f"the log lacks the bundle {index}")
        for entry in split(directory.read(file), file.width)[:width]:
            found.append(Record(len(found), entry.data, json.loads(entry.data)))
    return found
