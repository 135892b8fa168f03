"""Verifies a clip package: bytes → fragment hash → hour root → recorder's seal → audit entry → checkpoint."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from lykta_verify import clip
from lykta_verify.clip import ClipFragment, ClipManifest, ClipSeal, ManifestError, Span
from lykta_verify.merkle import inclusion_root, leaf_hash
from lykta_verify.note import NoteError, VerifierKey, decode_base64, open_checkpoint
from lykta_verify.report import Report

READ_SIZE = 1 << 20
"""Bytes read and hashed at a time."""

_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def verify_clip(directory: Path, vkey: str, recorder_keys: Sequence[Ed25519PublicKey]) -> Report:
    """Check a clip package, link by link, and stop at the first link that does not hold.

    Raises NoteError when `vkey` is malformed and OSError when files cannot be read; whatever is wrong with the
    package itself is a finding of the report.
    """
    key = VerifierKey.parse(vkey)
    report = Report(f"clip {directory.name}")
    path = directory / clip.MANIFEST_NAME
    if not path.is_file():
        report.fail("manifest", clip.MANIFEST_NAME, "is missing")
        return report
    raw = path.read_bytes()
    try:
        manifest = clip.decode_manifest(raw)
        _check_form(manifest)
    except ManifestError as error:
        report.fail("manifest", clip.MANIFEST_NAME, str(error))
        return report
    check = _ClipCheck(directory, manifest, report)
    steps = (
        check.files,
        check.fragments,
        check.hour_roots,
        lambda: check.signatures(recorder_keys),
        check.audit_entries,
        lambda: check.checkpoint(key),
        check.times,
        lambda: check.digest(raw),
    )
    for step in steps:
        step()
        if not report.holds:
            break
    return report


def _check_form(manifest: ClipManifest) -> None:
    """Check what types do not say. Raises ManifestError."""
    if not manifest.fragments:
        raise ManifestError("there is no fragment")
    for name in (manifest.controller, manifest.camera, *(part.file for part in manifest.fragments)):
        if not _NAME.fullmatch(name):
            raise ManifestError("a controller, camera or file has an impossible name")
    if any(part.seal >= len(manifest.seals) for part in manifest.fragments):
        raise ManifestError("a fragment names a seal that is not there")
    hashes = [part.sha256 for part in manifest.fragments] + [seal.root for seal in manifest.seals]
    paths = [part.path for part in manifest.fragments] + [seal.entry.path for seal in manifest.seals]
    if not all(_HEX.fullmatch(value) for value in (*hashes, *(item for path in paths for item in path))):
        raise ManifestError("a hash is not 64 lower-case hex digits")
    if any("\n" in seal.hour + seal.run + seal.key_id for seal in manifest.seals):
        raise ManifestError("a seal has a line break in it")
    instants = [manifest.from_at, manifest.to_at]
    instants += [value for part in manifest.fragments for value in (part.from_at, part.to_at)]
    instants += [value for gap in manifest.gaps for value in (gap.from_at, gap.to_at)]
    if not all(_INSTANT.fullmatch(value) for value in instants):
        raise ManifestError("an instant is not RFC 3339 UTC with milliseconds")


class _ClipCheck:
    """One verification of one package; each public method is one link of the chain."""

    def __init__(self, directory: Path, manifest: ClipManifest, report: Report) -> None:
        self._directory = directory
        self._manifest = manifest
        self._report = report

    def files(self) -> None:
        """Check that the package is the named files and that every byte of them belongs to a fragment."""
        named: dict[str, set[Span]] = {}
        for part in self._manifest.fragments:
            named.setdefault(part.file, set()).update((part.init, part.media))
        media = [(part.file, part.media) for part in self._manifest.fragments]
        if len(set(media)) != len(media):
            self._report.fail("manifest", clip.MANIFEST_NAME, "two fragments claim the same bytes")
        for path in sorted(self._directory.rglob("*")):
            name = path.relative_to(self._directory).as_posix()
            if path.is_file() and name != clip.MANIFEST_NAME and name not in named:
                self._report.fail("files", name, "is not named in the manifest")
        for name, spans in named.items():
            path = self._directory / name
            if not path.is_file():
                self._report.fail("files", name, "is missing")
                continue
            self._check_cover(name, path.stat().st_size, sorted(spans, key=lambda span: (span.offset, span.length)))

    def _check_cover(self, name: str, size: int, spans: list[Span]) -> None:
        """Check that spans follow each other from the first to the last byte of a file."""
        position = 0
        for span in spans:
            if span.offset != position or not span.length:
                where = f"{name}, bytes {min(position, span.offset)}–{max(position, span.offset) - 1}"
                self._report.fail("files", where, "belong to no fragment, or to two")
                return
            position = span.end
        if position != size:
            self._report.fail("files", name, f"has {size} bytes, the fragments have {position}")

    def fragments(self) -> None:
        """Hash every fragment as it lies in the files."""
        total = 0
        for number, part in enumerate(self._manifest.fragments):
            total += part.media.length
            digest = self._hash(part)
            if digest != part.sha256:
                self._report.fail("fragment", self._place(number, part), self._explain(part, digest))
        self._report.facts |= {
            "controller": self._manifest.controller,
            "camera": self._manifest.camera,
            "from_at": self._manifest.fragments[0].from_at,
            "to_at": self._manifest.fragments[-1].to_at,
            "fragments": len(self._manifest.fragments),
            "media_bytes": total,
        }
        self._held(f"the bytes of all {len(self._manifest.fragments)} fragments have their hashes")

    def _hash(self, part: ClipFragment) -> str:
        """Evidence hash of a fragment: SHA-256 over its init and its media."""
        digest = sha256()
        with (self._directory / part.file).open("rb") as file:
            for span in (part.init, part.media):
                file.seek(span.offset)
                left = span.length
                while left and (block := file.read(min(left, READ_SIZE))):
                    digest.update(block)
                    left -= len(block)
        return digest.hexdigest()

    def _explain(self, part: ClipFragment, digest: str) -> str:
        """Say whether the media or its hash in the manifest was changed: the hour root knows."""
        seal = self._manifest.seals[part.seal]
        if _root_hex(leaf_hash(bytes.fromhex(digest)), part.leaf, seal.count, part.path) == seal.root:
            return "its hash in manifest.json was changed; the bytes are the recorded ones"
        return "these bytes are not the recorded ones: their hash differs"

    def hour_roots(self) -> None:
        """Lead every fragment hash to the root of its camera-hour."""
        for number, part in enumerate(self._manifest.fragments):
            seal = self._manifest.seals[part.seal]
            if _root_hex(leaf_hash(bytes.fromhex(part.sha256)), part.leaf, seal.count, part.path) != seal.root:
                message = f"does not lead to the root of hour {seal.hour} as leaf {part.leaf} of {seal.count}"
                self._report.fail("hour root", self._place(number, part), message)
        self._held(f"every fragment is in one of {len(self._manifest.seals)} hour roots")

    def signatures(self, keys: Sequence[Ed25519PublicKey]) -> None:
        """Check the recorder's signature on every hour root, for this controller, camera and hour."""
        for number, seal in enumerate(self._manifest.seals):
            statement = clip.seal_statement(self._manifest.controller, self._manifest.camera, seal)
            if not any(_signed(key, seal.signature, statement) for key in keys):
                message = "no given recorder key signed this controller, camera, hour, run, count and root"
                self._report.fail("seal", f"seal {number} (hour {seal.hour}, run {seal.run})", message)
        self._held("every hour root is signed by the recorder")

    def audit_entries(self) -> None:
        """Check that the audit entry of each seal speaks of that seal."""
        for number, seal in enumerate(self._manifest.seals):
            for message in self._entry_errors(seal):
                self._report.fail("audit entry", f"seal {number}, entry {seal.entry.index}", message)
        self._held("every seal is written in an audit entry")

    def _entry_errors(self, seal: ClipSeal) -> Iterator[str]:
        try:
            entry = json.loads(seal.entry.leaf)
            details = dict(entry["details"])
            action, controller = entry["action"], entry["controller"]
        except (ValueError, TypeError, KeyError, RecursionError):
            yield "is not an audit record"
            return
        if (action, controller) != (clip.SEAL_ACTION, self._manifest.controller):
            yield f"is not the entry of a sealed hour of {self._manifest.controller}"
        expected = {
            "camera": self._manifest.camera,
            "hour": seal.hour,
            "run": seal.run,
            "count": str(seal.count),
            "root": seal.root,
            "key_id": seal.key_id,
            "signature": seal.signature,
        }
        for name, value in expected.items():
            if details.get(name) != value:
                yield f"its {name} is not that of the seal"

    def checkpoint(self, key: VerifierKey) -> None:
        """Check the checkpoint's signature and that every audit entry is under its root."""
        try:
            checkpoint = open_checkpoint(self._manifest.checkpoint.encode(), key)
        except (NoteError, UnicodeEncodeError) as error:
            self._report.fail("checkpoint", "manifest.json, checkpoint", str(error))
            return
        if checkpoint.further_signatures:
            self._report.notes.append(f"{checkpoint.further_signatures} further signatures were not checked")
        for number, seal in enumerate(self._manifest.seals):
            entry = seal.entry
            root = _root_hex(leaf_hash(entry.leaf.encode()), entry.index, checkpoint.size, entry.path)
            if root != checkpoint.root.hex():
                message = f"does not lead to the signed root of {checkpoint.size} entries"
                self._report.fail("inclusion", f"seal {number}, entry {entry.index}", message)
        self._report.facts |= {"origin": checkpoint.origin, "log_size": checkpoint.size}
        self._held(f"every audit entry is in the log of {checkpoint.origin}, signed at {checkpoint.size} entries")

    def times(self) -> None:
        """Check the stated times as far as the seals prove them: the hour, and the order within a run."""
        before: dict[tuple[str, str], int] = {}
        latest = ""
        for number, part in enumerate(self._manifest.fragments):
            seal = self._manifest.seals[part.seal]
            place = self._place(number, part)
            if not _in_hour(part.from_at, seal.hour) or part.to_at < part.from_at or part.from_at < latest:
                self._report.fail("times", place, "its times do not fit its hour or its neighbours")
            run = (seal.hour, seal.run)
            if part.leaf <= before.get(run, -1):
                self._report.fail("times", place, "is out of the order in which it was recorded")
            elif run in before and part.leaf != before[run] + 1:
                missing = f"leaves {before[run] + 1}–{part.leaf - 1} of run {seal.run}, hour {seal.hour}"
                self._report.notes.append(f"recorded and not in this clip: {missing}")
            before[run], latest = part.leaf, part.from_at
        self._held("the fragments are in the order and in the hours in which they were recorded")

    def digest(self, raw: bytes) -> None:
        """Check the manifest's own digest, for what nothing above covers: times within the hour, gaps."""
        if not clip.digest_holds(raw):
            self._report.fail("manifest", clip.MANIFEST_NAME, "was changed: its digest is not that of its content")
        self._held("the manifest is undamaged; times within the hour and gaps are stated, not proved")

    def _held(self, step: str) -> None:
        if self._report.holds:
            self._report.proved.append(step)

    @staticmethod
    def _place(number: int, part: ClipFragment) -> str:
        """Name a fragment by file, number, bytes and time."""
        span = f"bytes {part.media.offset}–{part.media.end - 1}"
        return f"{part.file}, fragment {number} ({span} and init at {part.init.offset}, from {part.from_at})"


def _root_hex(leaf: bytes, index: int, size: int, path: Sequence[str]) -> str:
    """Root to which a proof leads, in hex; empty when the proof does not fit the tree."""
    try:
        return inclusion_root(leaf, index, size, [bytes.fromhex(item) for item in path]).hex()
    except ValueError:
        return ""


def _signed(key: Ed25519PublicKey, signature: str, statement: bytes) -> bool:
    """Tell whether a base64 signature over the statement is by this key."""
    try:
        key.verify(decode_base64(signature), statement)
    except (NoteError, InvalidSignature):
        return False
    return True


def _in_hour(instant: str, hour: str) -> bool:
    """Tell whether an instant lies in the UTC hour of the form `20261123T08`."""
    try:
        return datetime.fromisoformat(instant).astimezone(UTC).strftime("%Y%m%dT%H") == hour
    except ValueError:
        return False
