"""MandateService."""

from typing import Final

from lykta.access_control.v1 import mandate_service_pb2 as pb
from lykta.access_control.v1 import mandate_service_pb2_grpc as rpc

from lykta_access_control.domain.mandates import Mandate, MandateState
from lykta_access_control.grpc_server.calls import Context, call_of, to_timestamp
from lykta_access_control.usecases.mandates import Mandates

STATES: Final = {
    MandateState.DRAFT: pb.MANDATE_STATE_DRAFT,
    MandateState.PROPOSED: pb.MANDATE_STATE_PROPOSED,
    MandateState.APPROVED: pb.MANDATE_STATE_APPROVED,
    MandateState.ENDED: pb.MANDATE_STATE_ENDED,
}


class MandateServicer(rpc.MandateServiceServicer):
    """Mandates."""

    def __init__(self, mandates: Mandates) -> None:
        self._mandates = mandates

    async def Draft(self, request: pb.MandateServiceDraftRequest, context: Context) -> pb.MandateServiceDraftResponse:
        """Write a draft."""
        kept = await self._mandates.draft(
            call_of(context), request.controller, request.document_json, request.mandate_id
        )
        return pb.MandateServiceDraftResponse(mandate=_mandate(kept))

    async def Propose(
        self, request: pb.MandateServiceProposeRequest, context: Context
    ) -> pb.MandateServiceProposeResponse:
        """Freeze a draft and ask for approval."""
        kept = await self._mandates.propose(call_of(context), request.mandate_id)
        return pb.MandateServiceProposeResponse(mandate=_mandate(kept))

    async def Approve(
        self, request: pb.MandateServiceApproveRequest, context: Context
    ) -> pb.MandateServiceApproveResponse:
        """Approve as a second person."""
        kept = await self._mandates.approve(call_of(context), request.mandate_id)
        return pb.MandateServiceApproveResponse(mandate=_mandate(kept))

    async def End(self, request: pb.MandateServiceEndRequest, context: Context) -> pb.MandateServiceEndResponse:
        """End a live mandate."""
        kept = await self._mandates.end(call_of(context), request.mandate_id, request.reason)
        return pb.MandateServiceEndResponse(mandate=_mandate(kept))

    async def Get(self, request: pb.MandateServiceGetRequest, context: Context) -> pb.MandateServiceGetResponse:
        """Show the newest version of a mandate."""
        kept = await self._mandates.get(call_of(context), request.mandate_id)
        return pb.MandateServiceGetResponse(mandate=_mandate(kept))

    async def List(self, request: pb.MandateServiceListRequest, context: Context) -> pb.MandateServiceListResponse:
        """Show the mandates of a controller."""
        found = await self._mandates.list(call_of(context), request.controller)
        return pb.MandateServiceListResponse(mandates=[_mandate(one) for one in found])


def _mandate(one: Mandate) -> pb.Mandate:
    return pb.Mandate(
        mandate_id=one.mandate_id,
        version=one.version,
        controller=one.controller,
        state=STATES[one.state],
        document_json=one.document.to_json().decode(),
        drafted_by=one.drafted_by,
        proposed_by=one.proposed_by,
        approved_by=one.approved_by,
        approved_at=to_timestamp(one.approved_at),
        ended_by=one.ended_by,
        ended_at=to_timestamp(one.ended_at),
        end_reason=one.end_reason,
    )
