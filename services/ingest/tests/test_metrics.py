"""What a scraper sees of the recorder."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lykta_ingest import telemetry
from lykta_ingest.app import open_ingest
from lykta_testing.platform import eventually, open_platform

pytestmark = pytest.mark.timeout(180)


async def test_a_scraper_sees_cameras_spool_uploads_and_gaps(
    rig: Any, camera: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera under a mandate is due, then recorded; its order's end, the spool, segments and gaps are shown."""
    monkeypatch.setattr(telemetry, "LOOK_SECONDS", 0.05)
    where = {"controller": "ks", "camera": camera}
    settings = rig.settings("0", camera_credentials_file=tmp_path / "cameras.json")
    order = rig.order()
    await rig.publish(order)
    async with open_platform("ingest") as platform, open_ingest(settings, platform):

        def read(name: str, **labels: str) -> Any:
            return platform.metrics.registry.get_sample_value(f"lykta_ingest_{name}", labels)

        await eventually(lambda: read("sessions", state="NO_KEY") == 1, 30, "a camera without a key")
        assert (read("camera_due", **where), read("camera_recording", **where)) == (1, 0)
        missing = timedelta(seconds=0.3)
        await eventually(lambda: datetime.now(UTC) - order.issued_at > missing, what="time that is missing")
        await rig.publish_keys()
        await eventually(lambda: read("camera_recording", **where) == 1, 50, "a recorded camera")
        await eventually(lambda: read("segments_uploaded_total"), 50, "an uploaded segment")
        assert read("sessions", state="RECORDING") == 1
        assert read("mandate_valid_until_timestamp_seconds", **where) > 0
        assert 0 < read("spool_bytes") < read("spool_limit_bytes")
        assert read("fragments_total") > 0
        assert read("fragment_bytes_total") > 0
        assert read("gap_seconds_total", controller="ks", cause="PLATFORM") > 0
