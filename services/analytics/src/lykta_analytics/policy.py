"""Asks access-control whether a person may do something; analytics decides nothing about people itself."""

from lykta.access_control.v1 import policy_service_pb2, policy_service_pb2_grpc
from lykta_common.errors import Code, PlatformError, not_found
from lykta_common.identity import bearer_metadata
from lykta_common.rpc import call
from lykta_contracts.roles import Action


class Policy:
    """The policy authority; every refusal is a `PlatformError`, and so is silence (fail closed)."""

    def __init__(self, stub: "policy_service_pb2_grpc.PolicyServiceAsyncStub") -> None:
        self._stub = stub

    async def require(self, token: str, action: Action, controller: str, camera: str, what: str) -> None:
        """Returns when the person behind the token may do it.

        Raises `PlatformError`: NOT_FOUND about `what` when the controller is not the person's, UNAUTHENTICATED,
        PERMISSION_DENIED with access-control's reason, UNAVAILABLE.
        """
        request = policy_service_pb2.AuthorizeRequest(action=action.value, controller=controller, camera=camera)
        answer = await call("access-control", self._stub.Authorize(request, metadata=bearer_metadata(token)))
        if answer.allowed:
            return
        reason = answer.reason or "ROLE"
        if reason == "NOT_FOUND":
            raise not_found(what)
        code = Code.UNAUTHENTICATED if reason == "UNAUTHENTICATED" else Code.PERMISSION_DENIED
        raise PlatformError(code, reason, answer.message or "this is not allowed")
