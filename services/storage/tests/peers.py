"""Small answers for access-control and audit, served over real gRPC."""

from typing import Any

import grpc
from lykta.access_control.v1 import policy_service_pb2 as policy_pb
from lykta.access_control.v1 import policy_service_pb2_grpc as policy_rpc
from lykta.audit.v1 import log_service_pb2 as log_pb
from lykta.audit.v1 import log_service_pb2_grpc as log_rpc


class Policy(policy_rpc.PolicyServiceServicer):
    """Answers for access-control: `anna` belongs to ks; the hand of the test may refuse."""

    def __init__(self) -> None:
        self.people = {"anna-token": ("anna", "ks"), "bo-token": ("bo", "ks"), "eva-token": ("eva", "bolag")}
        self.refusal = ""
        self.away = False
        self.asked: list[Any] = []

    async def Authorize(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Decide one question."""
        self.asked.append(request)
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        bearer = dict(context.invocation_metadata())["authorization"].removeprefix("Bearer ")
        person, controller = self.people.get(bearer, ("", ""))
        reason = self.refusal
        if not person:
            reason = "UNAUTHENTICATED"
        elif controller != request.controller:
            reason = "NOT_FOUND"
        elif request.action == "footage.playback" and not request.grant_id:
            reason = "NO_GRANT"
        return policy_pb.AuthorizeResponse(allowed=not reason, reason=reason, message=reason, person_id=person)


class Log(log_rpc.LogServiceServicer):
    """Answers for audit: an entry is kept once."""

    def __init__(self) -> None:
        self.records: dict[str, Any] = {}
        self.away = False

    async def Append(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Keep records."""
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        receipts = []
        for record in request.records:
            self.records.setdefault(record.entry_id, record)
            index = list(self.records).index(record.entry_id)
            receipts.append(log_pb.Receipt(entry_id=record.entry_id, index=index, origin="test"))
        return log_pb.AppendResponse(receipts=receipts)

    def of(self, action: str) -> list[Any]:
        """Return the records of one action."""
        return [record for record in self.records.values() if record.action == action]
