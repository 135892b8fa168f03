"""Footage as a stranger reads it: objects, trailers and MP4 boxes, and the comparison with what a camera sent."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyrage
from lykta.storage.v1 import catalogue_service_pb2 as catalogue
from minio import Minio

from tests.integration.client import Client, instant, stamp

TRAILER_MAGIC = b"LYKTAIX1"
IDR, SPS, PPS = 5, 7, 8
NEAR_SECONDS = 30.0
"""The demo film loops after more than twice this, so a picture is told from its repetition."""


@dataclass(frozen=True)
class StoredFragment:
    """One GOP from the bucket, decrypted."""

    camera: str
    segment_id: str
    from_at: datetime
    to_at: datetime
    plain: bytes
    sha256: str

    @property
    def nals(self) -> list[bytes]:
        """The NAL units in order."""
        return nal_units(self.plain)


@dataclass
class SentGop:
    """One GOP as the camera sent it to one client: hashes and kinds of its NAL units."""

    session: str
    at: float
    hashes: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    stored: int = 0
    """How many of its NAL units are stored, from the first."""

    @property
    def lost_frames(self) -> int:
        """How many of its frames are not stored whole."""
        return len(set(self.frames[self.stored :]))

    @property
    def frame_count(self) -> int:
        """How many frames it has."""
        return len(set(self.frames))


class Bucket:
    """The buckets, footage and log, read with the reader's credentials of `platform.json`."""

    def __init__(self, client: Client) -> None:
        platform = client.platform
        keys = json.loads(Path(platform.s3_credentials_file).read_text())
        url = urlsplit(platform.s3_endpoint)
        self._client = client
        self._buckets = platform.s3_buckets
        self._s3 = Minio(
            url.netloc, access_key=keys["access_key"], secret_key=keys["secret_key"], secure=url.scheme == "https"
        )
        self._identities: dict[tuple[str, str, str], str] = {}

    def object(self, key: str, use: str = "footage") -> bytes:
        """Return the bytes of an object; `use` names the bucket as `platform.json` does."""
        answer = self._s3.get_object(self._buckets[use], key)
        try:
            return bytes(answer.read())
        finally:
            answer.close()
            answer.release_conn()

    def keys(self, prefix: str, use: str = "footage") -> list[str]:
        """Return the keys below a prefix."""
        return [str(one.object_name) for one in self._s3.list_objects(self._buckets[use], prefix, recursive=True)]

    def identity(self, controller: str, camera: str, hour: str) -> str:
        """Return the private half of a camera-hour key (a test tool's right)."""
        wanted = (controller, camera, hour)
        if wanted not in self._identities:
            request = catalogue.ExportHourKeyRequest(controller=controller, camera=camera, hour=hour)
            self._identities[wanted] = self._client.ask("MediaKeyService.ExportHourKey", request).identity
        return self._identities[wanted]

    def fragments(self, key: str) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield index entry and age file of every fragment of an object; AssertionError when a hash does not fit."""
        raw = self.object(key)
        for entry in trailer(raw)["fragments"]:
            cipher = raw[entry["offset"] : entry["offset"] + entry["length"]]
            assert hashlib.sha256(cipher).hexdigest() == entry["cipher_sha256"], f"{key}: not the bytes of its index"
            yield entry, cipher

    def decrypted(self, key: str) -> list[StoredFragment]:
        """Return the fragments of an object in the clear; AssertionError when evidence does not fit its hash."""
        index = trailer(self.object(key))
        secret = pyrage.x25519.Identity.from_str(self.identity(index["controller"], index["camera"], index["hour"]))
        found = []
        for entry, cipher in self.fragments(key):
            plain = bytes(pyrage.decrypt(cipher, [secret]))
            assert hashlib.sha256(plain).hexdigest() == entry["sha256"], f"{key}: the evidence hash does not fit"
            times = [datetime.fromisoformat(entry[name]) for name in ("from_at", "to_at")]
            found.append(
                StoredFragment(index["camera"], index["segment_id"], times[0], times[1], plain, entry["sha256"])
            )
        return found


def trailer(raw: bytes) -> dict[str, Any]:
    """Return the index at the end of a segment object."""
    assert raw[-8:] == TRAILER_MAGIC, "the object does not end in a trailer"
    length = int.from_bytes(raw[-12:-8], "big")
    return dict(json.loads(raw[-12 - length : -12]))


def boxes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield kind and body of the boxes of an MP4 (ISO/IEC 14496-12, 4.2; sizes of 32 bits)."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        assert 8 <= size <= len(data) - at, f"box of {size} bytes at {at} of {len(data)}"
        yield data[at + 4 : at + 8].decode("latin-1"), data[at + 8 : at + size]
        at += size


def nal_units(mp4: bytes) -> list[bytes]:
    """Return the NAL units of every `mdat` in order (4-byte lengths, ISO/IEC 14496-15)."""
    found = []
    for kind, body in boxes(mp4):
        at = 0
        while kind == "mdat" and at < len(body):
            size = int.from_bytes(body[at : at + 4], "big")
            assert 0 < size <= len(body) - at - 4, f"NAL unit of {size} bytes at {at} of {len(body)}"
            found.append(body[at + 4 : at + 4 + size])
            at += 4 + size
    return found


def listed(
    client: Client, camera: str, *, person: str = "anna", controller: str = "ks", since: datetime | None = None
) -> list[Any]:
    """Return every segment of a camera that the catalogue lists, over all pages."""
    found: list[Any] = []
    token = ""
    while True:
        request = catalogue.ListFootageRequest(controller=controller, camera=camera, page_size=1000, page_token=token)
        if since is not None:
            getattr(request, "from").CopyFrom(stamp(since))
        answer = client.ask("CatalogueService.ListFootage", request, person)
        found += answer.segments
        token = answer.next_page_token
        if not token:
            return found


def gaps(client: Client, camera: str, since: datetime, *, person: str = "anna", controller: str = "ks") -> list[Any]:
    """Return the declared gaps of a camera that end after an instant."""
    request = catalogue.ListGapsRequest(controller=controller, camera=camera)
    getattr(request, "from").CopyFrom(stamp(since))
    answer = client.ask("CatalogueService.ListGaps", request, person)
    return [gap for gap in answer.gaps if instant(gap.to) > since]


def coverage(client: Client, camera: str, interval: tuple[datetime, datetime], *, person: str = "anna") -> Any:
    """Return the balance of one camera of `ks` over an interval."""
    request = catalogue.CoverageRequest(controller="ks", camera=camera, to=stamp(interval[1]))
    getattr(request, "from").CopyFrom(stamp(interval[0]))
    (balance,) = client.ask("CatalogueService.Coverage", request, person).cameras
    return balance


def sent_gops(capture: Path, cut_at: float | None = None) -> dict[str, list[SentGop]]:
    """Read what a camera sent: by session, in order, cut before every key frame.

    A client that went away at `cut_at` (unix seconds) got nothing after that, whatever the camera still handed over.
    """
    rows = [json.loads(line) for line in capture.read_text().splitlines() if line.endswith("}")]
    begun: dict[str, float] = {}
    for row in rows:
        begun.setdefault(row["session"], row["at"])
    keys = {(row["session"], row["frame"]) for row in rows if row["kind"] == IDR}
    started: set[tuple[str, int]] = set()
    sessions: dict[str, list[SentGop]] = defaultdict(list)
    for row in rows:
        session, name = row["session"], (row["session"], row["frame"])
        if cut_at is not None and begun[session] <= cut_at < row["at"]:
            continue
        if name in keys and name not in started:
            started.add(name)
            sessions[session].append(SentGop(session, row["at"]))
        sessions[session][-1].hashes.append(row["sha256"])
        sessions[session][-1].frames.append(row["frame"])
    return dict(sessions)


def match(sessions: dict[str, list[SentGop]], stored: Iterable[StoredFragment]) -> list[StoredFragment]:
    """Mark in every sent GOP how much of it is stored; returns stored fragments that no camera sent."""
    sent = [gop for found in sessions.values() for gop in found]
    strangers = []
    for fragment in stored:
        hashes = [hashlib.sha256(nal).hexdigest() for nal in fragment.nals]
        at = fragment.from_at.replace(tzinfo=fragment.from_at.tzinfo or UTC).timestamp()
        near = [gop for gop in sent if not gop.stored and abs(gop.at - at) < NEAR_SECONDS and _begins(gop, hashes)]
        if near:
            min(near, key=lambda gop: abs(gop.at - at)).stored = len(hashes)
        else:
            strangers.append(fragment)
    return strangers


def _begins(gop: SentGop, hashes: list[str]) -> bool:
    return len(hashes) <= len(gop.hashes) and gop.hashes[: len(hashes)] == hashes
