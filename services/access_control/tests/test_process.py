"""The service as a process: it stops when told, and a kill loses nothing that was answered."""

import signal
from collections import Counter
from typing import Any

import pytest
from lykta_testing.platform import eventually


@pytest.mark.fault
async def test_a_kill_loses_nothing_that_was_answered(world: Any) -> None:
    """Killed right after an approval was answered, the next process sends its order and facts, each once."""
    async with world.process() as process:
        await world.populate()
        mandate = await world.draft()
        await world.propose(mandate.mandate_id)
        await world.approve(mandate.mandate_id)
        process.kill()
        await process.wait()
    async with world.process() as process, world.wire() as wire:
        order = await eventually(lambda: wire.order("ks.torget-1"))
        assert (order.status, order.mandate.mandate_id) == ("live", mandate.mandate_id)
        await world.end(mandate.mandate_id)
        # The last part of an entry's id is the instant.
        entries = Counter(entry["entry_id"].rpartition("/")[0] for entry in await wire.entries("mandate.end"))
        assert entries[f"mandate.approve/{mandate.mandate_id}/1"] == 1
        facts = Counter(event.id for event in await wire.events("GOVERNANCE"))
        assert facts[f"mandate.approved/{mandate.mandate_id}/1"] == 1
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_an_unusable_setting_ends_the_process_with_one_line(world: Any) -> None:
    """A signing key that cannot be read is named in one line, and the process ends with 1."""
    world.settings().mandate_signing_key_file.write_text("no key")
    code, said = await world.failing_process()
    assert code == 1
    assert said.splitlines()[-1].startswith("lykta access-control: cannot read the signing key ")
