"""What the recorder writes to its journal: fragments with the gaps before them, gaps alone, and other facts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lykta_contracts.events import CloudEvent, GapDeclared, new_event
from lykta_contracts.instants import from_ms
from lykta_contracts.mandates import MandateOrder
from lykta_contracts.media import GapCause

from lykta_ingest.agefile import Recipient
from lykta_ingest.domain import Fragment, Missing, Terms, Why
from lykta_ingest.fmp4 import fragment_head
from lykta_ingest.gop import Gop
from lykta_ingest.journal import FIRST_FREE_KIND, Record
from lykta_ingest.ledger import Ledger, LedgerState
from lykta_ingest.media import HEAD_ROOM, MediaBuffers

KIND_FRAGMENT = FIRST_FREE_KIND
KIND_EVENT = FIRST_FREE_KIND + 1


@dataclass(slots=True)
class Author:
    """Who states facts: the CloudEvents source, and the run whose Merkle leaves these are."""

    source: str
    run: str


def event_record(event: CloudEvent) -> Record:
    """Return the record that keeps an event until it is published."""
    return Record(KIND_EVENT, f"event/{event.id}", event.to_json())


def gap_event(author: Author, ledger: Ledger, hole: Missing, why: Why, token: int) -> CloudEvent:
    """Return the declaration of a gap; its id follows from camera and interval."""
    ref = ledger.ref
    gap_id = f"gap.{ref.key}.{hole.from_ms}.{hole.to_ms}"
    gap = GapDeclared(
        gap_id=gap_id,
        controller=ref.controller,
        camera=ref.camera,
        from_at=from_ms(hole.from_ms),
        to_at=from_ms(hole.to_ms),
        cause=GapCause(why.cause),
        detail=why.detail,
        fencing_token=token,
    )
    return new_event(gap, gap_id, author.source, from_ms(hole.to_ms))


@dataclass(slots=True)
class GapDraft:
    """Declares what is missing until an instant; also closes the open segment when asked, or skips foreign time."""

    author: Author
    ledger: Ledger
    order: MandateOrder | None
    until_ms: int
    why: Why
    token: int = 0
    close_segment: bool = False
    events: list[CloudEvent] = field(default_factory=list)
    closed: tuple[str, ...] = ()
    _before: LedgerState | None = None

    def build(self) -> Sequence[Record]:
        """Account for the time; without an order nothing is owed and the time is skipped."""
        self._before = self.ledger.state
        if self.close_segment:
            self.closed = self.ledger.close_segment()
        if self.order is None:
            self.ledger.skip_to(self.until_ms)
            return []
        self.events = [
            gap_event(self.author, self.ledger, hole, why, self.token)
            for hole, why in self.ledger.account(self.order, self.until_ms, self.why)
        ]
        if not self.events:
            return []
        records = [event_record(event) for event in self.events]
        last = records[-1]
        records[-1] = Record(
            last.kind, last.key, last.meta, subject=self.ledger.ref.key, position=self.ledger.state.covered_to_ms
        )
        return records

    def abandon(self) -> None:
        """The gap is still to be declared; the segment stays closed, which needs no record."""
        if self._before is not None:
            segment = None if self.close_segment else self._before.segment
            self.ledger.state = replace(self._before, segment=segment)
            self.ledger.owe(self._before.owed or self.why)
        self.events = []


@dataclass(slots=True)
class EventDraft:
    """Keeps one event until it is published."""

    event: CloudEvent

    def build(self) -> Sequence[Record]:
        """Return its record."""
        return [event_record(self.event)]

    def abandon(self) -> None:
        """Nothing was changed."""


class NothingDraft:
    """Keeps nothing; whoever queues it learns when all that was queued before it is settled."""

    def build(self) -> Sequence[Record]:
        """Return no record."""
        return []

    def abandon(self) -> None:
        """Nothing was changed."""


@dataclass(slots=True)
class FragmentDraft:
    """Makes a fragment of a GOP: fMP4, evidence hash, age file, leaf, segment; before it the gap that it ends."""

    author: Author
    ledger: Ledger
    order: MandateOrder
    terms: Terms
    gop: Gop
    buffers: MediaBuffers
    init: bytes
    recipient: Recipient
    why: Why
    clock: tuple[str, int, int]
    traceparent: str
    fragment: Fragment | None = None
    events: list[CloudEvent] = field(default_factory=list)
    closed: tuple[str, ...] = ()
    _before: LedgerState | None = None

    def build(self) -> Sequence[Record]:
        """Hash, encrypt and place; runs in the journal's worker and drops the plaintext as soon as it can."""
        gop = self.gop
        head = self.init + fragment_head(gop.sequence + 1, gop.start_ticks, gop.durations, gop.sizes, key=True)
        media = gop.buffer
        start = HEAD_ROOM - len(head)
        media.view[start:HEAD_ROOM] = head
        plaintext = media.view[start : media.end]
        digest = hashlib.sha256(plaintext).digest()
        cipher = self.recipient.encrypt(plaintext, self.buffers.scratch_of)
        self.buffers.give_back(media)
        cipher_digest = hashlib.sha256(cipher).digest()
        self._before = self.ledger.state
        holes = self.ledger.account(self.order, gop.from_ms, self.why)
        self.events = [gap_event(self.author, self.ledger, hole, why, self.terms.fencing_token) for hole, why in holes]
        placed = self.ledger.place(self.terms, (gop.from_ms, gop.to_ms), digest)
        self.closed = placed.closed
        self.fragment = Fragment(
            terms=self.terms,
            segment_id=placed.segment_id,
            hour=placed.hour,
            run=self.author.run,
            leaf=placed.leaf,
            root=placed.root.hex(),
            sha256=digest.hex(),
            cipher_sha256=cipher_digest.hex(),
            plain_length=len(plaintext),
            init_length=len(self.init),
            length=len(cipher),
            from_ms=gop.from_ms,
            to_ms=gop.to_ms,
            decode_time=gop.start_ticks,
            frames=len(gop.sizes),
            damaged=gop.damaged,
            clock=self.clock,
            traceparent=self.traceparent,
        )
        return [
            *(event_record(event) for event in self.events),
            Record(
                KIND_FRAGMENT,
                self.fragment.key,
                self.fragment.to_json(),
                cipher,
                cipher_digest,
                self.ledger.ref.key,
                gop.to_ms,
            ),
        ]

    def abandon(self) -> None:
        """The fragment is lost: give its leaf back and owe the gap that it leaves."""
        if self._before is not None:
            self.ledger.state = self._before
        self.ledger.owe(Why("DISK", "the spool could not take the fragment; make room on its disk"))
        self.events = []
        self.closed = ()
