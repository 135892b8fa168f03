"""P-01, P-02, P-03: recording N cameras, ours against `ffmpeg -c copy` in the same run, and what `kill -9` costs each.

One simulator replays a synthetic 1080p30 4 Mbit/s file (GOP 2 s) as N RTSP cameras. Rounds alternate between our
recorder (hash, encryption, durable spool, S3 PUT, announcement; no live parts) and one ffmpeg per camera that writes
10 s MP4 segments to the same disk. The recorder under test has a core of its own; simulator, NATS, S3 and this script
share the other. CPU seconds are those of the recorder's processes in a steady window, memory is their PSS at its end;
then all of them are killed at once. Usage: `python -m bench.p01_record [--cameras 50] [--seconds 40] [--rounds 3]`;
`--short` (20 cameras, one round) takes about a minute and a half.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import imageio_ffmpeg
import nats
import pyrage
from lykta_camera_sim.footage import synthetic_footage
from lykta_common.signing import Signer, new_key_pair
from lykta_common.tls import client_context
from lykta_contracts.events import GapDeclared, SegmentRecorded, SegmentStored, new_event, read_event
from lykta_contracts.instants import hour_of
from lykta_contracts.mandates import MANDATE_ORDER_TYPE, LegalGround, MandateDocument, MandateOrder
from lykta_contracts.media import MEDIA_KEY_TYPE, MediaKey
from lykta_ingest.journal import Journal
from lykta_testing.platform import Backbone, open_backbone

RESULTS: Final = Path(__file__).parent / "results" / "p01_record.json"
CONTROLLER: Final = "ks"
GOP_S: Final = 2.0
TICKS: Final = os.sysconf("SC_CLK_TCK")
CORES: Final = sorted(os.sched_getaffinity(0))


@dataclass
class Round:
    """One round of one recorder."""

    who: str
    cameras: int
    seconds: float
    cpu_seconds: float
    pss_mb: float
    lost_s: list[float]
    undeclared_s: float = 0.0
    recorded_fraction: float = 1.0

    @property
    def cameras_per_core(self) -> float:
        """Cameras that one core could record."""
        return self.cameras * self.seconds / self.cpu_seconds


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of processes so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def pss_mb(pids: Sequence[int]) -> float:
    """Proportional set size of processes in MB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


@asynccontextmanager
async def on_core(core: int) -> AsyncIterator[None]:
    """Children started in the block run on one core."""
    os.sched_setaffinity(0, {CORES[core % len(CORES)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, {CORES[0]})


@asynccontextmanager
async def simulator(footage: Path, cameras: int) -> AsyncIterator[dict[str, str]]:
    """Serve the file as N cameras that are not in step; yields their addresses by name."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lykta_camera_sim", "--camera", f"cam={footage}", "--copies", str(cameras),
        "--free-running", "--seed", "1", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        line = await asyncio.wait_for(child.stdout.readline(), 60) if child.stdout else b"{}"
        yield json.loads(line)["cameras"]
    finally:
        child.terminate()
        await child.wait()


class Ours:
    """Our recorder as a process, with the orders, keys and confirmations it needs."""

    def __init__(self, backbone: Backbone, directory: Path, addresses: dict[str, str], live: bool) -> None:
        self.backbone = backbone
        self.directory = directory
        self.addresses = addresses
        self.live = live
        self.spool = directory / "spool"
        self.segments: list[SegmentRecorded] = []
        self.gaps: list[GapDeclared] = []
        self.child: asyncio.subprocess.Process | None = None
        for name in ("access-control", "storage", "ingest"):
            new_key_pair(directory / f"{name}.pem", directory / f"{name}.pub.pem")

    async def connect(self) -> None:
        """Publish keys and orders, and confirm every segment as storage would."""
        common = self.backbone.common("test-tool")
        self.nats = await nats.connect(
            common["nats_url"], user="test", password=self.backbone.password_file("test").read_text().strip(),
            tls=client_context(self.backbone.tls("test-tool")),
        )  # fmt: skip
        self.jetstream = self.nats.jetstream()
        await self.nats.subscribe("lykta.v1.*.segment.recorded.>", cb=self._confirm)
        await self.nats.subscribe("lykta.v1.*.gap.declared.>", cb=self._gap)
        orders, keys = await self.jetstream.key_value("mandates"), await self.jetstream.key_value("media-keys")
        access_control = Signer.from_file(self.directory / "access-control.pem")
        storage = Signer.from_file(self.directory / "storage.pem")
        now = datetime.now(UTC)
        for camera, address in self.addresses.items():
            for ahead in range(3):
                hour = hour_of(now + timedelta(hours=ahead))
                recipient = str(pyrage.x25519.Identity.generate().to_public())
                key = MediaKey(controller=CONTROLLER, camera=camera, hour=hour, recipient=recipient)
                await keys.put(f"{CONTROLLER}.{camera}.{hour}", storage.sign(MEDIA_KEY_TYPE, key.to_json()))
            document = MandateDocument(
                mandate_id="man_bench", version=1, controller=CONTROLLER, place="torget", cameras=(camera,),
                purpose="bench", legal_ground=LegalGround(text="bench"), valid_from=now - timedelta(days=1),
                valid_to=now + timedelta(days=1), review_at=now,
            )  # fmt: skip
            order = MandateOrder(
                controller=CONTROLLER, camera=camera, serial=1, status="live", mandate=document,
                camera_address=address, issued_at=now,
            )  # fmt: skip
            await orders.put(f"{CONTROLLER}.{camera}", access_control.sign(MANDATE_ORDER_TYPE, order.to_json()))

    async def _confirm(self, message: Any) -> None:
        found = read_event(message.data)[1]
        if isinstance(found, SegmentRecorded):
            self.segments.append(found)
            index = found.index
            data = SegmentStored(controller=index.controller, camera=index.camera, segment_id=index.segment_id)
            event = new_event(data, f"stored.{index.segment_id}", "/bench", datetime.now(UTC))
            await self.jetstream.publish(event.subject, event.to_json())

    async def _gap(self, message: Any) -> None:
        found = read_event(message.data)[1]
        if isinstance(found, GapDeclared):
            self.gaps.append(found)

    async def start(self) -> list[int]:
        """Start the recorder on its core; return its process ids."""
        settings = self.backbone.common("ingest") | {
            "s3_endpoint": self.backbone.s3_settings().s3_endpoint,
            "s3_credentials_file": self.backbone.s3_credentials_file,
            "access_control_address": "127.0.0.1:1",
            "mandate_verify_key_file": self.directory / "access-control.pub.pem",
            "media_key_verify_key_file": self.directory / "storage.pub.pem",
            "seal_signing_key_file": self.directory / "ingest.pem",
            "camera_allow": "127.0.0.0/8",
            "spool_dir": self.spool,
            "live_parts": self.live,
            "log_level": "warning",
        }
        environment = {"PATH": os.environ["PATH"]}
        environment |= {f"LYKTA_INGEST__{key.upper()}": str(value) for key, value in settings.items()}
        log = (self.directory / "recorder.log").open("ab")
        async with on_core(1):
            self.child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "lykta_ingest", env=environment, stderr=log, stdout=log
            )
        return [self.child.pid]

    async def kill(self) -> tuple[list[float], float]:
        """Kill it; return per camera the seconds lost, and the seconds that no gap declares after a restart."""
        child = self.child
        if child is None or child.returncode is not None:
            raise RuntimeError(f"the recorder ended: {(self.directory / 'recorder.log').read_text()[-2000:]}")
        child.send_signal(signal.SIGKILL)
        killed_at = time.time()
        await child.wait()
        copy = self.directory / "copy"
        shutil.copytree(self.spool, copy)
        journal, recovery = Journal.open(copy, 64 << 30)
        journal.close()
        shutil.rmtree(copy)
        lost = [killed_at - recovery.marks[f"{CONTROLLER}.{camera}"] / 1000 for camera in self.addresses]
        return lost, await self._undeclared(recovery.marks)

    async def _undeclared(self, marks: dict[str, int]) -> float:
        """Start again and compare what was journaled with the gaps that are then declared."""
        seen, self.gaps = len(self.segments), []
        await self.start()
        deadline = time.monotonic() + 40
        fresh: dict[str, Any] = {}
        while len(fresh) < len(self.addresses) and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            for one in self.segments[seen:]:
                camera = one.index.camera
                if one.index.epoch / 1000 > marks[f"{CONTROLLER}.{camera}"] / 1000:
                    fresh.setdefault(camera, one.index)
        if self.child is not None:
            self.child.terminate()
            await self.child.wait()
        silent = 0.0
        for camera, index in fresh.items():
            start = marks[f"{CONTROLLER}.{camera}"] / 1000
            hole = index.from_at.timestamp() - start
            declared = sum((g.to_at - g.from_at).total_seconds() for g in self.gaps if g.camera == camera)
            silent += max(0.0, hole - declared)
        return round(silent, 3) if len(fresh) == len(self.addresses) else float("nan")

    async def close(self) -> None:
        """Disconnect."""
        await self.nats.close()


class Peer:
    """One ffmpeg per camera."""

    def __init__(self, directory: Path, addresses: dict[str, str]) -> None:
        self.directory = directory
        self.addresses = addresses
        self.children: list[asyncio.subprocess.Process] = []

    async def start(self) -> list[int]:
        """Start them on their core; return the process ids."""
        binary = imageio_ffmpeg.get_ffmpeg_exe()
        async with on_core(1):
            for camera, address in self.addresses.items():
                target = self.directory / camera
                target.mkdir(parents=True)
                child = await asyncio.create_subprocess_exec(
                    binary, "-nostdin", "-v", "error", "-rtsp_transport", "tcp", "-i", address, "-c", "copy", "-an",
                    "-f", "segment", "-segment_time", "10", "-segment_format", "mp4", str(target / "%05d.mp4"),
                    stderr=asyncio.subprocess.DEVNULL,
                )  # fmt: skip
                self.children.append(child)
        return [child.pid for child in self.children]

    async def kill(self) -> tuple[list[float], float]:
        """Kill them; the seconds since the last file was finished are lost (an unfinished MP4 has no index)."""
        for child in self.children:
            child.kill()
        killed_at = time.time()
        lost = []
        for child in self.children:
            await child.wait()
        for camera in self.addresses:
            files = sorted((self.directory / camera).glob("*.mp4"))
            finished = files[:-1]
            lost.append(killed_at - finished[-1].stat().st_mtime if finished else float("nan"))
        self.children.clear()
        return lost, sum(lost)


async def one_round(who: str, recorder: Ours | Peer, options: argparse.Namespace) -> Round:
    """Warm up, measure a steady window, kill."""
    pids = await recorder.start()
    await asyncio.sleep(options.warm_up)
    before, began = cpu_seconds(pids), time.monotonic()
    await asyncio.sleep(options.seconds)
    spent, seconds = cpu_seconds(pids) - before, time.monotonic() - began
    memory = pss_mb(pids)
    lost, undeclared = await recorder.kill()
    return Round(who, options.cameras, round(seconds, 2), round(spent, 2), round(memory, 1), lost, undeclared)


def summary(rounds: list[Round]) -> dict[str, Any]:
    """Medians and ranges per recorder, and the ratio of each pair of neighbours."""
    found: dict[str, Any] = {}
    for who in ("ours", "ffmpeg"):
        mine = [one for one in rounds if one.who == who]
        per_core = [one.cameras_per_core for one in mine]
        lost = [value for one in mine for value in one.lost_s if value == value]
        found[who] = {
            "cameras_per_core": round(statistics.median(per_core), 1),
            "cameras_per_core_range": [round(min(per_core), 1), round(max(per_core), 1)],
            "core_percent_per_camera": round(100 / statistics.median(per_core), 3),
            "pss_mb_per_camera": round(statistics.median(one.pss_mb / one.cameras for one in mine), 2),
            "lost_s_per_kill_median": round(statistics.median(lost), 2) if lost else None,
            "lost_s_per_kill_max": round(max(lost), 2) if lost else None,
            "undeclared_s": [round(one.undeclared_s, 2) for one in mine],
        }
    pairs = zip([o for o in rounds if o.who == "ours"], [o for o in rounds if o.who == "ffmpeg"], strict=False)
    ratios = [ours.cameras_per_core / peer.cameras_per_core for ours, peer in pairs]
    if ratios:
        found["ratio"] = {"median": round(statistics.median(ratios), 2), "all": [round(one, 2) for one in ratios]}
    return found


async def measure(options: argparse.Namespace) -> list[Round]:
    """Run all rounds on one set of servers."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lykta" / "footage"
    footage = await asyncio.to_thread(
        synthetic_footage, cache, 1920, 1080, 30, seconds=8, kbit=4000, gop=60, say=lambda _: None
    )
    rounds = []
    with tempfile.TemporaryDirectory(prefix="lykta-p01-", dir=options.directory) as folder:
        os.sched_setaffinity(0, {CORES[0]})
        async with (
            open_backbone(Path(folder) / "servers") as backbone,
            simulator(footage, options.cameras) as addresses,
        ):
            for number in range(options.rounds):
                for who in options.who.split(","):
                    directory = Path(folder) / f"{who}-{number}"
                    directory.mkdir()
                    recorder = (
                        Ours(backbone, directory, addresses, options.live)
                        if who == "ours"
                        else Peer(directory, addresses)
                    )
                    if isinstance(recorder, Ours):
                        await recorder.connect()
                    rounds.append(await one_round(who, recorder, options))
                    if isinstance(recorder, Ours):
                        await recorder.close()
                    shutil.rmtree(directory)
                    print(json.dumps({**asdict(rounds[-1]), "lost_s": None}), file=sys.stderr, flush=True)
    return rounds


def main() -> None:
    """Measure, print the summary, write everything next to it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--cameras", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=40, help="steady window")
    parser.add_argument("--warm-up", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--who", default="ours,ffmpeg", help="recorders to measure, in this order")
    parser.add_argument("--live", action="store_true", help="publish live parts too (not record-only)")
    parser.add_argument("--short", action="store_true", help="20 cameras, 15 s, one round")
    parser.add_argument("--directory", type=Path, default=None, help="where spool and segments go; a real disk")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.short:
        options.cameras, options.seconds, options.warm_up, options.rounds = 20, 15, 12, 1
    rounds = asyncio.run(measure(options))
    result = {
        "target": "P-01, P-02, P-03",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()},
        "load": os.getloadavg(),
        "input": "synthetic 1080p30 H.264, 4 Mbit/s, key frame every 2 s, RTSP over TCP on loopback",
        "summary": summary(rounds) if {"ours", "ffmpeg"} <= {one.who for one in rounds} else {},
        "rounds": [asdict(one) | {"cameras_per_core": round(one.cameras_per_core, 1)} for one in rounds],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["summary"] or result["rounds"], indent=1))


if __name__ == "__main__":
    main()
