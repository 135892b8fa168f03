"""The services that storage asks, over gRPC."""

from collections.abc import Sequence
from datetime import UTC, datetime

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lykta.access_control.v1 import policy_service_pb2 as policy_pb2
from lykta.access_control.v1 import policy_service_pb2_grpc as policy_grpc
from lykta.audit.v1 import log_service_pb2 as log_pb2
from lykta.audit.v1 import log_service_pb2_grpc as log_grpc
from lykta_common.errors import Code, PlatformError
from lykta_common.identity import bearer_metadata
from lykta_common.rpc import call
from lykta_contracts.audit import AuditRecord
from lykta_contracts.instants import from_ms

from lykta_storage.ports import Ask, Decision, Receipt


class AccessControlPeer:
    """`PolicyService` of access-control."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = policy_grpc.PolicyServiceStub(channel)

    async def authorize(self, ask: Ask, bearer: str, deadline_seconds: float) -> Decision:
        """Ask one question; a refusal is an answer. Raises PlatformError when there is no answer."""
        request = policy_pb2.AuthorizeRequest(
            action=ask.action, controller=ask.controller, camera=ask.camera, grant_id=ask.grant_id
        )
        if ask.span is not None:
            getattr(request, "from").FromDatetime(from_ms(ask.span[0]))
            request.to.FromDatetime(from_ms(ask.span[1]))
        metadata = bearer_metadata(bearer)
        reply = await call("access-control", self._stub.Authorize(request, timeout=deadline_seconds, metadata=metadata))
        until = reply.valid_until.ToDatetime(tzinfo=UTC) if reply.HasField("valid_until") else None
        return Decision(
            reply.allowed, reply.reason, reply.message, reply.person_id, reply.case_id, reply.purpose, until
        )


class AuditPeer:
    """`LogService` of audit."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = log_grpc.LogServiceStub(channel)

    async def append(self, records: Sequence[AuditRecord], deadline_seconds: float) -> list[Receipt]:
        """Make records durable, in order; again changes nothing.

        Raises PlatformError AUDIT_UNAVAILABLE unless every record has its receipt.
        """
        request = log_pb2.AppendRequest(records=[_to_proto(record) for record in records])
        try:
            reply = await call("audit", self._stub.Append(request, timeout=deadline_seconds))
        except PlatformError as error:
            raise _unavailable(error.message) from error
        if [receipt.entry_id for receipt in reply.receipts] != [record.entry_id for record in records]:
            raise _unavailable("it answered without a receipt for every record")
        return [Receipt(receipt.entry_id, receipt.index) for receipt in reply.receipts]


def _to_proto(record: AuditRecord) -> log_pb2.AuditRecord:
    return log_pb2.AuditRecord(
        entry_id=record.entry_id,
        occurred_at=_timestamp(record.occurred_at),
        actor=log_pb2.Actor(kind=record.actor.kind, id=record.actor.id),
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


def _timestamp(instant: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def _unavailable(why: str) -> PlatformError:
    message = f"the audit log did not take the entry ({why}); try again"
    return PlatformError(Code.UNAVAILABLE, "AUDIT_UNAVAILABLE", message)
