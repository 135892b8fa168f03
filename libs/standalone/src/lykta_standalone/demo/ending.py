"""The last steps: the mandate ends, the key is destroyed, and the other controller finds nothing of it all."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pyrage
from lykta.access_control.v1 import directory_service_pb2 as directory
from lykta.access_control.v1 import directory_service_pb2_grpc as directory_grpc
from lykta.access_control.v1 import grant_service_pb2 as grants
from lykta.access_control.v1 import grant_service_pb2_grpc as grants_grpc
from lykta.access_control.v1 import mandate_service_pb2 as mandates
from lykta.access_control.v1 import mandate_service_pb2_grpc as mandates_grpc
from lykta.analytics.v1 import incident_service_pb2 as incidents
from lykta.analytics.v1 import incident_service_pb2_grpc as incidents_grpc
from lykta.audit.v1 import log_service_pb2 as log
from lykta.audit.v1 import log_service_pb2_grpc as log_grpc
from lykta.ingest.v1 import session_service_pb2 as sessions
from lykta.ingest.v1 import session_service_pb2_grpc as sessions_grpc
from lykta.storage.v1 import catalogue_service_pb2 as catalogue
from lykta.storage.v1 import catalogue_service_pb2_grpc as catalogue_grpc
from lykta.storage.v1 import playback_service_pb2 as playback_pb2
from lykta_common.errors import Code, PlatformError
from lykta_contracts.instants import hour_of
from lykta_contracts.mandates import LEGAL_RETENTION_HOURS
from lykta_contracts.media import SegmentIndex, read_trailer

from lykta_standalone.demo.stage import CAMERA, CONTROLLER, Stage
from lykta_standalone.demo.watching import request_grant
from lykta_standalone.footage import grant_token
from lykta_standalone.log_download import bucket_of
from lykta_standalone.municipality import CONTROLLERS
from lykta_standalone.playback import Playback, stamp
from lykta_standalone.promises import BrokenPromiseError, require, require_refused, until

STOP_SECONDS: Final = 5.0
"""Recording stops within this time of the mandate's end (60 s are promised)."""
STRANGER: Final = "eva"
Question = Callable[[], Awaitable[Any]]


async def mandate_ended(stage: Stage) -> str:
    """Ending the mandate stops the recording, at the recorder and at the camera."""
    loop = asyncio.get_running_loop()
    request = mandates.MandateServiceEndRequest(mandate_id=stage.mandate_id, reason="the demo ends it")
    await stage.ask("bertil", "access-control", mandates_grpc.MandateServiceStub, "End", request)
    began = loop.time()

    async def stopped() -> bool:
        get = sessions.GetRequest(controller=CONTROLLER, camera=CAMERA)
        answer = await stage.as_tool("ingest", sessions_grpc.SessionServiceStub, "Get", get)
        return answer.session.state == sessions.SESSION_STATE_NOT_ALLOWED and not await _viewers(stage)

    await until(stopped, STOP_SECONDS, f"recording stops within {STOP_SECONDS:.0f} s of the mandate's end")
    took = loop.time() - began
    answer = await stage.as_tool("ingest", sessions_grpc.SessionServiceStub, "List", sessions.ListRequest())
    others = [item for item in answer.sessions if item.camera != CAMERA]
    still = [item.camera for item in others if item.state == sessions.SESSION_STATE_RECORDING]
    require(len(still) == len(others) > 0, "the other cameras go on recording under their own mandates")
    return f"stopped after {took:.1f} s, the camera sends to nobody; {len(still)} other cameras go on"


async def deleted(stage: Stage) -> str:
    """Retention destroys the key: what lay in the store is noise from then on, and a receipt is in the log."""
    payload, index = await _raw_object(stage)
    first = index.fragments[0]
    age_file = payload[first.offset : first.offset + first.length]
    before = await _identity(stage, CONTROLLER, CAMERA, index.hour)
    require(before is not None, "a test tool can get the hour's key while it exists")
    plain = pyrage.decrypt(age_file, [pyrage.x25519.Identity.from_str(before)])
    require(hashlib.sha256(plain).hexdigest() == first.sha256, "the raw object opens with the hour's key and is intact")
    as_of = datetime.now(UTC) + timedelta(hours=LEGAL_RETENTION_HOURS + 2)
    done = await stage.ask(
        "david", "storage", catalogue_grpc.RetentionServiceStub, "Run",
        catalogue.RunRequest(as_of=stamp(as_of), controller=CONTROLLER, camera=CAMERA), seconds=30,
    )  # fmt: skip
    receipt = next((item for item in done.deletions if item.hour == index.hour), None)
    if receipt is None:
        raise BrokenPromiseError(f"retention deletes the hour {index.hour} of {CAMERA}: {done.deletions}")
    stage.receipt_id = receipt.audit_entry_id
    tried = await _try_every_key(stage, age_file, index.hour)
    left = [item.key async for item in bucket_of(stage.platform, "footage").list(f"footage/{CONTROLLER}/{CAMERA}/")]
    require(not left, f"the objects are gone: {left}")
    entry = await stage.ask(
        "david", "audit", log_grpc.LogServiceStub, "GetEntry", log.GetEntryRequest(entry_id=stage.receipt_id)
    )
    require(entry.record.record.action == "footage.hour.deleted", "the receipt is in the log")
    return (
        f"{receipt.segments} segments gone; none of the {tried} keys left opens the object kept from before; "
        f"receipt: entry {entry.record.index}"
    )


async def gone_for_people(stage: Stage) -> str:
    """A new grant shows that footage was deleted, and no byte of it."""
    if stage.wanted is None:
        raise BrokenPromiseError("an earlier step found no footage")
    stage.second_grant_id = await request_grant(stage, stage.wanted)
    approve = grants.GrantServiceApproveRequest(grant_id=stage.second_grant_id)
    await stage.ask("bertil", "access-control", grants_grpc.GrantServiceStub, "Approve", approve)
    token = await grant_token(stage.people, "anna", stage.second_grant_id)
    items = [item async for item in Playback(stage.people, "anna", token, stage.wanted).items()]
    require(not any(item.HasField("fragment") for item in items), "not a fragment comes any more")
    reasons = {item.edge.reason for item in items if item.HasField("edge")}
    require(playback_pb2.EDGE_REASON_DELETED in reasons, f"the answer says that it was deleted: {items}")
    return "an approved grant is answered with the edge DELETED and without a byte"


async def unseen_by_others(stage: Stage) -> str:
    """The other controller's investigator, approver and data protection officer finds nothing of all this."""
    questions = _questions(stage)
    for what, question in questions.items():
        await require_refused(question(), "NOT_FOUND", f"{STRANGER} of the other controller: {what}")
    return f"{len(questions)} questions of {STRANGER} (stangastaden), each answered NOT_FOUND: {', '.join(questions)}"


def _questions(stage: Stage) -> dict[str, Question]:
    if stage.wanted is None or stage.incident is None:
        raise BrokenPromiseError("earlier steps found no footage or no incident")
    access, start = "access-control", stamp(stage.wanted.from_at)

    def ask(peer: str, kind: Any, method: str, request: Any) -> Question:
        return lambda: stage.ask(STRANGER, peer, kind, method, request)

    coverage = catalogue.CoverageRequest(controller=CONTROLLER, to=stamp(stage.wanted.to_at))
    getattr(coverage, "from").CopyFrom(start)
    request = grants.GrantServiceRequestRequest(
        case_id=stage.case_id, cameras=[CAMERA], actions=["footage.playback"], to=stamp(stage.wanted.to_at)
    )
    getattr(request, "from").CopyFrom(start)
    mandate_id, grant_id = stage.mandate_id, stage.second_grant_id
    return {
        "camera": ask(
            access, directory_grpc.CameraServiceStub, "Get",
            directory.CameraServiceGetRequest(controller=CONTROLLER, camera=CAMERA),
        ),
        "mandate": ask(
            access, mandates_grpc.MandateServiceStub, "Get", mandates.MandateServiceGetRequest(mandate_id=mandate_id)
        ),
        "end of the mandate": ask(
            access, mandates_grpc.MandateServiceStub, "End",
            mandates.MandateServiceEndRequest(mandate_id=mandate_id, reason="none of her business"),
        ),
        "incident": ask(
            "analytics", incidents_grpc.IncidentServiceStub, "Get",
            incidents.GetRequest(incident_id=stage.incident.incident_id),
        ),
        "incidents": ask(
            "analytics", incidents_grpc.IncidentServiceStub, "List", incidents.ListRequest(controller=CONTROLLER)
        ),
        "cases": ask(
            access, grants_grpc.CaseServiceStub, "List", grants.CaseServiceListRequest(controller=CONTROLLER)
        ),
        "end of the case": ask(
            access, grants_grpc.CaseServiceStub, "Close", grants.CaseServiceCloseRequest(case_id=stage.case_id)
        ),
        "grant in the case": ask(access, grants_grpc.GrantServiceStub, "Request", request),
        "approval": ask(
            access, grants_grpc.GrantServiceStub, "Approve", grants.GrantServiceApproveRequest(grant_id=grant_id)
        ),
        "token": ask(access, grants_grpc.GrantServiceStub, "Token", grants.GrantServiceTokenRequest(grant_id=grant_id)),
        "footage list": ask(
            "storage", catalogue_grpc.CatalogueServiceStub, "ListFootage",
            catalogue.ListFootageRequest(controller=CONTROLLER, camera=CAMERA),
        ),
        "coverage": ask("storage", catalogue_grpc.CatalogueServiceStub, "Coverage", coverage),
        "footage": lambda: _read_as_stranger(stage),
        "deletion": ask(
            "storage", catalogue_grpc.RetentionServiceStub, "Run", catalogue.RunRequest(controller=CONTROLLER)
        ),
        "log": ask("audit", log_grpc.LogServiceStub, "Search", log.SearchRequest(controller=CONTROLLER)),
        "receipt": ask(
            "audit", log_grpc.LogServiceStub, "GetEntry", log.GetEntryRequest(entry_id=stage.receipt_id)
        ),
    }  # fmt: skip


async def _read_as_stranger(stage: Stage) -> None:
    if stage.wanted is None:
        raise BrokenPromiseError("an earlier step found no footage")
    async with aclosing(Playback(stage.people, STRANGER, "", stage.wanted).items()) as items:
        await anext(items)


async def _viewers(stage: Stage) -> int:
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        answer = await client.get(f"{stage.platform.camera_control_url}/cameras/{CAMERA}")
    return int(json.loads(answer.content)["viewers"])


async def _raw_object(stage: Stage) -> tuple[bytes, SegmentIndex]:
    """Take one segment object straight from the bucket, as a backup would."""
    bucket = bucket_of(stage.platform, "footage")
    keys = [item.key async for item in bucket.list(f"footage/{CONTROLLER}/{CAMERA}/")]
    require(keys, "the store holds objects of the camera")
    payload = await bucket.get(keys[0])
    index = read_trailer(payload)
    if isinstance(index, int):
        raise BrokenPromiseError("an object ends in its index")
    return payload, index


async def _identity(stage: Stage, controller: str, camera: str, hour: str) -> str | None:
    request = catalogue.ExportHourKeyRequest(controller=controller, camera=camera, hour=hour)
    try:
        answer = await stage.as_tool("storage", catalogue_grpc.MediaKeyServiceStub, "ExportHourKey", request)
    except PlatformError as error:
        if error.code is Code.NOT_FOUND:
            return None
        raise
    return str(answer.identity)


async def _try_every_key(stage: Stage, age_file: bytes, hour: str) -> int:
    """Try every private key the platform can still give; none may open the file. Returns how many there were."""
    require(await _identity(stage, CONTROLLER, CAMERA, hour) is None, "the hour's key cannot be had any more")
    now, tried = datetime.now(UTC), 0
    hours = {hour, *(hour_of(now + timedelta(hours=step)) for step in range(-1, 3))}
    for owner in CONTROLLERS:
        for camera in (camera.camera for place in owner.places for camera in place.cameras):
            for one in sorted(hours):
                identity = await _identity(stage, owner.controller, camera, one)
                if identity is None:
                    continue
                tried += 1
                try:
                    pyrage.decrypt(age_file, [pyrage.x25519.Identity.from_str(identity)])
                except pyrage.DecryptError:
                    continue
                raise BrokenPromiseError(f"the key of {camera} in {one} opens footage whose key was destroyed")
    require(tried, "there are other keys to try")
    return tried
