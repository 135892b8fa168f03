"""A downstream program with the platform's own subscriber account: one controller's incidents, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nats.errors
import pytest
from lykta_testing.platform import eventually as async_eventually

from tests.integration.facts import as_user, events
from tests.integration.harness import Platform, eventually

ROOT = Path(__file__).parents[2]
CAMERAS = {"ks": {"tradgardstorget-1", "tradgardstorget-2"}, "stangastaden": {"ryd-centrum-1"}}


@pytest.mark.parametrize("controller", CAMERAS)
def test_the_example_prints_ones_own_incidents(controller: str, platform: Platform, tmp_path: Path) -> None:
    """The example prints the controller's incidents, from the first that was published, and no other's."""
    for one in CAMERAS:
        eventually(lambda c=one: of_controller(platform, c), 120, f"an incident of {one}", every=0.5)
    output = tmp_path / "printed"
    with output.open("wb") as printed:
        example = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / "subscriber.py"), controller], stdout=printed,
            stderr=subprocess.DEVNULL, env=os.environ | {"LYKTA_STATE": str(platform.state_dir)}, cwd=tmp_path,
        )  # fmt: skip
        try:
            lines = eventually(lambda: printed_incidents(output), 30, "a printed incident")
        finally:
            example.terminate()
            example.wait(10)
    assert {line.split()[2] for line in lines} <= CAMERAS[controller]
    assert lines[0].split()[:2] == [of_controller(platform, controller)[0]["data"]["started_at"], "open"]


def printed_incidents(output: Path) -> list[str]:
    """Return the lines of the example that are incidents, not words of its framework."""
    return [line for line in output.read_text().splitlines() if line.split(" ")[0].endswith("Z")]


def of_controller(platform: Platform, controller: str) -> list[dict[str, object]]:
    """Return the events of incidents that opened at a controller."""
    found = events(platform.file, "INCIDENT", "incident.opened")
    return [event for event in found if event["data"]["controller"] == controller]


REFUSED = (
    "lykta.v1.stangastaden.incident.>",
    "lykta.v1.*.incident.>",
    "lykta.v1.ks.segment.>",
    "lykta.v1.ks.>",
    "lykta.media.v1.>",
    "$KV.>",
    ">",
)


@pytest.mark.parametrize("subject", REFUSED)
async def test_a_subscriber_hears_nothing_else(subject: str, platform: Platform) -> None:
    """The server refuses the account every subscription but its controller's incidents."""
    refused: list[Exception] = []
    async with as_user(platform.file, "subscriber-ks", "subscriber", refused) as client:
        await client.subscribe(subject)
        await client.flush(timeout=5)
        await async_eventually(lambda: refused, 5, "the server's refusal")
    assert "permissions violation" in str(refused[0]).lower()


async def test_a_subscriber_says_nothing_and_reads_no_other_stream(platform: Platform) -> None:
    """The account can state no fact, make no consumer for others' subjects and read no stream directly."""
    refused: list[Exception] = []
    incident = "lykta.v1.stangastaden.incident.>"
    async with as_user(platform.file, "subscriber-ks", "subscriber", refused) as client:
        for subject in (
            "lykta.v1.ks.incident.opened.tradgardstorget-1",
            "$JS.API.STREAM.MSG.GET.INCIDENT",
            "$JS.API.DIRECT.GET.INCIDENT",
            "$JS.API.STREAM.PURGE.INCIDENT",
            f"$JS.API.CONSUMER.CREATE.INCIDENT.subscriber-ks.{incident}",
            "$JS.API.CONSUMER.CREATE.FOOTAGE.subscriber-ks.lykta.v1.ks.segment.>",
        ):
            refused.clear()
            with pytest.raises((nats.errors.NoRespondersError, nats.errors.TimeoutError)):
                await client.request(subject, b"{}", timeout=1)
            assert "permissions violation" in str(refused[0]).lower(), subject
