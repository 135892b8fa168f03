"""The machine loses power: everything dies at once, and after the next start nothing acknowledged is missing."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import psutil
from lykta.audit.v1 import log_service_pb2 as log
from lykta.storage.v1 import playback_service_pb2 as playback

from tests.integration.client import Client, connected, instant
from tests.integration.footage import Bucket
from tests.integration.harness import Platform, end, eventually, start
from tests.integration.witness import Witness

CAMERA = "tradgardstorget-1"
OPTIONS = ("--set", "LYKTA_INGEST__SEGMENT_SECONDS=4")


def cut(platform: Platform) -> float:
    """Kill the supervisor and all it started at once; returns the unix time."""
    processes = [psutil.Process(platform.process.pid), *psutil.Process(platform.process.pid).children(recursive=True)]
    at = time.time()
    for one in processes:
        with suppress(psutil.NoSuchProcess):  # it ended by itself when the one that it worked for was killed
            one.kill()
    platform.process.wait()
    assert psutil.wait_procs(processes, timeout=10)[1] == []
    return at


def checkpoint(tool: Client) -> str:
    """Return the newest published checkpoint, of at least one entry."""
    answer = tool.ask("LogService.GetCheckpoint", log.GetCheckpointRequest(min_size=1), seconds=30)
    return str(answer.checkpoint)


def test_after_a_power_cut(tmp_path: Path) -> None:
    """What was acknowledged is listed, readable and proved; the time without power is a gap, and the log goes on."""
    first = start(tmp_path, *OPTIONS)
    try:
        with connected(first.file, "test-tool") as tool:
            witness = Witness(first, tool, Bucket(tool), CAMERA)
            eventually(lambda: len(witness.acknowledged()) >= 2, 60, "acknowledged segments", every=0.3)
            known = witness.acknowledged()
            (tmp_path / "checkpoint").write_text(checkpoint(tool))
        at = cut(first)
        second = start(tmp_path, *OPTIONS)
    except BaseException:
        end(first.process)
        raise
    try:
        with connected(second.file, "test-tool") as tool:
            tool.patience = 30
            witness = Witness(second, tool, Bucket(tool), CAMERA)
            fresh = witness.stored_from(at)
            assert known <= {one.segment_id for one in witness.listed()}
            assert len({one.segment_id for one in witness.fragments()}) == len(witness.listed())
            gap = eventually(lambda: witness.gaps(at), 30, "a declared gap")[0]
            last = max(instant(one.to) for one in witness.listed() if instant(one.to).timestamp() <= at + 1)
            assert gap.cause == playback.GAP_CAUSE_PLATFORM
            assert (instant(getattr(gap, "from")), instant(gap.to)) == (last, instant(getattr(fresh, "from")))
            assert at - last.timestamp() < 2.5, "more than an unfinished GOP was lost"
            done = second.cli("audit", "verify", "--since", str(tmp_path / "checkpoint"), "--as", "david")
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        left = end(second.process)
        assert not left
