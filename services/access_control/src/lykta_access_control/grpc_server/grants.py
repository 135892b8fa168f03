"""CaseService and GrantService."""

from typing import Final

from lykta.access_control.v1 import grant_service_pb2 as pb
from lykta.access_control.v1 import grant_service_pb2_grpc as rpc
from lykta_common.errors import invalid

from lykta_access_control.domain.grants import Case, Grant, GrantState, Interval, Wish
from lykta_access_control.grpc_server.calls import Context, call_of, from_timestamp, to_timestamp
from lykta_access_control.usecases.cases import Cases
from lykta_access_control.usecases.grants import Grants

STATES: Final = {
    GrantState.REQUESTED: pb.GRANT_STATE_REQUESTED,
    GrantState.ISSUED: pb.GRANT_STATE_ISSUED,
    GrantState.REVOKED: pb.GRANT_STATE_REVOKED,
    GrantState.EXPIRED: pb.GRANT_STATE_EXPIRED,
}


class CaseServicer(rpc.CaseServiceServicer):
    """Cases."""

    def __init__(self, cases: Cases) -> None:
        self._cases = cases

    async def Open(self, request: pb.CaseServiceOpenRequest, context: Context) -> pb.CaseServiceOpenResponse:
        """Open a case."""
        kept = await self._cases.open(call_of(context), request.controller, request.reference, request.purpose)
        return pb.CaseServiceOpenResponse(case=_case(kept))

    async def Close(self, request: pb.CaseServiceCloseRequest, context: Context) -> pb.CaseServiceCloseResponse:
        """Close a case and revoke its grants."""
        kept = await self._cases.close(call_of(context), request.case_id)
        return pb.CaseServiceCloseResponse(case=_case(kept))

    async def List(self, request: pb.CaseServiceListRequest, context: Context) -> pb.CaseServiceListResponse:
        """Show the cases of a controller."""
        found = await self._cases.list(call_of(context), request.controller)
        return pb.CaseServiceListResponse(cases=[_case(one) for one in found])


class GrantServicer(rpc.GrantServiceServicer):
    """Grants."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    async def Request(self, request: pb.GrantServiceRequestRequest, context: Context) -> pb.GrantServiceRequestResponse:
        """Ask for a grant."""
        kept = await self._grants.request(call_of(context), request.case_id, _wish(request))
        return pb.GrantServiceRequestResponse(grant=self._grant(kept))

    async def Approve(self, request: pb.GrantServiceApproveRequest, context: Context) -> pb.GrantServiceApproveResponse:
        """Issue a requested grant as a second person."""
        kept = await self._grants.approve(call_of(context), request.grant_id)
        return pb.GrantServiceApproveResponse(grant=self._grant(kept))

    async def Token(self, request: pb.GrantServiceTokenRequest, context: Context) -> pb.GrantServiceTokenResponse:
        """Hand the token to its person."""
        token, grant = await self._grants.token(call_of(context), request.grant_id)
        return pb.GrantServiceTokenResponse(token=token, grant=self._grant(grant))

    async def Revoke(self, request: pb.GrantServiceRevokeRequest, context: Context) -> pb.GrantServiceRevokeResponse:
        """End a grant at once."""
        kept = await self._grants.revoke(call_of(context), request.grant_id, request.reason)
        return pb.GrantServiceRevokeResponse(grant=self._grant(kept))

    async def List(self, request: pb.GrantServiceListRequest, context: Context) -> pb.GrantServiceListResponse:
        """Show the grants of a controller."""
        found = await self._grants.list(call_of(context), request.controller)
        return pb.GrantServiceListResponse(grants=[self._grant(one) for one in found])

    def _grant(self, grant: Grant) -> pb.Grant:
        return _grant(self._grants.as_now(grant))


def _wish(request: pb.GrantServiceRequestRequest) -> Wish:
    if not request.HasField("from") or not request.HasField("to"):
        raise invalid("from and to are needed: the footage interval the grant is for")
    # `from` is a keyword, so the field is reached by name.
    interval = Interval(from_timestamp("from", getattr(request, "from")), from_timestamp("to", request.to))
    if not 0 <= request.valid_seconds < 2**31:
        raise invalid("valid_seconds must lie between 0 and 604800 (7 days)")
    return Wish(tuple(request.cameras), tuple(request.actions), interval, request.valid_seconds)


def _case(one: Case) -> pb.Case:
    return pb.Case(
        case_id=one.case_id,
        controller=one.controller,
        reference=one.reference,
        purpose=one.purpose,
        opened_by=one.opened_by,
        opened_at=to_timestamp(one.opened_at),
        closed_at=to_timestamp(one.closed_at),
    )


def _grant(one: Grant) -> pb.Grant:
    sent = pb.Grant(
        grant_id=one.grant_id,
        controller=one.controller,
        case_id=one.case_id,
        person_id=one.person_id,
        cameras=one.cameras,
        actions=sorted(one.actions),
        to=to_timestamp(one.interval.to_at),
        state=STATES[one.state],
        requested_at=to_timestamp(one.requested_at),
        approved_by=one.approved_by,
        expires_at=to_timestamp(one.expires_at),
        revoked_by=one.revoked_by,
        revoked_at=to_timestamp(one.revoked_at),
    )
    # `from` is a keyword, so the field is reached by name.
    getattr(sent, "from").FromDatetime(one.interval.from_at)
    return sent
