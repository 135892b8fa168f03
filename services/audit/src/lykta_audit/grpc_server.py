"""Serves `lykta.audit.v1.LogService`: messages in, use cases, messages out."""

from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lykta.audit.v1 import log_service_pb2 as pb
from lykta.audit.v1 import log_service_pb2_grpc
from lykta_common.errors import Code, PlatformError, invalid
from lykta_common.identity import bearer_token
from lykta_contracts.audit import Actor, AuditRecord
from lykta_contracts.instants import to_ms
from pydantic import ValidationError

from lykta_audit import domain
from lykta_audit.keeper import LogKeeper
from lykta_audit.usecases import LogProver, LogReader, append_records

Context = grpc.aio.ServicerContext[Any, Any]

SERVICE_NAME = "lykta.audit.v1.LogService"
WRITERS = frozenset({"ingest", "analytics", "storage", "access-control"})
READERS = WRITERS | {"cli", "test-tool"}
ALLOWED = {SERVICE_NAME: READERS, f"/{SERVICE_NAME}/Append": WRITERS}
"""Services append; people read through the command line or the edge, with their own token."""


class LogServicer(log_service_pb2_grpc.LogServiceServicer):
    """The log over gRPC."""

    def __init__(self, origin: str, keeper: LogKeeper, reader: LogReader, prover: LogProver) -> None:
        self._origin = origin
        self._keeper = keeper
        self._reader = reader
        self._prover = prover

    async def Append(self, request: pb.AppendRequest, context: Context) -> pb.AppendResponse:
        """Log records durably."""
        records = [_record(message) for message in request.records]
        places = await append_records(self._keeper, records)
        receipts = [
            pb.Receipt(entry_id=record.entry_id, index=place.index, leaf_hash=place.leaf_hash, origin=self._origin)
            for record, place in zip(records, places, strict=True)
        ]
        return pb.AppendResponse(receipts=receipts)

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:
        """Search within one controller, for a person."""
        query = _query(request)
        found = await self._reader.search(bearer_token(context), query)
        page = found[: query.page_size]
        more = domain.write_token(page[-1].index) if len(found) > len(page) else ""
        return pb.SearchResponse(records=[_logged(entry) for entry in page], next_page_token=more)

    async def GetEntry(self, request: pb.GetEntryRequest, context: Context) -> pb.GetEntryResponse:
        """Read one entry with its exact leaf."""
        entry = await self._reader.entry(_token_or_none(context), request.index, request.entry_id)
        return pb.GetEntryResponse(record=_logged(entry), leaf=entry.leaf)

    async def GetInclusionProof(
        self, request: pb.GetInclusionProofRequest, context: Context
    ) -> pb.GetInclusionProofResponse:
        """Prove an entry in a published tree."""
        proof = await self._prover.inclusion(request.index, request.tree_size)
        return pb.GetInclusionProofResponse(
            index=proof.index, tree_size=proof.size, leaf_hash=proof.leaf_hash, hashes=proof.hashes
        )

    async def GetConsistencyProof(
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        """Prove that one published tree extends another."""
        new_size, hashes = await self._prover.consistency(request.old_size, request.new_size)
        return pb.GetConsistencyProofResponse(old_size=request.old_size, new_size=new_size, hashes=hashes)

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: Context) -> pb.GetCheckpointResponse:
        """Give the published checkpoint, waiting for a size when asked to."""
        found = await self._prover.checkpoint(request.min_size)
        return pb.GetCheckpointResponse(
            checkpoint=found.note.decode(), size=found.size, verifier_key=self._prover.verifier_key
        )


def _token_or_none(context: Context) -> str:
    """Give the person's token; empty when none was sent."""
    try:
        return bearer_token(context)
    except PlatformError as error:
        if error.code is Code.UNAUTHENTICATED:
            return ""
        raise


def _record(message: pb.AuditRecord) -> AuditRecord:
    """Read a record. Raises INVALID_FIELD that names the first bad field."""
    try:
        return AuditRecord.model_validate(
            {
                "entry_id": message.entry_id,
                "occurred_at": _instant(message.occurred_at, "occurred_at"),
                "actor": {"kind": message.actor.kind, "id": message.actor.id},
                "controller": message.controller,
                "action": message.action,
                "object": message.object,
                "purpose": message.purpose,
                "case_id": message.case_id,
                "grant_id": message.grant_id,
                "result": message.result,
                "reason": message.reason,
                "details": dict(message.details),
                "correlation_id": message.correlation_id,
            }
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise invalid(f"record {message.entry_id!r}: {where}: {first['msg']}") from error


def _query(request: pb.SearchRequest) -> domain.SearchQuery:
    """Read a search. Raises INVALID_FIELD."""
    try:
        return domain.SearchQuery(
            controller=request.controller,
            action=request.action,
            actor_id=request.actor_id,
            case_id=request.case_id,
            object=request.object,
            from_ms=to_ms(_instant(getattr(request, "from"), "from")) if request.HasField("from") else None,
            to_ms=to_ms(_instant(request.to, "to")) if request.HasField("to") else None,
            page_size=domain.page_size(request.page_size),
            below=domain.read_token(request.page_token),
        )
    except ValueError as error:
        raise invalid(str(error)) from error


def _instant(stamp: Timestamp, name: str) -> datetime:
    """Read a timestamp. Raises INVALID_FIELD when it is outside the calendar."""
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid(f"{name} is not an instant") from error


def _logged(entry: domain.StoredEntry) -> pb.LoggedRecord:
    """Write a record at its place; it is read from the leaf, never from the search columns."""
    record = domain.record_of(entry.leaf)
    stamp = Timestamp()
    stamp.FromDatetime(record.occurred_at)
    actor: Actor = record.actor
    message = pb.AuditRecord(
        entry_id=record.entry_id,
        occurred_at=stamp,
        actor=pb.Actor(kind=actor.kind, id=actor.id),
        controller=record.controller,
        action=record.action,
        object=record.object,
        purpose=record.purpose,
        case_id=record.case_id,
        grant_id=record.grant_id,
        result=record.result,
        reason=record.reason,
        details=record.details,
        correlation_id=record.correlation_id,
    )
    return pb.LoggedRecord(index=entry.index, record=message)
