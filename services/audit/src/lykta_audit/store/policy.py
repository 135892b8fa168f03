"""Asks access-control whether a person may search the log."""

import grpc
from lykta.access_control.v1 import policy_service_pb2, policy_service_pb2_grpc
from lykta_common.identity import bearer_metadata
from lykta_common.rpc import call
from lykta_contracts.roles import Action

from lykta_audit.ports import Decision

DEADLINE_SECONDS = 3.0


class AccessControlPolicy:
    """`PolicyService.Authorize` of access-control."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = policy_service_pb2_grpc.PolicyServiceStub(channel)

    async def may_search(self, token: str, controller: str) -> Decision:
        """Decide for the person behind an OIDC token; raises UNAVAILABLE when nobody can decide."""
        request = policy_service_pb2.AuthorizeRequest(action=Action.AUDIT_SEARCH, controller=controller)
        answer = await call(
            "access-control",
            self._stub.Authorize(request, metadata=bearer_metadata(token), timeout=DEADLINE_SECONDS),
        )
        return Decision(answer.allowed, answer.person_id, answer.reason, answer.message)
