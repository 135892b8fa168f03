"""Puts a segment object together from its fragments: age files back to back, then the index (docs/design/wire.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lykta_common.signing import Signer
from lykta_contracts.instants import from_ms
from lykta_contracts.media import CameraClock, FragmentEntry, SegmentIndex, object_key, write_trailer

from lykta_ingest.domain import Fragment
from lykta_ingest.journal import Location
from lykta_ingest.seal import make_seal


@dataclass(frozen=True, slots=True)
class Stored:
    """A fragment and where its age file lies in the spool."""

    fragment: Fragment
    location: Location


def segment_index(parts: Sequence[Fragment], signer: Signer) -> SegmentIndex:
    """Return the index of a segment; the same fragments and key always give the same index."""
    first, last = parts[0], parts[-1]
    terms = first.terms
    source, offset_ms, uncertainty_ms = last.clock
    seal = make_seal(
        (terms.controller, terms.camera, first.hour),
        (first.run, first.leaf, last.leaf + 1),
        bytes.fromhex(last.root),
        signer.key_id,
        signer.sign_raw,
    )
    return SegmentIndex(
        segment_id=first.segment_id,
        controller=terms.controller,
        camera=terms.camera,
        place=terms.place,
        mandate_id=terms.mandate_id,
        mandate_version=terms.mandate_version,
        epoch=terms.epoch,
        hour=first.hour,
        fencing_token=terms.fencing_token,
        from_at=from_ms(first.from_ms),
        to_at=from_ms(last.to_ms),
        codec=terms.codec,
        width=terms.width,
        height=terms.height,
        clock=CameraClock(
            source="rtcp" if source == "rtcp" else "arrival", offset_ms=offset_ms, uncertainty_ms=uncertainty_ms
        ),
        fragments=_entries(parts),
        seal=seal,
    )


def _entries(parts: Sequence[Fragment]) -> tuple[FragmentEntry, ...]:
    entries, offset = [], 0
    for one in parts:
        entries.append(
            FragmentEntry(
                offset=offset,
                length=one.length,
                sha256=one.sha256,
                cipher_sha256=one.cipher_sha256,
                plain_length=one.plain_length,
                init_length=one.init_length,
                from_at=from_ms(one.from_ms),
                to_at=from_ms(one.to_ms),
                decode_time=one.decode_time,
                frames=one.frames,
                damaged=one.damaged,
            )
        )
        offset += one.length
    return tuple(entries)


def segment_object(index: SegmentIndex, read: Callable[[int, memoryview], None]) -> tuple[str, bytearray]:
    """Return the object's key and bytes; `read` fills in the age file of the fragment with that number."""
    key = object_key(index.controller, index.camera, index.hour, index.segment_id)
    trailer = write_trailer(index)
    end = index.fragments[-1].offset + index.fragments[-1].length
    payload = bytearray(end + len(trailer))
    view = memoryview(payload)
    for number, entry in enumerate(index.fragments):
        read(number, view[entry.offset : entry.offset + entry.length])
    view[end:] = trailer
    return key, payload
