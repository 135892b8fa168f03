"""Writes a clip package: the media as they came, and the manifest that leads from their bytes to a checkpoint."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from lykta.audit.v1 import log_service_pb2 as log
from lykta.audit.v1 import log_service_pb2_grpc as log_grpc
from lykta.storage.v1 import playback_service_pb2 as pb2
from lykta_common.errors import Code, PlatformError, invalid
from lykta_contracts.instants import to_wire
from lykta_verify.clip import (
    CLIP_NAME,
    MANIFEST_NAME,
    ClipFragment,
    ClipGap,
    ClipManifest,
    ClipSeal,
    SealEntry,
    Span,
    encode_manifest,
)

from lykta_standalone.connection import Connection
from lykta_standalone.playback import Wanted, instant

_PEER: Final = "audit"
CHECKPOINT_SECONDS: Final = 40.0


@dataclass(frozen=True)
class _Written:
    """One fragment in a file, with its seal as it came."""

    file: str
    init: Span
    media: Span
    fragment: pb2.Fragment


class ClipPackage:
    """A directory that is being filled; a new epoch begins a new file, a repeated init is left out.

    Raises PlatformError INVALID_FIELD when the directory holds something already.
    """

    def __init__(self, directory: Path) -> None:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise invalid(f"{directory} is not an empty directory; name another with --output")
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.written: list[_Written] = []
        self.gaps: list[ClipGap] = []
        self.edges: list[pb2.Edge] = []
        self.media_bytes = 0
        self._init = b""
        self._init_span: Span | None = None
        self._file = ""
        self._files = 0
        self._epoch: int | None = None
        self._codec = ""

    @property
    def files(self) -> list[str]:
        """The media files, in order."""
        return list(dict.fromkeys(item.file for item in self.written))

    def add(self, item: pb2.ReadResponse) -> None:
        """Take one item of a playback, in order."""
        if item.HasField("init"):
            self._begin(item.init)
        elif item.HasField("fragment"):
            self._append(item.fragment)
        elif item.HasField("gap"):
            cause = pb2.GapCause.Name(item.gap.cause).removeprefix("GAP_CAUSE_")
            self.gaps.append(ClipGap(*_interval(item.gap), cause))
        elif item.HasField("edge"):
            self.edges.append(item.edge)

    def finish(self, wanted: Wanted, entries: Mapping[str, SealEntry], checkpoint: str) -> Path:
        """Write the manifest; `entries` is by audit entry id."""
        seals: dict[tuple[str, str, int], int] = {}
        found: list[ClipSeal] = []
        fragments: list[ClipFragment] = []
        for item in self.written:
            seal = item.fragment.seal
            key = (seal.hour, seal.run, seal.count)
            if key not in seals:
                seals[key] = len(found)
                found.append(_seal(seal, entries[seal.audit_entry_id]))
            fragments.append(_fragment(item, seals[key]))
        manifest = ClipManifest(
            wanted.controller, wanted.camera, to_wire(wanted.from_at), to_wire(wanted.to_at), tuple(fragments),
            tuple(found), checkpoint, tuple(self.gaps),
        )  # fmt: skip
        path = self.directory / MANIFEST_NAME
        path.write_bytes(encode_manifest(manifest))
        return path

    def abandon(self) -> None:
        """Remove the directory again when nothing was written to it."""
        self.directory.rmdir()

    def _begin(self, init: pb2.Init) -> None:
        if init.epoch == self._epoch and init.bytes == self._init:
            return
        self._epoch, self._init, self._codec = init.epoch, init.bytes, init.codec
        self._init_span = None

    def _append(self, fragment: pb2.Fragment) -> None:
        if self._init_span is None:
            # Not before its first fragment: every byte of a package belongs to one.
            self._files += 1
            self._file = CLIP_NAME if self._files == 1 else CLIP_NAME.replace(".", f"-{self._files}.")
            (self.directory / self._file).write_bytes(self._init)
            self._init_span = Span(0, len(self._init))
        path = self.directory / self._file
        with path.open("ab") as file:
            offset = file.tell()
            file.write(fragment.bytes)
        self.media_bytes += len(fragment.bytes)
        kept = pb2.Fragment()
        kept.CopyFrom(fragment)
        kept.ClearField("bytes")
        self.written.append(_Written(self._file, self._init_span, Span(offset, len(fragment.bytes)), kept))


async def fetch_evidence(connection: Connection, package: ClipPackage) -> tuple[dict[str, SealEntry], str]:
    """Return the audit entries of the package's seals with their proofs, and the checkpoint the proofs are for."""
    stub = await connection.stub(log_grpc.LogServiceStub, _PEER)
    wanted = sorted({item.fragment.seal.audit_entry_id for item in package.written})
    entries = {}
    for entry_id in wanted:
        entries[entry_id] = await connection.ask("", _PEER, stub.GetEntry, log.GetEntryRequest(entry_id=entry_id))
    newest = max((entry.record.index for entry in entries.values()), default=-1)
    request = log.GetCheckpointRequest(min_size=newest + 1)
    note = await connection.ask("", _PEER, stub.GetCheckpoint, request, seconds=CHECKPOINT_SECONDS)
    proved: dict[str, SealEntry] = {}
    for entry_id, entry in entries.items():
        asked = log.GetInclusionProofRequest(index=entry.record.index, tree_size=note.size)
        proof = await connection.ask("", _PEER, stub.GetInclusionProof, asked)
        path = tuple(item.hex() for item in proof.hashes)
        proved[entry_id] = SealEntry(entry.record.index, entry.leaf.decode(), path)
    return proved, note.checkpoint


def require_footage(package: ClipPackage) -> None:
    """Raise PlatformError NOT_FOUND when nothing was delivered, saying what was there instead."""
    if package.written:
        return
    what = ", ".join(
        [f"gap {gap.cause}" for gap in package.gaps]
        + [f"edge {pb2.EdgeReason.Name(edge.reason).removeprefix('EDGE_REASON_')}" for edge in package.edges]
    )
    message = f"there is no footage in that interval ({what or 'nothing was recorded'})"
    raise PlatformError(Code.NOT_FOUND, "NOT_FOUND", message)


def _interval(item: pb2.Gap | pb2.Fragment) -> tuple[str, str]:
    start: datetime = instant(getattr(item, "from"))
    return to_wire(start), to_wire(instant(item.to))


def _fragment(item: _Written, seal: int) -> ClipFragment:
    fragment = item.fragment
    from_at, to_at = _interval(fragment)
    path = tuple(step.hex() for step in fragment.seal.path)
    return ClipFragment(
        item.file, item.init, item.media, from_at, to_at, fragment.sha256.hex(), seal, fragment.seal.leaf_index, path
    )


def _seal(seal: pb2.Seal, entry: SealEntry) -> ClipSeal:
    signature = base64.b64encode(seal.signature).decode()
    return ClipSeal(seal.hour, seal.run, seal.count, seal.root.hex(), seal.key_id, signature, entry)
