"""Domain values as protobuf messages, and back."""

from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp
from lykta.storage.v1 import catalogue_service_pb2 as catalogue_pb2
from lykta.storage.v1 import playback_service_pb2 as playback_pb2
from lykta_contracts.instants import from_ms, to_ms

from lykta_storage.domain.footage import DeclaredGap, SegmentSummary
from lykta_storage.domain.spans import Span
from lykta_storage.domain.timeline import EdgeItem, GapItem
from lykta_storage.playback.reader import FragmentPart, InitPart, Part
from lykta_storage.playback.vigil import Ended


def to_timestamp(unix_ms: int) -> Timestamp:
    """Turn unix milliseconds into a protobuf instant."""
    stamp = Timestamp()
    stamp.FromDatetime(from_ms(unix_ms))
    return stamp


def from_timestamp(stamp: Timestamp) -> int:
    """Turn a protobuf instant into unix milliseconds, rounded down."""
    return to_ms(stamp.ToDatetime(tzinfo=UTC))


def to_gap(span: Span, cause: str, gap_id: str) -> playback_pb2.Gap:
    """Write a gap; the cause UNKNOWN is UNSPECIFIED on the wire."""
    known = "UNSPECIFIED" if cause == "UNKNOWN" else cause
    gap = playback_pb2.Gap(cause=playback_pb2.GapCause.Value(f"GAP_CAUSE_{known}"), gap_id=gap_id)
    getattr(gap, "from").CopyFrom(to_timestamp(span[0]))
    gap.to.CopyFrom(to_timestamp(span[1]))
    return gap


def to_declared(gap: DeclaredGap) -> playback_pb2.Gap:
    """Write a declared gap."""
    return to_gap(gap.span, gap.cause, gap.gap_id)


def to_segment(found: SegmentSummary, with_key: bool) -> catalogue_pb2.Segment:
    """Write a listed segment; the object's key only where the caller may know it."""
    segment = catalogue_pb2.Segment(
        segment_id=found.segment_id,
        controller=found.controller,
        camera=found.camera,
        to=to_timestamp(found.to_ms),
        fragments=found.fragments,
        size_bytes=found.size_bytes,
        codec=found.codec,
        state=found.state.value,
        mandate_id=found.mandate_id,
        object_key=found.object_key if with_key else "",
    )
    getattr(segment, "from").CopyFrom(to_timestamp(found.from_ms))
    return segment


def to_response(part: Part | Ended) -> playback_pb2.ReadResponse:
    """Write one item of the ordered stream."""
    if isinstance(part, InitPart):
        init = playback_pb2.Init(codec=part.codec, epoch=part.epoch, bytes=part.payload)
        return playback_pb2.ReadResponse(init=init)
    if isinstance(part, FragmentPart):
        return playback_pb2.ReadResponse(fragment=_fragment(part))
    if isinstance(part, GapItem):
        return playback_pb2.ReadResponse(gap=to_gap(part.span, part.cause, part.gap_id))
    if isinstance(part, EdgeItem):
        return playback_pb2.ReadResponse(edge=_edge(part))
    return playback_pb2.ReadResponse(revoked=playback_pb2.Revoked(reason=part.reason, message=part.message))


def _edge(item: EdgeItem) -> playback_pb2.Edge:
    reason = playback_pb2.EdgeReason.Value(f"EDGE_REASON_{item.reason.value}")
    edge = playback_pb2.Edge(reason=reason, to=to_timestamp(item.span[1]))
    getattr(edge, "from").CopyFrom(to_timestamp(item.span[0]))
    return edge


def _fragment(part: FragmentPart) -> playback_pb2.Fragment:
    found, proven = part.fragment, part.proven
    seal = playback_pb2.Seal(
        run=proven.run,
        leaf_index=found.leaf,
        count=proven.root.count,
        root=bytes.fromhex(proven.root.root),
        key_id=proven.root.key_id,
        signature=proven.signature,
        path=proven.tree.path(found.leaf),
        hour=proven.hour.hour,
        audit_entry_id=proven.root.audit_entry_id,
    )
    fragment = playback_pb2.Fragment(
        to=to_timestamp(found.to_ms),
        sha256=bytes.fromhex(found.sha256),
        bytes=part.payload,
        seal=seal,
        segment_id=found.segment_id,
    )
    getattr(fragment, "from").CopyFrom(to_timestamp(found.from_ms))
    return fragment
