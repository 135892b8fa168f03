"""The RPCs: request to use case to response, no logic; `add_servicers` registers them all."""

from dataclasses import dataclass
from typing import Final

import grpc
from lykta.access_control.v1 import (
    directory_service_pb2,
    directory_service_pb2_grpc,
    grant_service_pb2,
    grant_service_pb2_grpc,
    mandate_service_pb2,
    mandate_service_pb2_grpc,
    policy_service_pb2,
    policy_service_pb2_grpc,
)

from lykta_access_control.grpc_server.directory import (
    CameraServicer,
    ControllerServicer,
    MemberServicer,
    PlaceServicer,
)
from lykta_access_control.grpc_server.grants import CaseServicer, GrantServicer
from lykta_access_control.grpc_server.mandates import MandateServicer
from lykta_access_control.grpc_server.policy import PolicyServicer
from lykta_access_control.usecases.authorize import Authorize
from lykta_access_control.usecases.cases import Cases
from lykta_access_control.usecases.directory import Directory
from lykta_access_control.usecases.grants import Grants
from lykta_access_control.usecases.mandates import Mandates

_FILES: Final = (
    directory_service_pb2.DESCRIPTOR,
    grant_service_pb2.DESCRIPTOR,
    mandate_service_pb2.DESCRIPTOR,
    policy_service_pb2.DESCRIPTOR,
)
POLICY_SERVICE: Final = "lykta.access_control.v1.PolicyService"
SERVICES: Final = tuple(service.full_name for file in _FILES for service in file.services_by_name.values())
"""Full names of every service here."""

PEOPLES_TOOLS: Final = frozenset({"cli"})
ASKERS: Final = frozenset({"ingest", "analytics", "storage", "audit", "cli", "test-tool"})
ALLOWED: Final = {name: ASKERS if name == POLICY_SERVICE else PEOPLES_TOOLS for name in SERVICES}
"""Which workloads may call which service: people's tools everything, the other services only the question."""


@dataclass(frozen=True)
class UseCases:
    """What stands behind the RPCs."""

    authorize: Authorize
    directory: Directory
    mandates: Mandates
    cases: Cases
    grants: Grants


def add_servicers(server: grpc.aio.Server, cases: UseCases) -> None:
    """Register every servicer."""
    policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(PolicyServicer(cases.authorize), server)
    directory_service_pb2_grpc.add_ControllerServiceServicer_to_server(ControllerServicer(cases.directory), server)
    directory_service_pb2_grpc.add_PlaceServiceServicer_to_server(PlaceServicer(cases.directory), server)
    directory_service_pb2_grpc.add_CameraServiceServicer_to_server(CameraServicer(cases.directory), server)
    directory_service_pb2_grpc.add_MemberServiceServicer_to_server(MemberServicer(cases.directory), server)
    mandate_service_pb2_grpc.add_MandateServiceServicer_to_server(MandateServicer(cases.mandates), server)
    grant_service_pb2_grpc.add_CaseServiceServicer_to_server(CaseServicer(cases.cases), server)
    grant_service_pb2_grpc.add_GrantServiceServicer_to_server(GrantServicer(cases.grants), server)
