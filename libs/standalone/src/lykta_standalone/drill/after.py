"""Steps of the disaster and after it: everything is lost, restored, decided again, and compared with before."""

import asyncio
import shutil
from typing import Final

from lykta.ingest.v1 import session_service_pb2 as sessions
from lykta.ingest.v1 import session_service_pb2_grpc as sessions_grpc
from lykta.storage.v1 import playback_service_pb2 as playback_pb2

from lykta_standalone.backup.messages import dead_letters
from lykta_standalone.backup.records import describe, verified_records
from lykta_standalone.backup.restoring import RESTORED, Newer, restore
from lykta_standalone.demo.stage import CAMERA, CONTROLLER
from lykta_standalone.drill.before import DELETED_AFTER, DELETED_BEFORE, end_mandate, fetch, granted, require_gone
from lykta_standalone.drill.stage import Doomed, Drill, all_cameras
from lykta_standalone.footage import grant_token
from lykta_standalone.log_download import download_log
from lykta_standalone.municipality import CONTROLLERS
from lykta_standalone.playback import Playback, Wanted
from lykta_standalone.promises import BrokenPromiseError, require, run_offline, until

NEW_STATE: Final = "state-restored"


async def lost(drill: Drill) -> str:
    """Everything is killed and removed: databases, NATS, S3, keys, certificates, spool."""
    size = await drill.lose_everything()
    require(not drill.layout.root.exists(), "nothing is left")
    return f"every process killed, {size / 1e6:.1f} MB of state removed"


async def brought_back(drill: Drill) -> str:
    """The backup is restored elsewhere; what was deleted after it is deleted again by its receipt."""
    drill.state = NEW_STATE
    drill.restored = await restore(drill.backup, drill.layout, drill.display.say, Newer(since=drill.checkpoint))
    ended = [item for item in drill.restored.decisions if item.fields["action"] == "mandate.end"]
    mandate_id = _after(drill).mandate_id
    require(
        any(mandate_id in item.fields["object"] for item in ended), f"the end of {mandate_id} is named as forgotten"
    )
    require("keys destroyed again 1," in drill.restored.deleted_again, "the key of one hour is destroyed again")
    forgotten = "; ".join(describe(item) for item in drill.restored.decisions)
    return f"{drill.restored.deleted_again}; forgotten decisions: {forgotten}"


async def decided_again(drill: Drill) -> str:
    """Before any camera is started, people decide again what the databases forgot."""
    await drill.start(("access-control", "audit"), cameras=False)
    doomed = _after(drill)
    approver = next(owner.approver for owner in CONTROLLERS if owner.controller == doomed.controller)
    await end_mandate(drill.now, approver, doomed.mandate_id)
    await drill.stop()
    return f"{approver} ended {doomed.mandate_id} again, with nothing but access-control and audit running"


async def goes_on(drill: Drill) -> str:
    """Recording goes on where a decision allows it, and nowhere else."""
    await drill.start()
    stage = drill.now

    async def recording() -> dict[str, sessions.Session]:
        answer = await stage.as_tool("ingest", sessions_grpc.SessionServiceStub, "List", sessions.ListRequest())
        found = {item.camera: item for item in answer.sessions}
        mine = found.get(CAMERA)
        good = mine is not None and mine.state == sessions.SESSION_STATE_RECORDING and mine.segments_uploaded
        return found if good else {}

    found = await until(recording, 60, f"{CAMERA} is recorded again")
    others = [item for name, item in found.items() if name != CAMERA]
    still = [item.camera for item in others if item.state != sessions.SESSION_STATE_NOT_ALLOWED]
    require(not still, f"cameras whose mandates ended stay dark: {still}")
    fresh = await until(lambda: _fresh(drill, CAMERA), 30, "new footage is catalogued")
    for controller, camera in (DELETED_BEFORE, DELETED_AFTER):
        dark = await drill.listed(controller, camera) - drill.known
        require(not dark, f"nothing was recorded of {camera}: {dark}")
    return f"{CAMERA} is recorded, {len(fresh)} new segments in the catalogue; of the other two cameras nothing"


async def identical(drill: Drill) -> str:
    """Footage from before and from after the backup is read with a grant, bit for bit as before the disaster."""
    first, second = drill.clips
    require(
        await fetch(drill, first.wanted, first.grant_id) == first.files, "footage from before the backup is the same"
    )
    fresh = await granted(drill, second.wanted)
    require(await fetch(drill, second.wanted, fresh) == second.files, "footage from after the backup is the same")
    return (
        f"{first.wanted.from_at:%H:%M:%S} under its grant of before ({first.grant_id}), "
        f"{second.wanted.from_at:%H:%M:%S} under a new one: the same SHA-256"
    )


async def exactly_that(drill: Drill) -> str:
    """What cannot be read any more is exactly what had been deleted."""
    tried = [await require_gone(drill, doomed) for doomed in drill.doomed]
    now: set[str] = set()
    for controller, camera in all_cameras():
        now |= await drill.listed(controller, camera)
    missing = drill.known - now
    require(missing == drill.gone, f"missing is what was deleted: {sorted(missing ^ drill.gone)}")
    for doomed in drill.doomed:
        await _unreadable(drill, doomed.controller, doomed.camera)
    return (
        f"of {len(drill.known)} segments known before {len(missing)} are gone, those of the deleted hours; "
        f"none of {min(tried)} keys opens the copies kept aside; people are told DELETED"
    )


async def log_continues(drill: Drill) -> str:
    """The log verifies offline and extends the checkpoint from before the disaster; each receipt is in it once."""
    if drill.checkpoint is None:
        raise BrokenPromiseError("an earlier step kept no checkpoint")
    folder, vkey, again = drill.work / "log", drill.now.platform.audit_verifier_key, _after(drill).mandate_id

    async def told() -> list[str]:
        await asyncio.to_thread(shutil.rmtree, folder, True)
        await download_log(drill.now.platform, folder, lambda done, total: None)
        records = verified_records(folder, vkey)
        ended = [one for one in records if one.fields["action"] == "mandate.end" and again in one.fields["object"]]
        actions = [one.fields["action"] for one in records]
        return actions if RESTORED in actions and len(ended) == 2 else []

    actions = await until(told, 20, "the restore, and the decision that was made again, are in the log")
    code, output = await run_offline(
        "lykta_verify", "log", str(folder), "--vkey", vkey, "--since", str(drill.checkpoint)
    )
    require(code == 0 and "extends the earlier checkpoint" in output, f"the log continues: {output}")
    dead = await dead_letters(drill.layout, drill.now.platform.nats_url)
    require(dead == 0, f"no message found nobody who could take it in: {dead} dead letters")
    require(actions.count("footage.hour.deleted") == len(drill.doomed), "one receipt for each deletion, no second one")
    earlier = int(drill.checkpoint.read_text().splitlines()[1])
    return f"{len(actions)} entries extend the {earlier} of before the disaster; the restore is one of them"


async def _fresh(drill: Drill, camera: str) -> set[str]:
    return await drill.listed(CONTROLLER, camera) - drill.known


async def _unreadable(drill: Drill, controller: str, camera: str) -> None:
    """Ask for deleted footage with a new grant, where the case is."""
    wanted = Wanted(controller, camera, drill.clips[0].wanted.from_at, drill.clips[0].wanted.to_at)
    if controller != drill.clips[0].wanted.controller:
        return
    token = await grant_token(drill.now.people, "anna", await granted(drill, wanted))
    items = [item async for item in Playback(drill.now.people, "anna", token, wanted).items()]
    require(not any(item.HasField("fragment") for item in items), f"not a fragment of {camera} comes")
    reasons = {item.edge.reason for item in items if item.HasField("edge")}
    require(playback_pb2.EDGE_REASON_DELETED in reasons, f"the answer says that it was deleted: {items}")


def _after(drill: Drill) -> Doomed:
    return next(item for item in drill.doomed if (item.controller, item.camera) == DELETED_AFTER)
