"""P-05: from a camera's frame to the incident committed, with real cameras, recorder, broker, model and database.

Cameras replay street footage in real time over RTSP; recorder and analytics run as processes of their own. Every step
of an incident (opened, updated, closed) names the frame that caused it (`observed_at`, the frame's time on the
platform's clock, anchored at the arrival of the session's first frame); analytics logs, after the commit, how long ago
that was. Nothing is excluded but the warm-up. Usage: `python -m bench.p05_incident_latency [--seconds 60]`.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyrage
from lykta_camera_sim.footage import street_footage
from lykta_common.config import ServiceSettings
from lykta_common.messaging import Messaging, open_messaging
from lykta_common.signing import Signer, new_key_pair
from lykta_contracts.instants import from_wire, hour_of, to_ms
from lykta_contracts.mandates import (
    MANDATE_ORDER_TYPE,
    Analytic,
    LegalGround,
    MandateDocument,
    MandateOrder,
    Point,
    Zone,
)
from lykta_contracts.media import MEDIA_KEY_TYPE, MediaKey
from lykta_standalone.downloads import default_cache, fetch_models, models_directory
from lykta_testing.platform import Backbone, open_backbone, open_platform

RESULTS: Final = Path(__file__).parent / "results"
CONTROLLER: Final = "ks"
WARM_UP_SECONDS: Final = 5.0


class HandSettings(ServiceSettings):
    """NATS settings of the bench's own hand."""


def analytics() -> tuple[Analytic, ...]:
    """Eight upright strips of the picture, each a rule of its own, so that people cross many borders a minute."""
    strips = []
    for number in range(8):
        low, high = number / 8, (number + 1) / 8
        corners = tuple(Point(x=x, y=y) for x, y in ((low, 0.0), (high, 0.0), (high, 1.0), (low, 1.0)))
        zone = Zone(zone_id=f"strip-{number}", polygon=corners)
        strips.append(Analytic(detector="person-in-zone", zones=(zone,), min_confidence=0.5, quiet_seconds=1.0))
    return tuple(strips)


def order(camera: str, address: str, signer: Signer) -> bytes:
    """A signed live order for one camera."""
    now = datetime.now(UTC)
    document = MandateDocument(
        mandate_id="man_bench", version=1, controller=CONTROLLER, place="torget", cameras=(camera,), purpose="bench",
        legal_ground=LegalGround(text="bench"), analytics=analytics(), valid_from=now - timedelta(days=1),
        valid_to=now + timedelta(days=1), review_at=now,
    )  # fmt: skip
    live = MandateOrder(
        controller=CONTROLLER, camera=camera, serial=1, status="live", mandate=document, camera_address=address,
        issued_at=now,
    )  # fmt: skip
    return signer.sign(MANDATE_ORDER_TYPE, live.to_json())


class Rig:
    """NATS, S3, keys and processes of one run, in a directory that is removed afterwards."""

    def __init__(self, backbone: Backbone, directory: Path) -> None:
        self.backbone = backbone
        self.directory = directory
        self.signers = {name: self._signer(name) for name in ("mandate", "media-key", "recorder")}

    def _signer(self, name: str) -> Signer:
        new_key_pair(self.directory / f"{name}.pem", self.public(name))
        return Signer.from_file(self.directory / f"{name}.pem")

    def public(self, name: str) -> Path:
        """The public half of a key."""
        return self.directory / "public" / f"{name}.pub.pem"

    def environment(self, service: str, **own: Any) -> dict[str, str]:
        """The environment of one service's process."""
        values = self.backbone.common(service) | {"log_format": "json", "log_level": "info"} | own
        prefix = f"LYKTA_{service.upper()}_"
        return os.environ | {f"{prefix}{name.upper()}": str(value) for name, value in values.items()}

    @asynccontextmanager
    async def process(self, module: str, environment: dict[str, str], *arguments: str) -> AsyncIterator[Path]:
        """Runs a module for the block; answers the file its standard error goes to."""
        log = self.directory / f"{module}.log"
        with log.open("wb") as errors:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *arguments, env=environment, stderr=errors, stdout=asyncio.subprocess.PIPE
            )
        self.output = child.stdout
        try:
            yield log
            if child.returncode is not None:
                raise RuntimeError(f"{module} ended: {log.read_text()[-2000:]}")
        finally:
            if child.returncode is None:
                child.terminate()
                await asyncio.wait_for(child.wait(), 15)

    async def publish(self, messaging: Messaging, addresses: dict[str, str]) -> None:
        """Puts media keys and orders where the services look for them."""
        keys, orders = await messaging.bucket("media-keys"), await messaging.bucket("mandates")
        for camera, address in addresses.items():
            for ahead in range(2):
                hour = hour_of(datetime.now(UTC) + timedelta(hours=ahead))
                recipient = str(pyrage.x25519.Identity.generate().to_public())
                key = MediaKey(controller=CONTROLLER, camera=camera, hour=hour, recipient=recipient)
                await keys.put(
                    f"{CONTROLLER}.{camera}.{hour}", self.signers["media-key"].sign(MEDIA_KEY_TYPE, key.to_json())
                )
            await orders.put(f"{CONTROLLER}.{camera}", order(camera, address, self.signers["mandate"]))


async def measure(cameras: int, seconds: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Runs everything for the time and answers the committed steps and what the processes cost."""
    await fetch_models(default_cache(), lambda line: print(line, file=sys.stderr))
    footage = await asyncio.to_thread(street_footage, default_cache() / "footage")
    with tempfile.TemporaryDirectory(prefix="lykta-p05-") as folder:
        async with open_backbone(Path(folder)) as backbone:
            rig = Rig(backbone, Path(folder))
            ingest = rig.environment(
                "ingest", mandate_verify_key_file=rig.public("mandate"), access_control_address="127.0.0.1:1",
                media_key_verify_key_file=rig.public("media-key"), camera_allow="127.0.0.0/8",
                seal_signing_key_file=rig.directory / "recorder.pem",
                s3_endpoint=backbone.s3_settings().s3_endpoint, s3_credentials_file=backbone.s3_credentials_file,
            )  # fmt: skip
            analytics_ = rig.environment(
                "analytics", mandate_verify_key_file=rig.public("mandate"), access_control_address="127.0.0.1:1",
                model_cache_dir=models_directory(default_cache()),
                database_url=f"sqlite+aiosqlite:///{folder}/analytics.db",
            )  # fmt: skip
            names = [f"torget-{number}" for number in range(1, cameras + 1)]
            arguments = [word for name in names for word in ("--camera", f"{name}={footage}")]
            async with (
                rig.process("lykta_camera_sim", dict(os.environ), *arguments, "--free-running"),
                open_platform("bench") as hand,
                open_messaging(backbone.settings(HandSettings, "test"), hand.telemetry) as messaging,
            ):
                assert rig.output is not None
                addresses = json.loads(await asyncio.wait_for(rig.output.readline(), 30))["cameras"]
                await rig.publish(messaging, addresses)
                async with (
                    rig.process("lykta_ingest", ingest),
                    rig.process("lykta_analytics", analytics_) as log,
                ):
                    await asyncio.sleep(WARM_UP_SECONDS + seconds)
                    steps = list(committed(log.read_text().splitlines()))
    return steps, {"cameras": cameras, "seconds": seconds, "footage": footage.name}


def committed(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    """The commits in analytics' log after the warm-up, which begins with the first analysis."""
    begin_ms = 0
    for line in lines:
        if not line.startswith("{"):
            continue
        entry = json.loads(line)
        at_ms = to_ms(from_wire(entry["timestamp"]))
        if entry["event"] == "analysis_started" and not begin_ms:
            begin_ms = at_ms + round(WARM_UP_SECONDS * 1000)
        if entry["event"] == "incident_committed" and begin_ms and at_ms >= begin_ms:
            yield {"lifecycle": entry["lifecycle"], "latency_ms": entry["latency_ms"], "at_ms": at_ms}


def summary(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Count, median, 99th percentile and range, of all steps and of openings alone, in milliseconds."""
    found: dict[str, Any] = {}
    for name in ("all", "open"):
        values = sorted(step["latency_ms"] for step in steps if name in ("all", step["lifecycle"]))
        if values:
            found[name] = {
                "count": len(values),
                "p50_ms": statistics.median(values),
                "p99_ms": values[min(len(values) - 1, round(0.99 * (len(values) - 1)))],
                "min_ms": values[0],
                "max_ms": values[-1],
            }
    return found


def main() -> int:
    """Measures, prints the summary and writes the raw figures to `bench/results/`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="measured time after warm-up")
    parser.add_argument("--cameras", type=int, default=2)
    options = parser.parse_args()
    before = os.getloadavg()
    steps, setting = asyncio.run(measure(options.cameras, options.seconds))
    result = {
        "benchmark": "P-05 frame → incident committed",
        "target": {"p50_ms": 250, "p99_ms": 500, "at": "5 fps"},
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "load_average": {"before": before, "after": os.getloadavg()},
        "setting": setting,
        "summary": summary(steps),
        "steps": steps,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "p05_incident_latency.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    result.pop("steps")
    print(json.dumps(result, indent=1, ensure_ascii=False))
    return 0 if steps else 1


if __name__ == "__main__":
    raise SystemExit(main())
