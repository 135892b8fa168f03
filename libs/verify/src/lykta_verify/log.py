"""Verifies a downloaded log against its signed checkpoint, and names what was changed."""

from pathlib import Path

from lykta_verify.bundle import BundleError, diagnose, split
from lykta_verify.files import ENTRIES, LogDirectory, LogFile
from lykta_verify.merkle import HASH_SIZE, TILE_WIDTH, leaf_hash, root_of, tile_levels
from lykta_verify.note import Checkpoint, NoteError, VerifierKey, open_checkpoint
from lykta_verify.report import Report

MAX_FINDINGS = 50
"""After this many places the rest is only counted."""


def verify_log(directory: Path, vkey: str, since: bytes | None = None) -> Report:
    """Check every file of a log: signature, entries, tiles, size, and that it extends an earlier checkpoint.

    `directory` holds `checkpoint` and `tile/…` as in the bucket; `since` is the text of a checkpoint kept from
    earlier. Raises NoteError when `vkey` is malformed and OSError when files cannot be read; whatever is wrong
    with the log itself is a finding of the report.
    """
    key = VerifierKey.parse(vkey)
    return _LogCheck(LogDirectory(directory), key, Report(f"log {key.name}")).run(since)


class _LogCheck:
    """One verification of one directory."""

    def __init__(self, directory: LogDirectory, key: VerifierKey, report: Report) -> None:
        self._directory = directory
        self._key = key
        self._report = report
        self._proved: set[LogFile] = set()

    def run(self, since: bytes | None) -> Report:
        """Walk all checks in order of trust: signature, entries, root, tiles, earlier checkpoint."""
        report = self._report
        checkpoint = self._open("checkpoint", self._directory.checkpoint())
        if checkpoint is None:
            return report
        report.facts |= {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
        report.proved.append(f"the checkpoint of {checkpoint.size} entries is signed by {checkpoint.origin}")
        leaves = self._leaves(checkpoint.size, checkpoint.root)
        if leaves is not None:
            report.proved.append(f"all {checkpoint.size} entries are those of the signed root")
            self._check_tiles(leaves)
            self._check_since(since, checkpoint, leaves)
        else:
            self._blame(checkpoint)
        for path in self._directory.foreign:
            report.fail("files", path, "is no file of a log")
        return report

    def _open(self, where: str, note: bytes | None) -> Checkpoint | None:
        if note is None:
            self._report.fail("checkpoint", where, "is missing")
            return None
        try:
            checkpoint = open_checkpoint(note, self._key)
        except NoteError as error:
            self._report.fail("checkpoint", where, str(error))
            return None
        if checkpoint.further_signatures:
            self._report.notes.append(f"{where}: {checkpoint.further_signatures} further signatures were not checked")
        return checkpoint

    def _leaves(self, size: int, root: bytes) -> list[bytes] | None:
        """Leaf hashes of all entries; None unless they give the root."""
        leaves: list[bytes] = []
        read: list[LogFile] = []
        for index, width in _tiles(size):
            file = self._directory.serving(ENTRIES, index, width)
            if file is None:
                self._report.fail("entries", LogFile(ENTRIES, index, width).path, "is missing")
                return None
            try:
                entries = split(self._directory.read(file), file.width)
            except BundleError:
                return None
            leaves.extend(leaf_hash(entry.data) for entry in entries[:width])
            read += [file] if file.width == width else []
        if root_of(leaves) != root:
            return None
        self._proved.update(read)
        return leaves

    def _check_tiles(self, leaves: list[bytes]) -> None:
        """Compare every file with the tree recomputed from the entries, which is the signed one."""
        before = len(self._report.findings)
        levels = tile_levels(leaves)
        for level, hashes in enumerate(levels):
            for index, width in _tiles(len(hashes)):
                if self._directory.serving(level, index, width) is None:
                    self._report.fail("tiles", LogFile(level, index, width).path, "is missing")
        for file in self._directory.files:
            if len(self._report.findings) - before >= MAX_FINDINGS:
                self._report.notes.append(f"stopped after {MAX_FINDINGS} findings")
                return
            if file.level == ENTRIES:
                self._check_bundle(file, leaves)
            else:
                self._check_tile(file, levels[file.level] if file.level < len(levels) else [])
        if len(self._report.findings) == before:
            self._report.proved.append(f"all {len(self._directory.files)} tiles and bundles are those of that tree")

    def _check_tile(self, file: LogFile, hashes: list[bytes]) -> None:
        """Compare one tile of hashes; name the first byte that differs."""
        known = b"".join(hashes[file.index * TILE_WIDTH : file.index * TILE_WIDTH + file.width])
        data = self._directory.read(file)
        if len(data) != file.width * HASH_SIZE:
            self._report.fail("tiles", file.path, f"has {len(data)} bytes, {file.width * HASH_SIZE} are right")
            return
        differing = next((i for i, (is_, was) in enumerate(zip(data, known, strict=False)) if is_ != was), None)
        if differing is not None:
            place = f"hash {differing // HASH_SIZE}, byte {differing}"
            change = f"is 0x{data[differing]:02x}, the entries give 0x{known[differing]:02x}"
            self._report.fail("tiles", f"{file.path}, {place}", change)
        elif len(known) < len(data):
            self._beyond(file, len(known) // HASH_SIZE)

    def _check_bundle(self, file: LogFile, leaves: list[bytes]) -> None:
        """Compare one entry bundle, full or partial, with the leaf hashes that were proved."""
        if file in self._proved:
            return
        known = leaves[file.index * TILE_WIDTH : file.index * TILE_WIDTH + file.width]
        damages = diagnose(self._directory.read(file), known, whole=len(known) == file.width)
        for damage in damages:
            where = f"{file.path}, entry {file.index * TILE_WIDTH + damage.position}"
            self._report.fail("entries", where, damage.message)
        if not damages and len(known) < file.width:
            self._beyond(file, len(known))

    def _beyond(self, file: LogFile, known: int) -> None:
        """Say that a file goes further than the checkpoint, so that its tail cannot be proved."""
        what = f"{file.width - known} of {file.width} places lie beyond the checkpoint and were not checked"
        self._report.notes.append(f"{file.path}: {what}")

    def _blame(self, checkpoint: Checkpoint) -> None:
        """The entries do not give the signed root: find out with the tiles which of them were changed."""
        before = len(self._report.findings)
        leaves = self._tile_leaves(checkpoint.size)
        if leaves is not None and root_of(leaves) == checkpoint.root:
            self._report.proved.append("the leaf hashes in the tiles are those of the signed root")
            self._check_tiles(leaves)
        else:
            self._name_unsplittable(checkpoint.size)
            self._name_disagreements(checkpoint.size, leaves or [])
            self._name_broken_levels(leaves or [])
        if len(self._report.findings) == before or leaves is None:
            message = f"the files do not give the signed root of {checkpoint.size} entries"
            self._report.fail("root", "checkpoint", f"{message}: entries, tiles or the log itself were changed")

    def _tile_leaves(self, size: int) -> list[bytes] | None:
        """Leaf hashes as the level-0 tiles hold them; None when a tile is missing or too short."""
        leaves: list[bytes] = []
        for index, width in _tiles(size):
            file = self._directory.serving(0, index, width)
            data = self._directory.read(file) if file else b""
            if len(data) < width * HASH_SIZE:
                return None
            leaves.extend(_hashes(data)[:width])
        return leaves

    def _name_unsplittable(self, size: int) -> None:
        """Report the bundles that do not split into their entries."""
        for file in self._bundles(size):
            try:
                split(self._directory.read(file), file.width)
            except BundleError as error:
                where = f"{file.path}, entry {file.index * TILE_WIDTH + error.position}"
                self._report.fail("entries", where, str(error))

    def _name_disagreements(self, size: int, leaves: list[bytes]) -> None:
        """Report entries whose hash is not the tile's, when it is not known which of the two is right."""
        for file in self._bundles(size):
            known = leaves[file.index * TILE_WIDTH : file.index * TILE_WIDTH + file.width]
            for damage in diagnose(self._directory.read(file), known, whole=False):
                where = f"{file.path}, entry {file.index * TILE_WIDTH + damage.position}"
                self._report.fail("entries", where, "does not have the hash that the tile holds")
                if len(self._report.findings) >= MAX_FINDINGS:
                    return

    def _bundles(self, size: int) -> list[LogFile]:
        """Bundles that hold the first `size` entries, as far as they exist."""
        found = [self._directory.serving(ENTRIES, index, width) for index, width in _tiles(size)]
        return [file for file in found if file is not None]

    def _name_broken_levels(self, leaves: list[bytes]) -> None:
        """Compare each tile above with the tiles below it, to narrow down a change that was made consistently."""
        for level, hashes in list(enumerate(tile_levels(leaves)))[1:]:
            for index, width in _tiles(len(hashes)):
                file = self._directory.serving(level, index, width)
                above = _hashes(self._directory.read(file)) if file else []
                below = hashes[index * TILE_WIDTH : index * TILE_WIDTH + width]
                for place, (is_, should) in enumerate(zip(above, below, strict=False)):
                    if file and is_ != should:
                        tile = LogFile(level - 1, index * TILE_WIDTH + place, TILE_WIDTH).path
                        self._report.fail("tiles", f"{file.path}, hash {place}", f"is not the root of {tile}")

    def _check_since(self, since: bytes | None, checkpoint: Checkpoint, leaves: list[bytes]) -> None:
        """Check that the log still begins with everything an earlier checkpoint committed it to."""
        if since is None:
            return
        earlier = self._open("earlier checkpoint", since)
        if earlier is None:
            return
        where = f"first {earlier.size} entries"
        if earlier.size > checkpoint.size:
            message = f"the log has {checkpoint.size} entries now and had {earlier.size}: it was cut"
            self._report.fail("consistency", where, message)
        elif root_of(leaves[: earlier.size]) != earlier.root:
            message = "they are not those of the earlier checkpoint: the log was rewritten"
            self._report.fail("consistency", where, message)
        else:
            self._report.proved.append(f"the log extends the earlier checkpoint of {earlier.size} entries")


def _tiles(count: int) -> list[tuple[int, int]]:
    """(index, width) of the tiles over `count` hashes or entries."""
    tiles = [(index, TILE_WIDTH) for index in range(count // TILE_WIDTH)]
    return [*tiles, (count // TILE_WIDTH, count % TILE_WIDTH)] if count % TILE_WIDTH else tiles


def _hashes(data: bytes) -> list[bytes]:
    """Cut a tile into its hashes; a torn last one is left out."""
    return [data[i : i + HASH_SIZE] for i in range(0, len(data) - HASH_SIZE + 1, HASH_SIZE)]
