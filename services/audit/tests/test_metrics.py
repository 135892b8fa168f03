"""What a scraper sees of the audit log."""

from typing import Any

import pytest
from lykta_audit import telemetry
from lykta_audit.app import SERVICE
from lykta_testing.platform import eventually, open_platform


async def test_a_scraper_sees_the_log_grow_and_its_publication(harness: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries, published entries, the checkpoint's instant, the writer and the latency of appends are shown."""
    monkeypatch.setattr(telemetry, "LOOK_SECONDS", 0.05)
    async with open_platform("audit") as platform, SERVICE.open(harness.settings(), platform), harness.stub() as stub:

        def read(name: str) -> Any:
            return platform.metrics.registry.get_sample_value(f"lykta_audit_{name}")

        await harness.accepted(stub, harness.batch(0, 7))
        await eventually(lambda: read("published_entries") == 7)
        await eventually(lambda: read("log_entries") == 7)
        assert (read("log_writing"), read("log_halted"), read("append_seconds_count")) == (1, 0, 1)
        assert read("checkpoint_timestamp_seconds") > 0
        await eventually(lambda: read("outbox_pending") == 0)
