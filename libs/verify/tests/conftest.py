"""Builds small logs and clip packages, with their own plain code, for the verifier to look at."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from lykta_verify.clip import (
    SEAL_ACTION,
    ClipFragment,
    ClipGap,
    ClipManifest,
    ClipSeal,
    SealEntry,
    Span,
    encode_manifest,
    seal_statement,
)
from lykta_verify.files import ENTRIES, LogFile
from lykta_verify.merkle import leaf_hash, root_of, tile_levels

ORIGIN = "log.example/audit"
LOG_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RECORDER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def _note_key(name: str, key: Ed25519PrivateKey) -> tuple[bytes, bytes]:
    raw = b"\x01" + key.public_key().public_bytes_raw()
    return sha256(name.encode() + b"\n" + raw).digest()[:4], raw


def vkey(name: str = ORIGIN, key: Ed25519PrivateKey = LOG_KEY) -> str:
    """Verifier key of the test log."""
    key_id, raw = _note_key(name, key)
    return f"{name}+{key_id.hex()}+{base64.b64encode(raw).decode()}"


def checkpoint(entries: list[bytes], name: str = ORIGIN, key: Ed25519PrivateKey = LOG_KEY) -> bytes:
    """Signed checkpoint over these entries."""
    root = base64.b64encode(root_of([leaf_hash(entry) for entry in entries])).decode()
    text = f"{name}\n{len(entries)}\n{root}\n"
    signature = _note_key(name, key)[0] + key.sign(text.encode())
    return f"{text}\n— {name} {base64.b64encode(signature).decode()}\n".encode()


def write_log(directory: Path, entries: list[bytes], *, history: tuple[int, ...] = ()) -> Path:
    """Write a log directory as published at the sizes in `history` and then at its full size."""
    for size in (*history, len(entries)):
        levels = [[leaf_hash(entry) for entry in entries[:size]], *tile_levels([*map(leaf_hash, entries[:size])])[1:]]
        for level, hashes in [(ENTRIES, levels[0]), *enumerate(levels)]:
            for begin in range(0, len(hashes), 256):
                width = min(256, len(hashes) - begin)
                path = directory / LogFile(level, begin // 256, width).path
                path.parent.mkdir(parents=True, exist_ok=True)
                if level == ENTRIES:
                    bundle = entries[begin : begin + width]
                    path.write_bytes(b"".join(len(entry).to_bytes(2, "big") + entry for entry in bundle))
                else:
                    path.write_bytes(b"".join(hashes[begin : begin + width]))
    (directory / "checkpoint").write_bytes(checkpoint(entries))
    return directory


def proof(leaves: list[bytes], index: int) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962 §2.1.1, word for word, over leaf hashes."""
    if len(leaves) < 2:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*proof(leaves[:split], index), root_of(leaves[split:])]
    return [*proof(leaves[split:], index - split), root_of(leaves[:split])]


@dataclass
class ClipParts:
    """What a package is made of, so that a test can change a part and write it anew."""

    media: bytes
    manifest: ClipManifest
    entries: list[bytes]

    def write(self, directory: Path) -> Path:
        """Write the package."""
        directory.mkdir(exist_ok=True)
        (directory / "clip.mp4").write_bytes(self.media)
        (directory / "manifest.json").write_bytes(encode_manifest(self.manifest))
        return directory


def build_clip(fragment_size: int = 60) -> ClipParts:
    """Build a clip of three fragments, the leaves 2 to 4 of an hour of six, sealed in entry 4 of a log of seven."""
    init = b"\x00\x00\x00\x18ftyp-and-moov"
    bodies = [bytes((number,)) * fragment_size for number in range(6)]
    hashes = [sha256(init + body).digest() for body in bodies]
    leaves = [leaf_hash(item) for item in hashes]
    unsigned = ClipSeal(
        "20261123T08", "01JD0000000000000000000000", 6, root_of(leaves).hex(), "k1", "", SealEntry(0, "", ())
    )
    signature = base64.b64encode(RECORDER_KEY.sign(seal_statement("ks", "torg-1", unsigned))).decode()
    details = {"camera": "torg-1", "hour": unsigned.hour, "run": unsigned.run, "count": "6", "root": unsigned.root}
    record = {"action": SEAL_ACTION, "controller": "ks", "details": details | {"key_id": "k1", "signature": signature}}
    entries = [f"entry {number}".encode() for number in range(7)]
    entries[4] = json.dumps(record).encode()
    log_leaves = [leaf_hash(entry) for entry in entries]
    entry = SealEntry(4, entries[4].decode(), tuple(item.hex() for item in proof(log_leaves, 4)))
    seal = ClipSeal(unsigned.hour, unsigned.run, 6, unsigned.root, "k1", signature, entry)
    media, fragments = init, []
    for leaf in (2, 3, 4):
        span = Span(len(media), fragment_size)
        media += bodies[leaf]
        times = f"2026-11-23T08:00:0{leaf}.000Z", f"2026-11-23T08:00:0{leaf + 1}.000Z"
        path = tuple(item.hex() for item in proof(leaves, leaf))
        part = ClipFragment("clip.mp4", Span(0, len(init)), span, *times, hashes[leaf].hex(), 0, leaf, path)
        fragments.append(part)
    asked = "2026-11-23T08:00:02.000Z", "2026-11-23T08:00:06.000Z"
    gap = ClipGap("2026-11-23T08:00:05.000Z", "2026-11-23T08:00:06.000Z", "NETWORK")
    manifest = ClipManifest("ks", "torg-1", *asked, tuple(fragments), (seal,), checkpoint(entries).decode(), (gap,))
    return ClipParts(media, manifest, entries)


@dataclass(frozen=True)
class Builders:
    """The builders, as tests in importlib mode reach them."""

    vkey: Callable[..., str] = vkey
    checkpoint: Callable[..., bytes] = checkpoint
    write_log: Callable[..., Path] = write_log
    proof: Callable[[list[bytes], int], list[bytes]] = proof
    build_clip: Callable[..., ClipParts] = build_clip
    log_key: Ed25519PrivateKey = LOG_KEY
    recorder_key: Ed25519PrivateKey = RECORDER_KEY


@pytest.fixture(scope="session")
def builders() -> Builders:
    """Give the builders of logs and clips."""
    return Builders()
