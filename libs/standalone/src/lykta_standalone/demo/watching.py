"""Steps one to eight: recorded, noticed, refused, granted, fetched, played, compared, revoked."""

import asyncio
import shutil
from collections import defaultdict
from contextlib import aclosing
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from lykta.access_control.v1 import directory_service_pb2 as directory
from lykta.access_control.v1 import directory_service_pb2_grpc as directory_grpc
from lykta.access_control.v1 import grant_service_pb2 as grants
from lykta.access_control.v1 import grant_service_pb2_grpc as grants_grpc
from lykta.analytics.v1 import incident_service_pb2 as incidents
from lykta.analytics.v1 import incident_service_pb2_grpc as incidents_grpc
from lykta.ingest.v1 import session_service_pb2 as sessions
from lykta.ingest.v1 import session_service_pb2_grpc as sessions_grpc
from lykta.storage.v1 import catalogue_service_pb2 as catalogue
from lykta.storage.v1 import catalogue_service_pb2_grpc as catalogue_grpc
from lykta_camera_sim.capture import CaptureRecord
from lykta_contracts.roles import Action

from lykta_standalone.demo.capture import captured, is_part_of, nal_hashes
from lykta_standalone.demo.stage import CAMERA, CONTROLLER, Stage
from lykta_standalone.footage import fetch_clip, grant_token
from lykta_standalone.playback import Playback, Wanted, instant, stamp
from lykta_standalone.promises import BrokenPromiseError, require, require_refused, run_offline, until

CLIP_SECONDS: Final = 12
REVOKE_SECONDS: Final = 1.0
"""A running stream ends within this time of the revocation."""
EVERYWHERE_SECONDS: Final = 0.3
"""What one access-control decided, every other one knows within this time (0.1 s, and a margin)."""


async def recorded(stage: Stage) -> str:
    """Cameras are recorded because signed mandates cover them."""

    async def recording() -> list[sessions.Session]:
        answer = await stage.as_tool("ingest", sessions_grpc.SessionServiceStub, "List", sessions.ListRequest())
        found = [item for item in answer.sessions if item.state == sessions.SESSION_STATE_RECORDING]
        return found if len(found) == 3 and all(item.segments_uploaded for item in found) else []

    found = await until(recording, 60, "three cameras recorded and their first segments in the store")
    camera = await stage.ask(
        "karin", "access-control", directory_grpc.CameraServiceStub, "Get",
        directory.CameraServiceGetRequest(controller=CONTROLLER, camera=CAMERA),
    )  # fmt: skip
    stage.mandate_id = camera.camera.mandate_id
    require(stage.mandate_id, f"{CAMERA} is recorded under a mandate")
    mine = next(item for item in found if item.camera == CAMERA)
    require(mine.mandate_id == stage.mandate_id, "the recorder obeys the mandate that access-control has in force")
    total = sum(item.segments_uploaded for item in found)
    return f"3 cameras recording, {total} segments in the store; {CAMERA} under {stage.mandate_id}"


async def noticed(stage: Stage) -> str:
    """A person in the mandate's zone becomes an incident."""

    async def look() -> incidents.Incident | None:
        request = incidents.ListRequest(controller=CONTROLLER, camera=CAMERA)
        found = await stage.ask("olle", "analytics", incidents_grpc.IncidentServiceStub, "List", request)
        return next((item for item in found.incidents if item.category == "person-in-zone"), None)

    found = await until(look, 60, "an incident where people walk through the zone")
    require(found is not None and found.mandate_id == stage.mandate_id, "an incident names the mandate it rests on")
    require(found is not None and found.evidence_uri.startswith("footage://"), "evidence is a reference, not a file")
    stage.incident = found
    if found is None:
        raise BrokenPromiseError("no incident")
    seen = ", ".join(f"{count} {label}" for label, count in sorted(found.counts.items()))
    return f"{found.incident_id}: {found.category} in {', '.join(found.zone_ids)} ({seen}, {found.confidence:.2f})"


async def refused_without_grant(stage: Stage) -> str:
    """An investigator without a grant gets no byte."""
    stage.wanted = await _settled_interval(stage)
    items: list[Any] = []

    async def read() -> None:
        items.extend([item async for item in Playback(stage.people, "anna", "", _wanted(stage)).items()])

    message = await require_refused(read(), "NO_GRANT", "footage without a grant")
    require(not items, "nothing comes before the refusal")
    return f"NO_GRANT: {message}"


async def granted(stage: Stage) -> str:
    """A case gives the purpose; the grant needs a second person, and one's own approval is refused."""
    peer, wanted = "access-control", _wanted(stage)
    opened = await stage.ask(
        "anna", peer, grants_grpc.CaseServiceStub, "Open",
        grants.CaseServiceOpenRequest(controller=CONTROLLER, reference="0500-K1234-26", purpose="assault, Nov 23"),
    )  # fmt: skip
    stage.case_id = opened.case.case_id
    stage.grant_id = await request_grant(stage, wanted)
    approve = grants.GrantServiceApproveRequest(grant_id=stage.grant_id)
    stub = grants_grpc.GrantServiceStub
    await require_refused(
        stage.ask("anna", peer, stub, "Approve", approve), "SECOND_PERSON", "approving one's own grant"
    )
    await stage.ask("bertil", peer, stub, "Approve", approve)
    stage.token = await grant_token(stage.people, "anna", stage.grant_id)
    return (
        f"{stage.case_id}: anna asked, her own approval was refused (SECOND_PERSON), bertil approved {stage.grant_id}"
    )


async def fetched(stage: Stage) -> str:
    """The footage comes as a package with its evidence, and covers what was asked."""
    wanted = _wanted(stage)
    clip = stage.work / "clip"
    playback = Playback(stage.people, "anna", stage.token, wanted)
    result = await fetch_clip(playback, clip, lambda item: None)
    require(result.revoked is None, "a valid grant shows the whole interval")
    package = result.package
    require(not package.gaps and not package.edges, f"nothing is missing from the interval: {package.gaps}")
    first, last = package.written[0].fragment, package.written[-1].fragment
    covers = instant(getattr(first, "from")) <= wanted.from_at and instant(last.to) >= wanted.to_at
    require(covers, "the fragments cover the whole interval")
    stage.clip, stage.fragments = clip, len(package.written)
    return f"{len(package.written)} fragments, {package.media_bytes / 1e6:.1f} MB, with seals, paths and checkpoint"


async def plays(stage: Stage) -> str:
    """A decoder that knows nothing of the platform plays every frame."""
    code, output = await run_offline("lykta_standalone.demo.player", str(_clip(stage) / "clip.mp4"))
    require(code == 0, f"the clip plays: {output}")
    return output


async def identical(stage: Stage) -> str:
    """What was fetched is what the camera sent, NAL unit by NAL unit."""
    hashes = [item for path in sorted(_clip(stage).glob("*.mp4")) for item in await asyncio.to_thread(nal_hashes, path)]
    file = Path(stage.platform.camera_capture_dir) / f"{CAMERA}.jsonl"

    async def in_capture() -> bool:
        sent: dict[str, list[CaptureRecord]] = defaultdict(list)
        for row in await asyncio.to_thread(captured, file):
            sent[row.session].append(row)
        return any(is_part_of(hashes, [row.sha256 for row in rows]) for rows in sent.values())

    await until(in_capture, 5, "the NAL units of the clip are an unbroken part of what the camera sent")
    digest = sha256("".join(hashes).encode()).hexdigest()[:16]
    return f"{len(hashes)} NAL units in order, each with the hash of the one that was sent (all together {digest}…)"


async def revoked(stage: Stage) -> str:
    """Taking the grant back ends a running playback within a second."""
    playback = Playback(stage.people, "anna", stage.token, _wanted(stage), realtime=True)
    loop = asyncio.get_running_loop()

    async def revoke() -> float:
        request = grants.GrantServiceRevokeRequest(grant_id=stage.grant_id, reason="the demo takes it back")
        await stage.ask("bertil", "access-control", grants_grpc.GrantServiceStub, "Revoke", request)
        return loop.time()

    async with asyncio.TaskGroup() as tasks:
        revoking: asyncio.Task[float] | None = None
        async for item in playback.items():
            if item.HasField("fragment") and revoking is None:
                revoking = tasks.create_task(revoke())
        ended = loop.time()
    if revoking is None or playback.revoked is None:
        raise BrokenPromiseError("a running stream says that the right to it ended; this one ran to its end")
    took = max(0.0, ended - revoking.result())
    require(
        took <= REVOKE_SECONDS, f"the stream ends within {REVOKE_SECONDS} s of the revocation, it took {took:.2f} s"
    )
    await asyncio.sleep(max(0.0, EVERYWHERE_SECONDS - took))
    again = Playback(stage.people, "anna", stage.token, _wanted(stage))
    await require_refused(_first(again), "GRANT_REVOKED", "footage with a revoked grant")
    return f"the stream ended {took * 1000:.0f} ms after the revocation; a new one is refused (GRANT_REVOKED)"


async def request_grant(stage: Stage, wanted: Wanted) -> str:
    """Ask for a grant as anna and return its id."""
    request = grants.GrantServiceRequestRequest(
        case_id=stage.case_id, cameras=[wanted.camera], actions=[Action.FOOTAGE_PLAYBACK.value], to=stamp(wanted.to_at)
    )
    getattr(request, "from").CopyFrom(stamp(wanted.from_at))
    answer = await stage.ask("anna", "access-control", grants_grpc.GrantServiceStub, "Request", request)
    return str(answer.grant.grant_id)


async def _settled_interval(stage: Stage) -> Wanted:
    """Wait until enough footage is in the catalogue and choose an interval inside it."""

    async def look() -> Wanted | None:
        request = catalogue.ListFootageRequest(controller=CONTROLLER, camera=CAMERA, page_size=1000)
        found = await stage.ask("anna", "storage", catalogue_grpc.CatalogueServiceStub, "ListFootage", request)
        if len(found.segments) < 2:
            return None
        start = instant(getattr(found.segments[0], "from")) + timedelta(seconds=2)
        end = start + timedelta(seconds=CLIP_SECONDS)
        return Wanted(CONTROLLER, CAMERA, start, end) if end <= instant(found.segments[-1].to) else None

    wanted = await until(look, 60, f"{CLIP_SECONDS} s of footage in the catalogue")
    if wanted is None:
        raise BrokenPromiseError("no footage")
    return wanted


async def _first(playback: Playback) -> None:
    async with aclosing(playback.items()) as items:
        await anext(items)


def _wanted(stage: Stage) -> Wanted:
    if stage.wanted is None:
        raise BrokenPromiseError("an earlier step found no footage")
    return stage.wanted


def _clip(stage: Stage) -> Path:
    if stage.clip is None or shutil.disk_usage(stage.work).total == 0:
        raise BrokenPromiseError("an earlier step fetched no clip")
    return stage.clip
