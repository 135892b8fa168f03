"""Steps nine to twelve: the log proves itself and the clip, tells the whole story, and damage is found."""

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lykta_verify.bundle import split
from lykta_verify.clip import CLIP_NAME
from lykta_verify.files import ENTRIES, LogDirectory
from lykta_verify.merkle import TILE_WIDTH

from lykta_standalone.demo.stage import CAMERA, CONTROLLER, Stage
from lykta_standalone.log_download import download_log
from lykta_standalone.promises import BrokenPromiseError, require, run_offline, until


@dataclass(frozen=True)
class Expected:
    """One entry that must be in the log."""

    action: str
    actor: str
    result: str
    reason: str = ""


STORY: Final = (
    Expected("mandate.approve", "bertil", "done"),
    Expected("footage.playback.opened", "anna", "denied", "NO_GRANT"),
    Expected("case.open", "anna", "done"),
    Expected("grant.request", "anna", "done"),
    Expected("grant.approve", "anna", "denied", "SECOND_PERSON"),
    Expected("grant.approve", "bertil", "done"),
    Expected("footage.playback.opened", "anna", "allowed"),
    Expected("footage.hour.sealed", "storage", "done"),
    Expected("footage.playback.closed", "anna", "done"),
    Expected("grant.revoke", "bertil", "done"),
    Expected("footage.playback.closed", "anna", "failed", "GRANT_REVOKED"),
    Expected("footage.playback.opened", "anna", "denied", "GRANT_REVOKED"),
)
"""One entry for each step of the story so far."""


async def log_verified(stage: Stage) -> str:
    """The log is downloaded from its bucket and verified without the platform, and tells every step."""

    async def complete() -> list[str]:
        stage.log = await _download(stage)
        found = entries(stage.log)
        return [] if _missing(found) else ["complete"]

    try:
        await until(complete, 10, "one entry in the log for each step")
    except BrokenPromiseError as error:
        lacking = _missing(entries(_log(stage)))
        raise BrokenPromiseError(f"{error}; lacking: {', '.join(map(str, lacking))}") from error
    code, output = await run_offline(
        "lykta_verify", "log", str(_log(stage)), "--vkey", stage.platform.audit_verifier_key
    )
    require(code == 0, f"the log verifies offline: {output}")
    count = len(entries(_log(stage)))
    return f"{count} entries under a signed checkpoint; {len(STORY)} of them tell the story so far, refusals too"


async def clip_proved(stage: Stage) -> str:
    """The clip is proved from its bytes to the checkpoint, offline."""
    code, output = await _verify_clip(stage, _clip(stage))
    require(code == 0, f"the clip is proved: {output}")
    return "bytes → fragment hash → hour root → recorder's seal → audit entry → signed checkpoint"


async def damaged_clip(stage: Stage) -> str:
    """One flipped byte in the clip is found and named."""
    copy = stage.work / "damaged-clip"
    shutil.copytree(_clip(stage), copy)
    at = _flip(copy / CLIP_NAME)
    code, output = await _verify_clip(stage, copy)
    named = [line for line in output.splitlines() if line.startswith("FAILED") and CLIP_NAME in line]
    require(code == 1 and named, f"a flipped byte at {at} is found: {output}")
    return f"byte {at} flipped → {_short(named[0])}"


async def damaged_log(stage: Stage) -> str:
    """One flipped byte in the log is found and named."""
    copy = stage.work / "damaged-log"
    shutil.copytree(_log(stage), copy)
    file = max((copy / "tile" / "entries").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else -1)
    at = _flip(file)
    code, output = await _verify_log(stage, copy)
    name = file.relative_to(copy).as_posix()
    named = [line for line in output.splitlines() if line.startswith("FAILED") and name in line]
    require(code == 1 and named, f"a flipped byte at {at} of {name} is found: {output}")
    return f"byte {at} flipped → {_short(named[0])}"


def entries(log: Path) -> list[dict[str, Any]]:
    """Read every record of a downloaded log, in order."""
    directory = LogDirectory(log)
    size = int((log / "checkpoint").read_text().splitlines()[1])
    found: list[dict[str, Any]] = []
    for index in range((size + TILE_WIDTH - 1) // TILE_WIDTH):
        width = min(TILE_WIDTH, size - index * TILE_WIDTH)
        file = directory.serving(ENTRIES, index, width)
        if file is None:
            raise BrokenPromiseError(f"the log lacks the bundle {index}")
        found += [json.loads(entry.data) for entry in split(directory.read(file), file.width)[:width]]
    return found


def _missing(found: list[dict[str, Any]]) -> list[Expected]:
    seen = {
        Expected(item["action"], item["actor"]["id"], item["result"], item["reason"])
        for item in found
        if item["controller"] == CONTROLLER
    }
    return [wanted for wanted in STORY if wanted not in seen]


async def _download(stage: Stage) -> Path:
    target = stage.work / "log"
    await asyncio.to_thread(shutil.rmtree, target, True)
    await download_log(stage.platform, target, lambda done, total: None)
    return target


async def _verify_log(stage: Stage, directory: Path) -> tuple[int, str]:
    return await run_offline("lykta_verify", "log", str(directory), "--vkey", stage.platform.audit_verifier_key)


async def _verify_clip(stage: Stage, clip: Path) -> tuple[int, str]:
    platform = stage.platform
    return await run_offline(
        "lykta_verify", "clip", str(clip), "--vkey", platform.audit_verifier_key,
        "--recorder-key", platform.recorder_key_file,
    )  # fmt: skip


def _flip(file: Path) -> int:
    """Flip one bit in the middle of a file and return the byte's offset."""
    content = bytearray(file.read_bytes())
    at = len(content) // 2
    content[at] ^= 0x01
    file.write_bytes(content)
    return at


def _short(line: str) -> str:
    text = " ".join(line.removeprefix("FAILED").split())
    return text if len(text) <= 150 else text[:149] + "…"


def _clip(stage: Stage) -> Path:
    if stage.clip is None:
        raise BrokenPromiseError(f"an earlier step fetched no clip of {CAMERA}")
    return stage.clip


def _log(stage: Stage) -> Path:
    if stage.log is None:
        raise BrokenPromiseError("an earlier step downloaded no log")
    return stage.log
