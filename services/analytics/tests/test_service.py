"""The whole service on a real NATS, with the real model and real footage: what it notices and what it must not."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from lykta_common.errors import PlatformError
from lykta_common.signing import Signer, new_key_pair
from lykta_contracts.events import CameraTampered
from lykta_contracts.incidents import Incident
from lykta_testing.platform import eventually

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
Make = Callable[..., Any]


async def ready(bench: Any) -> None:
    """Waits until the service says that it does its job."""

    async def well() -> bool:
        return not await bench.health.failures()

    await eventually(well, 20, "health")


async def test_people_become_an_incident_with_everything_that_explains_it(
    bench: Any, street: Any, make_mandate: Make
) -> None:
    """A street with people opens one incident under the mandate, told with model, thresholds, trace and reference.

    A scraper sees parts, pictures, the detector's time and the incident by category.
    """
    async with bench.analytics():
        await bench.order(make_mandate())
        await ready(bench)
        await bench.play(street, START)
        (opened,) = await bench.until("incident.opened")
        await bench.until("incident.updated")
        camera = {"controller": "ks", "camera": "torg-1"}
        step = {"controller": "ks", "category": "person-in-zone", "lifecycle": "open"}
        read = bench.metrics.registry.get_sample_value
        assert read("lykta_analytics_parts_total", camera) == len(street.parts)
        assert 0 < read("lykta_analytics_detector_seconds_count") <= read("lykta_analytics_pictures_total", camera)
        assert read("lykta_analytics_incidents_total", step) == 1
        assert read("lykta_analytics_incident_commit_seconds_count") >= 2
    assert isinstance(opened, Incident)
    assert (opened.category, opened.status, opened.place.zone_ids) == ("person-in-zone", "potential", ("torget",))
    assert START <= opened.started_at <= opened.observed_at <= START + timedelta(seconds=20)
    assert opened.counts["person"] >= 1
    assert all(item.label == "person" and item.confidence >= 0.5 for item in opened.objects)
    assert (opened.camera.frame.width, opened.camera.frame.height) == (768, 576)
    assert (opened.model.name, len(opened.model.sha256)) == ("nanodet-g-416", 64)
    assert opened.model.runtime.startswith("openvino")
    assert opened.rule.thresholds == {"min_confidence": 0.5, "quiet_s": 2.0, "open_frames": 3.0, "window_frames": 5.0}
    assert (opened.governance.mandate_id, opened.governance.mandate_version) == ("man_1", 1)
    assert opened.evidence[0].uri.startswith("footage://ks/torg-1?from=2026-06-01T11:59:5")
    envelopes = [event for _, event, _ in bench.told]
    assert [event.id for event in envelopes[:2]] == [f"{opened.incident_id}.1", f"{opened.incident_id}.2"]
    assert {event.traceparent.split("-")[1] for event in envelopes} == {"0af7651916cd43dd8448eb211c80319c"}


async def test_nothing_is_noticed_without_a_mandate(bench: Any, street: Any, make_mandate: Make) -> None:
    """Parts of a camera without a live order are never decoded, and an ended mandate ends what was open."""
    async with bench.analytics():
        await ready(bench)
        await bench.play(street.first(20), START)
        assert bench.told == []
        assert not [
            child for child in psutil.Process().children() if "lykta_analytics.decoder.child" in child.cmdline()
        ]
        await bench.order(make_mandate())
        after = await bench.play(street.first(20), START + timedelta(minutes=1))
        await bench.until("incident.opened")
        await bench.order(make_mandate(), "ended")
        (closed,) = await bench.until("incident.closed")
        told = len(bench.told)
        await bench.play(street.first(20), after)
        assert len(bench.told) == told
    assert closed.changed == ("ended_at", "mandate_ended")


async def test_without_a_listed_analytic_only_the_pictures_health_is_noticed(
    bench: Any, street: Any, darkness: Any, make_mandate: Make
) -> None:
    """People walk by unnoticed; a black picture is told as tampering, and so is its end."""
    async with bench.analytics():
        await bench.order(make_mandate(zones=()))
        await ready(bench)
        after = await bench.play(street, START)
        assert bench.told == []
        after = await bench.play(darkness, after)
        await bench.until("incident.opened")
        await bench.play(street, after)
        (closed,) = await bench.until("incident.closed")
        black, restored = await bench.until("camera.tampered", 2)
    assert closed.category == "camera-black"
    assert closed.model.name == ""
    assert isinstance(black, CameraTampered)
    assert [black.kind, restored.kind] == ["black", "restored"]
    assert after - timedelta(seconds=6) <= closed.started_at < closed.ended_at <= after


async def test_outside_the_hours_of_the_mandate_nothing_is_decoded(bench: Any, street: Any, make_mandate: Make) -> None:
    """Parts from before the mandate's first moment lead to nothing, although the order is live."""
    document = make_mandate().model_copy(update={"valid_from": START + timedelta(seconds=10)})
    async with bench.analytics():
        await bench.order(document)
        await ready(bench)
        await bench.play(street, START)
        (opened,) = await bench.until("incident.opened")
    assert opened.started_at >= START + timedelta(seconds=10)


async def test_an_open_incident_goes_on_after_a_restart(bench: Any, street: Any, make_mandate: Make) -> None:
    """Stopped in the middle and started again, the service continues the incident; it is neither lost nor doubled."""
    async with bench.analytics():
        await bench.order(make_mandate())
        await ready(bench)
        after = await bench.play(street, START)
        (opened,) = await bench.until("incident.opened")
    async with bench.analytics():
        await ready(bench)
        after = await bench.play(street, after + timedelta(seconds=5))
        assert len(bench.of("incident.opened")) == 1
        await bench.order(make_mandate(), "ended")
        (closed,) = await bench.until("incident.closed")
    assert closed.incident_id == opened.incident_id
    assert closed.started_at == opened.started_at
    assert closed.ended_at > opened.observed_at + timedelta(seconds=20)


async def test_a_mandate_that_ended_while_it_was_away_ends_the_incident(
    bench: Any, street: Any, make_mandate: Make
) -> None:
    """What was open under a mandate that ended during the absence is closed at the start."""
    async with bench.analytics():
        await bench.order(make_mandate())
        await ready(bench)
        await bench.play(street.first(20), START)
        await bench.until("incident.opened")
    await bench.order(make_mandate(), "ended")
    async with bench.analytics():
        (closed,) = await bench.until("incident.closed")
    assert closed.changed == ("ended_at", "mandate_ended")


@pytest.mark.parametrize("fault", ["signature", "serial", "camera"])
async def test_a_false_order_changes_nothing(
    bench: Any, street: Any, make_mandate: Make, tmp_path: Path, fault: str
) -> None:
    """An order by a stranger, an older order and one under another camera's key are refused; the true one stands."""
    async with bench.analytics():
        await bench.order(make_mandate(camera="torg-2"))
        order = await bench.order(make_mandate())
        await ready(bench)
        ended = order.model_copy(update={"status": "ended", "serial": order.serial + 1})
        if fault == "signature":
            new_key_pair(tmp_path / "mandates-x.pem", tmp_path / "x.pub.pem")
            await bench.put(ended, Signer("mandates", Signer.from_file(tmp_path / "mandates-x.pem").private_key))
        elif fault == "serial":
            await bench.put(ended.model_copy(update={"serial": order.serial - 1}), bench.signer)
        else:
            bucket = await bench.messaging.bucket("mandates")
            other = bench.signer.sign("application/vnd.lykta.mandate-order+json", ended.to_json())
            await bucket.put("ks.torg-2", other)
        await bench.play(street.first(20), START)
        await bench.until("incident.opened")
        assert bench.of("incident.closed") == []


async def test_a_hostile_stream_hurts_no_other_camera(bench: Any, street: Any, make_mandate: Make) -> None:
    """Garbage on one camera, headers and bodies alike, leaves the neighbour's incidents as they would be."""
    async with bench.analytics():
        await bench.order(make_mandate())
        await bench.order(make_mandate(camera="torg-2"))
        await ready(bench)

        async def attack() -> None:
            broken = type(street)(street.init[:-40], tuple(part[::-1] for part in street.parts))
            await bench.messaging.publish_core("lykta.media.v1.ks.torg-2.main", b"x" * 100_000, {"Lykta-From": "never"})
            await bench.play(broken, START, camera="torg-2")

        await asyncio.gather(attack(), bench.play(street, START))
        await bench.until("incident.opened")
        await ready(bench)
    assert bench.of("incident.opened", "torg-2") == []


async def test_a_flood_is_looked_at_sparsely_and_still_noticed(bench: Any, street: Any, make_mandate: Make) -> None:
    """Parts that come far faster than they can be looked at cost pictures, not the incident."""
    async with bench.analytics():
        await bench.order(make_mandate())
        await ready(bench)
        await bench.play(street, START, pace=0.005)
        await bench.play(street, START + timedelta(seconds=20))
        await bench.until("incident.opened")
        await ready(bench)
    assert len(bench.of("incident.opened")) == 1


async def test_a_missing_model_is_said_with_its_remedy(bench: Any, tmp_path: Path) -> None:
    """Without the model the service does not start, and says which command brings it."""
    bench.settings = bench.settings.model_copy(update={"model_cache_dir": tmp_path / "empty"})
    with pytest.raises(PlatformError, match=r"python -m lykta_analytics\.models fetch"):
        async with bench.analytics():
            pass
