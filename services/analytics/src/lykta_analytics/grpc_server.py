"""The RPCs of analytics: the incident book for people with a role, and what this service can detect."""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Literal

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from lykta.analytics.v1 import detector_service_pb2 as detectors
from lykta.analytics.v1 import detector_service_pb2_grpc, incident_service_pb2_grpc
from lykta.analytics.v1 import incident_service_pb2 as incidents
from lykta_common.errors import invalid, not_found
from lykta_common.identity import bearer_token
from lykta_contracts.instants import to_ms
from lykta_contracts.roles import Action

from lykta_analytics.broadcast import Broadcast
from lykta_analytics.models import ModelCard
from lykta_analytics.policy import Policy
from lykta_analytics.rules import CAMERA_OBSCURED, PERSON_IN_ZONE
from lykta_analytics.store import BookRow, BookStore, Cursor, Filter
from lykta_analytics.usecases import told_incident

AnyContext = grpc.aio.ServicerContext[Any, Any]

INCIDENT_SERVICE: Final = "lykta.analytics.v1.IncidentService"
DETECTOR_SERVICE: Final = "lykta.analytics.v1.DetectorService"
_PEOPLE: Final = frozenset({"cli", "console", "test-tool"})
ALLOWED: Final = {INCIDENT_SERVICE: _PEOPLE, DETECTOR_SERVICE: _PEOPLE}
"""Which workloads may call which service."""

_PAGE: Final = 100
_MOST: Final = 1000
_RECHECK_SECONDS: Final = 15.0


class IncidentServicer(incident_service_pb2_grpc.IncidentServiceServicer):
    """Reads the incident book, each time for a person whom access-control lets."""

    def __init__(self, store: BookStore, policy: Policy, broadcast: Broadcast) -> None:
        self._store = store
        self._policy = policy
        self._broadcast = broadcast

    async def List(self, request: incidents.ListRequest, context: AnyContext) -> incidents.ListResponse:
        """One page of a controller's incidents, newest first."""
        await self._require(context, request.controller, request.camera)
        size = min(request.page_size or _PAGE, _MOST)
        if size < 0:
            raise invalid("page_size must not be negative")
        wanted = Filter(
            request.controller,
            request.camera,
            _milliseconds(request, "from"),
            _milliseconds(request, "to"),
        )
        rows = await self._store.page(wanted, size + 1, _cursor(request.page_token))
        more = _token(rows[size - 1]) if len(rows) > size else ""
        return incidents.ListResponse(incidents=[to_proto(row) for row in rows[:size]], next_page_token=more)

    async def Get(self, request: incidents.GetRequest, context: AnyContext) -> incidents.GetResponse:
        """One incident; another controller's is not found."""
        token, what = bearer_token(context), f"the incident {request.incident_id}"
        row = await self._store.get(request.incident_id)
        if row is None:
            raise not_found(what)
        await self._policy.require(token, Action.INCIDENT_LIST, row.controller, row.camera, what)
        return incidents.GetResponse(incident=to_proto(row))

    async def Watch(
        self, request: incidents.WatchRequest, context: AnyContext
    ) -> AsyncIterator[incidents.WatchResponse]:
        """Steps of a controller's incidents from now on; the person's right is asked again every 15 s.

        Initial metadata is sent when the watch has begun: nothing committed after it is missed.
        """
        await self._require(context, request.controller, "")
        with self._broadcast.watching(request.controller) as watcher:
            await context.send_initial_metadata(())
            while True:
                try:
                    async with asyncio.timeout(_RECHECK_SECONDS):
                        row = await watcher.next()
                except TimeoutError:
                    await self._require(context, request.controller, "")
                    continue
                yield incidents.WatchResponse(incident=to_proto(row))

    async def _require(self, context: AnyContext, controller: str, camera: str) -> None:
        token = bearer_token(context)
        if not controller:
            raise invalid("controller is needed")
        await self._policy.require(token, Action.INCIDENT_LIST, controller, camera, f"the controller {controller}")


class DetectorServicer(detector_service_pb2_grpc.DetectorServiceServicer):
    """Shows which models and rules there are; what runs is decided by mandates alone."""

    def __init__(self, cards: Sequence[ModelCard]) -> None:
        self._cards = cards

    async def List(
        self, request: detectors.DetectorServiceListRequest, context: AnyContext
    ) -> detectors.DetectorServiceListResponse:
        """Model cards and detectors."""
        return detectors.DetectorServiceListResponse(
            models=[_card(card) for card in self._cards],
            detectors=[
                detectors.Detector(
                    name=PERSON_IN_ZONE,
                    description="somebody stands in a zone that the mandate draws",
                    model=self._cards[0].name if self._cards else "",
                ),
                detectors.Detector(
                    name=CAMERA_OBSCURED,
                    description="the picture is black or covered for two seconds",
                    always_on=True,
                ),
            ],
        )


def to_proto(row: BookRow) -> incidents.Incident:
    """The incident as the RPCs answer it."""
    incident = told_incident(row)
    answer = incidents.Incident(
        incident_id=row.incident_id,
        controller=row.controller,
        camera=row.camera,
        place=incident.place.id,
        category=incident.category,
        lifecycle=incident.lifecycle,
        status=incident.status,
        severity=incident.severity,
        started_at=_timestamp(row.started_ms),
        zone_ids=incident.place.zone_ids,
        counts=incident.counts,
        confidence=row.confidence,
        mandate_id=incident.governance.mandate_id,
        evidence_uri=incident.evidence[0].uri if incident.evidence else "",
        event_json=row.event.to_json().decode(),
    )
    if incident.ended_at is not None:
        answer.ended_at.CopyFrom(_timestamp(to_ms(incident.ended_at)))
    return answer


def _card(card: ModelCard) -> detectors.ModelCard:
    runtime = f"{card.converted.runtime} {card.converted.runtime_version}" if card.converted else ""
    return detectors.ModelCard(
        name=card.name,
        version=card.version,
        licence=f"{card.licence}; weights {card.weights_licence}",
        source=f"{card.source.registry}:{card.source.package}@{card.source.version}",
        source_sha256=" ".join(file.sha256 for file in card.source.files),
        sha256=card.sha256,
        runtime=runtime,
        capabilities=[capability.value for capability in card.capabilities],
        labels=card.labels,
    )


def _timestamp(unix_ms: int) -> Timestamp:
    return Timestamp(seconds=unix_ms // 1000, nanos=unix_ms % 1000 * 1_000_000)


def _milliseconds(request: incidents.ListRequest, name: Literal["from", "to"]) -> int | None:
    if not request.HasField(name):
        return None
    value: Timestamp = getattr(request, name)
    return value.seconds * 1000 + value.nanos // 1_000_000


def _token(row: BookRow) -> str:
    return base64.urlsafe_b64encode(f"{row.started_ms}:{row.incident_id}".encode()).decode()


def _cursor(token: str) -> Cursor | None:
    if not token:
        return None
    try:
        started_ms, _, incident_id = base64.urlsafe_b64decode(token).decode().partition(":")
        return int(started_ms), incident_id
    except (ValueError, binascii.Error) as error:
        raise invalid("page_token is not one this service gave") from error
