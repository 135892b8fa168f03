"""PolicyService."""

from lykta.access_control.v1 import policy_service_pb2 as pb
from lykta.access_control.v1 import policy_service_pb2_grpc as rpc
from lykta_common.errors import invalid

from lykta_access_control.domain.grants import Interval
from lykta_access_control.grpc_server.calls import Context, call_of, from_timestamp, to_timestamp
from lykta_access_control.usecases.authorize import Answer, Asked, Authorize


class PolicyServicer(rpc.PolicyServiceServicer):
    """Answers questions."""

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize

    async def Authorize(self, request: pb.AuthorizeRequest, context: Context) -> pb.AuthorizeResponse:
        """Decide one question; a refusal is an answer, not an error."""
        interval = _interval(request)
        asked = Asked(request.action, request.controller, request.camera, interval, request.grant_id)
        return _response(await self._authorize.authorize(call_of(context), asked))


def _interval(request: pb.AuthorizeRequest) -> Interval | None:
    has_from, has_to = request.HasField("from"), request.HasField("to")
    if not has_from and not has_to:
        return None
    if has_from != has_to:
        raise invalid("from and to belong together; send both or neither")
    # `from` is a keyword, so the field is reached by name.
    return Interval(from_timestamp("from", getattr(request, "from")), from_timestamp("to", request.to))


def _response(answer: Answer) -> pb.AuthorizeResponse:
    decision, person = answer.decision, answer.person
    response = pb.AuthorizeResponse(
        allowed=decision.allowed,
        person_id=person.person_id,
        person_name=person.name,
        controllers=answer.controllers,
        roles=sorted(decision.roles),
        case_id=decision.case_id,
        purpose=decision.purpose,
        valid_until=to_timestamp(decision.valid_until),
    )
    if decision.refusal is not None:
        response.reason, response.message = decision.refusal.reason, decision.refusal.message
    return response
