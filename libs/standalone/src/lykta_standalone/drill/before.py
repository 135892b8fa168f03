"""Steps before the disaster: footage is fetched, an hour is deleted, all is backed up, and life goes on."""

import hashlib
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pyrage
from lykta.access_control.v1 import directory_service_pb2 as directory
from lykta.access_control.v1 import directory_service_pb2_grpc as directory_grpc
from lykta.access_control.v1 import grant_service_pb2 as grants
from lykta.access_control.v1 import grant_service_pb2_grpc as grants_grpc
from lykta.access_control.v1 import mandate_service_pb2 as mandates
from lykta.access_control.v1 import mandate_service_pb2_grpc as mandates_grpc
from lykta.ingest.v1 import session_service_pb2 as sessions
from lykta.ingest.v1 import session_service_pb2_grpc as sessions_grpc
from lykta.storage.v1 import catalogue_service_pb2 as catalogue
from lykta.storage.v1 import catalogue_service_pb2_grpc as catalogue_grpc
from lykta_common.errors import Code, PlatformError
from lykta_contracts.mandates import LEGAL_RETENTION_HOURS
from lykta_contracts.media import SegmentIndex, read_trailer

from lykta_standalone.backup.objects import CHECKPOINT
from lykta_standalone.backup.records import receipts, verified_records
from lykta_standalone.backup.rows import DATABASE
from lykta_standalone.backup.taking import SERVICES, back_up
from lykta_standalone.demo import watching
from lykta_standalone.demo.stage import CAMERA, CONTROLLER, Stage
from lykta_standalone.drill.stage import Clip, Doomed, Drill, all_cameras
from lykta_standalone.footage import fetch_clip, grant_token
from lykta_standalone.log_download import bucket_of
from lykta_standalone.municipality import CONTROLLERS
from lykta_standalone.playback import Playback, Wanted, instant, stamp
from lykta_standalone.promises import BrokenPromiseError, require, until

CLIP_SECONDS: Final = 8
DELETED_BEFORE: Final = ("ks", "tradgardstorget-2")
DELETED_AFTER: Final = ("stangastaden", "ryd-centrum-1")
_DPO: Final = {"ks": "david", "stangastaden": "eva"}


async def recorded(drill: Drill) -> str:
    """Three cameras are recorded, and footage is fetched that will be asked for again."""
    await drill.start()
    said = await watching.recorded(drill.now)
    opened = await drill.now.ask(
        "anna", "access-control", grants_grpc.CaseServiceStub, "Open",
        grants.CaseServiceOpenRequest(controller=CONTROLLER, reference="drill", purpose="the restore drill"),
    )  # fmt: skip
    drill.now.case_id = opened.case.case_id
    clip = await _clip(drill, drill.now.began_at)
    drill.clips.append(clip)
    return f"{said}; {CLIP_SECONDS} s of {CAMERA} fetched under {clip.grant_id}"


async def deleted_before(drill: Drill) -> str:
    """Retention deletes an hour before the backup."""
    doomed = await delete_hour(drill, *DELETED_BEFORE)
    return f"{doomed.camera} {doomed.hour}: {len(doomed.segments)} segments; a stolen copy of one object is kept aside"


async def backed_up(drill: Drill) -> str:
    """The platform is backed up while it records; of what was deleted nothing is in the backup."""
    drill.manifest = await back_up(drill.layout, drill.backup, drill.display.say)
    drill.backup_at = datetime.now(UTC)
    (gone,) = drill.doomed
    require(gone.key not in drill.manifest.footage, "the backup holds no object of what was deleted")
    require(not _has_key(drill, gone), "the backup holds no key of what was deleted")
    size = sum(item.size_bytes for item in drill.manifest.everything().values())
    return (
        f"{len(drill.manifest.revisions)} databases, {len(drill.manifest.footage)} objects, log of "
        f"{drill.manifest.log_size} entries, {size / 1e6:.1f} MB; no object and no key of the deleted hour in it"
    )


async def went_on(drill: Drill) -> str:
    """After the backup: more is recorded and fetched, and another hour is deleted, whose key the backup still has."""
    if drill.backup_at is None:
        raise BrokenPromiseError("an earlier step made no backup")
    clip = await _clip(drill, drill.backup_at)
    drill.clips.append(clip)
    doomed = await delete_hour(drill, *DELETED_AFTER)
    require(_has_key(drill, doomed), "the backup is older than the deletion: it still holds the key")
    return (
        f"{CLIP_SECONDS} s of {CAMERA} from after the backup fetched; {doomed.camera} {doomed.hour} deleted, "
        "its key is still in the backup"
    )


async def mirrored(drill: Drill) -> str:
    """The buckets are mirrored once more; databases and keys stay those of the backup."""
    for controller, camera in all_cameras():
        drill.known |= await drill.listed(controller, camera)

    async def told() -> bool:
        drill.manifest = await back_up(drill.layout, drill.backup, drill.display.say, objects_only=True)
        log = drill.backup / "log"
        lines = receipts(verified_records(log, drill.manifest.verifier_key))
        return all(f"camera/{item.camera}/{item.hour}".encode() in lines for item in drill.doomed)

    await until(told, 30, "the receipts of both deletions in the mirrored log")
    if drill.manifest is None:
        raise BrokenPromiseError("no mirror")
    drill.checkpoint = drill.work / "checkpoint-before"
    drill.checkpoint.write_bytes((drill.backup / "log" / CHECKPOINT).read_bytes())
    missing = drill.known - drill.gone - {key.rpartition("/")[2] for key in drill.manifest.footage}
    require(not missing, f"every catalogued segment is mirrored: {missing}")
    age = drill.manifest.mirrored_at - drill.manifest.created_at
    return (
        f"log of {drill.manifest.log_size} entries, {len(drill.manifest.footage)} objects; the databases of the backup "
        f"are {age / timedelta(seconds=1):.0f} s older"
    )


async def delete_hour(drill: Drill, controller: str, camera: str) -> Doomed:
    """End a camera's mandate and let retention delete what it recorded, by a fast clock; a copy is kept aside."""
    stage, owner = drill.now, next(item for item in CONTROLLERS if item.controller == controller)
    found = await stage.ask(
        owner.admin, "access-control", directory_grpc.CameraServiceStub, "Get",
        directory.CameraServiceGetRequest(controller=controller, camera=camera),
    )  # fmt: skip
    mandate_id = found.camera.mandate_id
    await end_mandate(stage, owner.approver, mandate_id)
    await until(lambda: _stopped(stage, controller, camera), 10, f"the recording of {camera} stops")
    bucket = bucket_of(stage.platform, "footage")
    keys = [item.key async for item in bucket.list(f"footage/{controller}/{camera}/")]
    payload = await bucket.get(keys[0])
    index = read_trailer(payload)
    if not isinstance(index, SegmentIndex):
        raise BrokenPromiseError("an object ends in its index")
    age_file = payload[index.fragments[0].offset :][: index.fragments[0].length]
    identity = await identity_of(stage, controller, camera, index.hour)
    require(identity is not None and _opens(age_file, identity), "the copy opens with the hour's key while it exists")
    segments = frozenset(await drill.listed(controller, camera))
    drill.known |= segments
    as_of = datetime.now(UTC) + timedelta(hours=LEGAL_RETENTION_HOURS + 2)
    request = catalogue.RunRequest(as_of=stamp(as_of), controller=controller, camera=camera)
    done = await stage.ask(_DPO[controller], "storage", catalogue_grpc.RetentionServiceStub, "Run", request, seconds=30)
    require(any(item.hour == index.hour for item in done.deletions), f"retention deletes {index.hour} of {camera}")
    doomed = Doomed(controller, camera, index.hour, mandate_id, keys[0], age_file, segments)
    drill.doomed.append(doomed)
    await require_gone(drill, doomed)
    return doomed


async def end_mandate(stage: Stage, approver: str, mandate_id: str) -> None:
    """End a mandate."""
    request = mandates.MandateServiceEndRequest(mandate_id=mandate_id, reason="the drill ends it")
    await stage.ask(approver, "access-control", mandates_grpc.MandateServiceStub, "End", request)


async def require_gone(drill: Drill, doomed: Doomed) -> int:
    """Check that no object of the hour is left and no key opens the copy; return how many keys were tried."""
    stage = drill.now
    prefix = doomed.key.rpartition("/")[0] + "/"
    left = [item.key async for item in bucket_of(stage.platform, "footage").list(prefix)]
    require(not left, f"no object of {doomed.camera} {doomed.hour} is left: {left}")
    tried = 0
    for controller, camera in all_cameras():
        for step in range(-1, 3):
            hour = (datetime.now(UTC) + timedelta(hours=step)).strftime("%Y%m%dT%H")
            identity = await identity_of(stage, controller, camera, hour)
            mine = (controller, camera, hour) == (doomed.controller, doomed.camera, doomed.hour)
            require(not (mine and identity), f"the key of {camera} {hour} cannot be had")
            if identity is not None:
                tried += 1
                require(not _opens(doomed.age_file, identity), f"the key of {camera} {hour} opens nothing deleted")
    require(tried, "there are other keys to try")
    return tried


async def identity_of(stage: Stage, controller: str, camera: str, hour: str) -> str | None:
    """Ask for the private key of a camera-hour as the test tool; None when there is none."""
    request = catalogue.ExportHourKeyRequest(controller=controller, camera=camera, hour=hour)
    try:
        answer = await stage.as_tool("storage", catalogue_grpc.MediaKeyServiceStub, "ExportHourKey", request)
    except PlatformError as error:
        if error.code is Code.NOT_FOUND:
            return None
        raise
    return str(answer.identity)


async def fetch(drill: Drill, wanted: Wanted, grant_id: str) -> dict[str, str]:
    """Fetch footage under an issued grant and return the SHA-256 of every media file by its name."""
    token = await grant_token(drill.now.people, "anna", grant_id)
    folder = drill.work / f"clip-{len(list(drill.work.glob('clip-*')))}"
    result = await fetch_clip(Playback(drill.now.people, "anna", token, wanted), folder, lambda item: None)
    require(not result.package.gaps and not result.package.edges, "nothing is missing from the interval")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.mp4"))}


async def granted(drill: Drill, wanted: Wanted) -> str:
    """Ask for a grant as anna, have it approved by bertil, and return its id."""
    grant_id = await watching.request_grant(drill.now, wanted)
    approve = grants.GrantServiceApproveRequest(grant_id=grant_id)
    await drill.now.ask("bertil", "access-control", grants_grpc.GrantServiceStub, "Approve", approve)
    return grant_id


async def _clip(drill: Drill, after: datetime) -> Clip:
    """Fetch some seconds that were recorded after an instant."""

    async def look() -> Wanted | None:
        request = catalogue.ListFootageRequest(controller=CONTROLLER, camera=CAMERA, page_size=1000)
        found = await drill.now.ask("anna", "storage", catalogue_grpc.CatalogueServiceStub, "ListFootage", request)
        starts = [begin for item in found.segments if (begin := instant(getattr(item, "from"))) >= after]
        end = max((instant(item.to) for item in found.segments), default=after)
        start = min(starts, default=end) + timedelta(seconds=1)
        length = timedelta(seconds=CLIP_SECONDS)
        return Wanted(CONTROLLER, CAMERA, start, start + length) if start + length <= end else None

    wanted = await until(look, 60, f"{CLIP_SECONDS} s of footage in the catalogue")
    if wanted is None:
        raise BrokenPromiseError("no footage")
    grant_id = await granted(drill, wanted)
    return Clip(wanted, grant_id, await fetch(drill, wanted, grant_id))


async def _stopped(stage: Stage, controller: str, camera: str) -> bool:
    get = sessions.GetRequest(controller=controller, camera=camera)
    answer = await stage.as_tool("ingest", sessions_grpc.SessionServiceStub, "Get", get)
    return bool(answer.session.state == sessions.SESSION_STATE_NOT_ALLOWED)


def _opens(age_file: bytes, identity: str) -> bool:
    try:
        pyrage.decrypt(age_file, [pyrage.x25519.Identity.from_str(identity)])
    except pyrage.DecryptError:
        return False
    return True


def _has_key(drill: Drill, doomed: Doomed) -> bool:
    """Look for the wrapped key of an hour in the backup's copy of the database."""
    if drill.manifest is None:
        raise BrokenPromiseError("an earlier step made no backup")
    database: Path = drill.backup / drill.manifest.generation / SERVICES / "storage" / DATABASE
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        where = (doomed.controller, doomed.camera, doomed.hour)
        query = "SELECT count(*) FROM hour_keys WHERE controller = ? AND camera = ? AND hour = ?"
        return bool(connection.execute(query, where).fetchone()[0])
