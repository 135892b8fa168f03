"""Rows of the footage catalogue: segments, fragments and declared gaps."""

from dataclasses import dataclass
from typing import Any

from lykta_common.database import Database
from lykta_common.errors import Code, PlatformError
from lykta_common.outbox import Outbox
from lykta_contracts.events import CloudEvent, GapDeclared
from lykta_contracts.instants import to_ms
from lykta_contracts.media import SegmentIndex
from sqlalchemy import BigInteger, and_, func, literal, or_, select, tuple_

from lykta_storage.domain.deletion import HourState
from lykta_storage.domain.footage import (
    LONGEST_FRAGMENT_MS,
    CameraHour,
    DeclaredGap,
    LeafSeal,
    SealedFragment,
    SegmentState,
    SegmentSummary,
)
from lykta_storage.domain.spans import Span
from lykta_storage.store.tables import fragments, gaps, hours, insert_new, sealed_roots, segments


@dataclass(frozen=True)
class SegmentObject:
    """A segment, where its object is, and a digest of its index."""

    index: SegmentIndex
    key: str
    size_bytes: int
    index_sha256: str


class FootageStore:
    """The catalogue in the database; every method is one transaction."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def commit(self, found: SegmentObject, announce: CloudEvent | None) -> SegmentState:
        """Write a segment and its fragments, and the event that says so; again changes nothing.

        Returns `deleted` when its hour's key is destroyed already: then the object must go. Raises PlatformError
        CONFLICT when the id is taken by other content.
        """
        index = found.index
        hour = {"controller": index.controller, "camera": index.camera, "hour": index.hour}
        async with self._database.transaction() as connection:
            known = select(segments.c.index_sha256, segments.c.state).where(_same_segment(index))
            row = (await connection.execute(known)).one_or_none()
            if row is not None and row.index_sha256 != found.index_sha256:
                message = f"segment {index.segment_id} is in the catalogue with other content"
                raise PlatformError(Code.FAILED_PRECONDITION, "CONFLICT", message)
            if row is None:
                fresh = {"state": HourState.OPEN, "recipient": "", "policy": "", "segment_ids": "", "segment_count": 0}
                await insert_new(connection, hours, [{**hour, **fresh}])
                in_hour = and_(*(hours.c[name] == value for name, value in hour.items()))
                lives = (await connection.scalar(select(hours.c.state).where(in_hour))) == HourState.OPEN
                state = SegmentState.STORED if lives else SegmentState.DELETED
                await insert_new(connection, segments, [_segment_row(found, state)])
                await insert_new(connection, fragments, _fragment_rows(index))
            else:
                state = SegmentState(row.state)
            if announce is not None:
                await self._outbox.add(connection, announce)
        return state

    async def commit_gap(self, gap: GapDeclared) -> None:
        """Write a declared gap; again changes nothing."""
        row = gap.model_dump(include={"controller", "camera", "gap_id", "detail", "fencing_token"})
        row |= {"from_ms": to_ms(gap.from_at), "to_ms": to_ms(gap.to_at), "cause": gap.cause.value}
        async with self._database.transaction() as connection:
            await insert_new(connection, gaps, [row])

    async def fragments_between(self, controller: str, camera: str, span: Span) -> list[SealedFragment]:
        """Return the fragments that overlap a span, in order, those that are deleted too."""
        joined = fragments.join(
            segments,
            and_(fragments.c.controller == segments.c.controller, fragments.c.segment_id == segments.c.segment_id),
        )
        query = select(fragments, *_SEGMENT_FACTS).select_from(joined).where(_overlap(controller, camera, span))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.order_by(fragments.c.from_ms, fragments.c.leaf))).all()
        return [_fragment(row) for row in rows]

    async def recorded_between(self, controller: str, camera: str, span: Span) -> list[tuple[int, Span]]:
        """Return epoch and span of every fragment that overlaps a span, those that are deleted too."""
        query = select(segments.c.epoch, fragments.c.from_ms, fragments.c.to_ms).select_from(_WHOLE)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.where(_overlap(controller, camera, span)))).all()
        return [(row.epoch, (row.from_ms, row.to_ms)) for row in rows]

    async def gaps_between(self, controller: str, camera: str, span: Span) -> list[DeclaredGap]:
        """Return the declared gaps that overlap a span, in order."""
        query = (
            select(gaps)
            .where(gaps.c.controller == controller, gaps.c.camera == camera)
            .where(gaps.c.from_ms < span[1], gaps.c.to_ms > span[0])
            .order_by(gaps.c.from_ms, gaps.c.gap_id)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [DeclaredGap(row.gap_id, row.from_ms, row.to_ms, row.cause) for row in rows]

    async def segments_between(
        self, controller: str, camera: str, span: Span, after: tuple[int, str] | None, limit: int
    ) -> list[SegmentSummary]:
        """Return at most `limit` segments that overlap a span, oldest first, after a `(from_ms, segment_id)`."""
        query = select(segments).where(segments.c.controller == controller, segments.c.camera == camera)
        query = query.where(segments.c.from_ms < span[1], segments.c.to_ms > span[0])
        if after is not None:
            query = query.where(
                tuple_(segments.c.from_ms, segments.c.segment_id)
                > tuple_(literal(after[0], BigInteger), literal(after[1]))
            )
        query = query.order_by(segments.c.from_ms, segments.c.segment_id).limit(limit)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [_summary(row) for row in rows]

    async def leaves(self, hour: CameraHour, run: str) -> list[bytes]:
        """Return the leaf inputs of a recorder's run in an hour: the fragment hashes from leaf 0 to the first hole."""
        query = (
            select(fragments.c.leaf, fragments.c.sha256)
            .where(_in_hour(fragments, hour), fragments.c.run == run)
            .order_by(fragments.c.leaf)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [bytes.fromhex(row.sha256) for place, row in enumerate(rows) if row.leaf == place]

    async def seals(self, hour: CameraHour, run: str, most: int) -> list[LeafSeal]:
        """Return the recorder's seals of a run that cover at most `most` leaves, the largest first."""
        query = (
            select(segments)
            .where(_in_hour(segments, hour), segments.c.run == run, segments.c.seal_count <= most)
            .order_by(segments.c.seal_count.desc())
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [LeafSeal(row.seal_count, row.seal_root, row.seal_key_id, row.seal_signature, row.to_ms) for row in rows]

    async def unsealed(self, before_hour: str) -> list[tuple[CameraHour, str]]:
        """Return each hour before one, with its run, whose newest seal is not in the audit log yet."""
        names = ("controller", "camera", "hour", "run")
        newest = select(*(segments.c[name] for name in names), func.max(segments.c.seal_count).label("leaves"))
        newest = newest.where(segments.c.hour < before_hour).group_by(*(segments.c[name] for name in names))
        logged = select(*(sealed_roots.c[name] for name in names), func.max(sealed_roots.c.leaf_count).label("leaves"))
        recorder, log = newest.subquery(), logged.group_by(*(sealed_roots.c[name] for name in names)).subquery()
        joined = recorder.outerjoin(log, and_(*(recorder.c[name] == log.c[name] for name in names)))
        missing = or_(log.c.leaves.is_(None), log.c.leaves < recorder.c.leaves)
        query = select(recorder).select_from(joined).where(missing).order_by(*(recorder.c[name] for name in names))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [(CameraHour(row.controller, row.camera, row.hour), row.run) for row in rows]


_WHOLE = fragments.join(
    segments, and_(fragments.c.controller == segments.c.controller, fragments.c.segment_id == segments.c.segment_id)
)
_SEGMENT_FACTS = (
    segments.c.epoch,
    segments.c.codec,
    segments.c.fencing_token,
    segments.c.mandate_id,
    segments.c.mandate_version,
    segments.c.object_key,
    segments.c.state,
)


def _same_segment(index: SegmentIndex) -> Any:
    return and_(segments.c.controller == index.controller, segments.c.segment_id == index.segment_id)


def _in_hour(table: Any, hour: CameraHour) -> Any:
    return and_(table.c.controller == hour.controller, table.c.camera == hour.camera, table.c.hour == hour.hour)


def _overlap(controller: str, camera: str, span: Span) -> Any:
    # No fragment is longer than the bound, so that the index is read over the span and not from the beginning.
    reach = fragments.c.from_ms.between(span[0] - LONGEST_FRAGMENT_MS, span[1] - 1)
    mine = and_(fragments.c.controller == controller, fragments.c.camera == camera)
    return and_(mine, reach, fragments.c.to_ms > span[0])


def _segment_row(found: SegmentObject, state: SegmentState) -> dict[str, Any]:
    index, seal = found.index, found.index.seal
    names = {"controller", "segment_id", "camera", "hour", "place", "epoch", "fencing_token", "mandate_id"}
    row = index.model_dump(include=names | {"mandate_version", "codec", "width", "height"})
    return row | {
        "from_ms": to_ms(index.from_at),
        "to_ms": to_ms(index.to_at),
        "fragments": len(index.fragments),
        "clock_source": index.clock.source,
        "clock_offset_ms": index.clock.offset_ms,
        "clock_uncertainty_ms": index.clock.uncertainty_ms,
        "object_key": found.key,
        "size_bytes": found.size_bytes,
        "index_sha256": found.index_sha256,
        "run": seal.run,
        "seal_first_leaf": seal.first_leaf,
        "seal_count": seal.count,
        "seal_root": seal.root,
        "seal_key_id": seal.key_id,
        "seal_signature": seal.signature,
        "state": state,
    }


def _fragment_rows(index: SegmentIndex) -> list[dict[str, Any]]:
    common = index.model_dump(include={"controller", "segment_id", "camera", "hour"}) | {"run": index.seal.run}
    plain = {"sha256", "cipher_sha256", "plain_length", "init_length", "decode_time", "frames", "damaged"}
    return [
        common
        | entry.model_dump(include=plain)
        | {
            "position": position,
            "leaf": index.seal.first_leaf + position,
            "byte_offset": entry.offset,
            "byte_length": entry.length,
            "from_ms": to_ms(entry.from_at),
            "to_ms": to_ms(entry.to_at),
        }
        for position, entry in enumerate(index.fragments)
    ]


def _fragment(row: Any) -> SealedFragment:
    return SealedFragment(
        segment_id=row.segment_id,
        hour=row.hour,
        epoch=row.epoch,
        codec=row.codec,
        fencing_token=row.fencing_token,
        mandate_id=row.mandate_id,
        mandate_version=row.mandate_version,
        run=row.run,
        leaf=row.leaf,
        object_key=row.object_key,
        offset=row.byte_offset,
        length=row.byte_length,
        sha256=row.sha256,
        cipher_sha256=row.cipher_sha256,
        init_length=row.init_length,
        from_ms=row.from_ms,
        to_ms=row.to_ms,
        state=SegmentState(row.state),
    )


def _summary(row: Any) -> SegmentSummary:
    return SegmentSummary(
        segment_id=row.segment_id,
        controller=row.controller,
        camera=row.camera,
        from_ms=row.from_ms,
        to_ms=row.to_ms,
        fragments=row.fragments,
        size_bytes=row.size_bytes,
        codec=row.codec,
        state=SegmentState(row.state),
        mandate_id=row.mandate_id,
        object_key=row.object_key,
    )
