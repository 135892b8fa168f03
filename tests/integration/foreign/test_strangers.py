"""Programs that know nothing of Lykta agree with it: age, ffmpeg, GStreamer as a camera, Tessera's log checker."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from lykta.audit.v1 import log_service_pb2 as log
from lykta_camera_sim.footage import street_footage

from tests.integration import strangers
from tests.integration.client import Client, granted, instant
from tests.integration.facts import read_stream
from tests.integration.footage import Bucket, listed, nal_units, trailer
from tests.integration.harness import Platform, eventually

CAMERA = "tradgardstorget-1"
FOREIGN = "torg-gst"
SLICES = (1, 5)


@pytest.fixture(scope="module")
def film() -> Path:
    """The street film of the demo, from the same cache as the platform's."""
    return street_footage(Path.home() / ".cache" / "lykta" / "footage")


@pytest.fixture(scope="module")
def foreign_camera(film: Path) -> Iterator[strangers.ForeignCamera | None]:
    """A camera made of GStreamer; none where that is not installed."""
    if strangers.missing_gstreamer():
        yield None
        return
    with strangers.gstreamer_camera(film) as camera:
        yield camera


@pytest.fixture(scope="module")
def up_options(foreign_camera: strangers.ForeignCamera | None) -> tuple[str, ...]:
    """Record the foreign camera too, as anyone would record a real one."""
    return ("--camera", f"{FOREIGN}={foreign_camera.url}") if foreign_camera else ()


@pytest.fixture(scope="module")
def segments(platform: Platform, tool: Client) -> list[Any]:
    """Two stored segments of a demo camera."""
    return eventually(lambda: enough(tool, CAMERA), 90, "two segments", every=0.5)


def enough(tool: Client, camera: str) -> list[Any]:
    """Return the segments of a camera when there are two, else none."""
    found = listed(tool, camera)
    return found if len(found) >= 2 else []


def hour_of(segment: Any) -> str:
    """Return the camera-hour of a segment."""
    return f"{getattr(segment, 'from').ToDatetime():%Y%m%dT%H}"


def test_age_opens_a_fragment(client: Client, bucket: Bucket, segments: list[Any], tmp_path: Path) -> None:
    """The `age` command opens each fragment cut out of an object with the exported hour key; the export is logged."""
    age = strangers.program("age", "age")
    segment = segments[0]
    key = tmp_path / "hour.key"
    key.write_text(bucket.identity("ks", CAMERA, hour_of(segment)) + "\n")
    for number, (entry, cipher) in enumerate(bucket.fragments(segment.object_key)):
        opened = strangers.run([age, "--decrypt", "--identity", key], given=cipher)
        assert (opened.returncode, opened.stderr) == (0, b"")
        assert hashlib.sha256(opened.stdout).hexdigest() == entry["sha256"]
        (tmp_path / f"{number}.mp4").write_bytes(opened.stdout)
    other = tmp_path / "other.key"
    other.write_text(bucket.identity("ks", "tradgardstorget-2", hour_of(segment)) + "\n")
    assert strangers.run([age, "--decrypt", "--identity", other], given=cipher).returncode != 0
    search = log.SearchRequest(controller="ks", action="footage.key.exported")
    exported = client.ask("LogService.Search", search, "david").records
    assert {(one.record.actor.id, one.record.object.split("/")[1]) for one in exported} >= {("test-tool", CAMERA)}


def judged(file: Path, frames: int) -> None:
    """Have ffprobe and ffmpeg judge a file: one H.264 stream, strictly growing times, every picture decodes."""
    found = strangers.probed(file)
    (stream,) = found["streams"]
    assert (stream["codec_type"], stream["codec_name"], stream["width"], stream["height"]) == (
        "video", "h264", 768, 576,
    )  # fmt: skip
    times = [int(packet["dts"]) for packet in found["packets"]]
    assert times == sorted(set(times))
    assert [packet["pts"] for packet in found["packets"]] == [packet["dts"] for packet in found["packets"]]
    assert len(times) == strangers.decoded(file) == frames


def test_ffmpeg_plays_a_fragment(bucket: Bucket, segments: list[Any], tmp_path: Path) -> None:
    """A single fragment is a whole film to ffmpeg: one H.264 stream, monotonic, no sound, no warning."""
    segment = segments[0]
    index = trailer(bucket.object(segment.object_key))
    for number, fragment in enumerate(bucket.decrypted(segment.object_key)):
        file = tmp_path / f"{number}.mp4"
        file.write_bytes(fragment.plain)
        judged(file, index["fragments"][number]["frames"])


def test_ffmpeg_plays_a_clip(platform: Platform, client: Client, segments: list[Any], tmp_path: Path) -> None:
    """What `lykta footage get` writes over several segments is one film to ffmpeg, without a warning."""
    start, end = instant(getattr(segments[0], "from")), instant(segments[1].to)
    second = timedelta(seconds=1)
    grant = granted(client, (CAMERA,), (start - second, end + second))
    done = platform.cli(
        "footage", "get", CAMERA, "--from", start.isoformat(), "--to", end.isoformat(), "--grant", grant.grant_id,
        "--as", "anna", "--output", str(tmp_path / "clip"), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    frames = round((end - start).total_seconds() * 10)
    judged(tmp_path / "clip" / "clip.mp4", frames)


def slices(nals: list[bytes]) -> list[str]:
    """Return the hashes of the coded pictures among NAL units."""
    return [hashlib.sha256(nal).hexdigest() for nal in nals if nal[0] & 31 in SLICES]


def test_a_foreign_camera_is_recorded(
    platform: Platform, tool: Client, bucket: Bucket, film: Path, foreign_camera: strangers.ForeignCamera | None
) -> None:
    """A GStreamer camera behind Digest authentication is recorded picture by picture as the film has them."""
    if foreign_camera is None:
        pytest.skip(strangers.missing_gstreamer())
    found = eventually(lambda: enough(tool, FOREIGN), 90, "two segments of the foreign camera", every=0.5)
    fragments = [one for segment in found for one in bucket.decrypted(segment.object_key)]
    recorded = slices([nal for fragment in fragments for nal in fragment.nals])
    wanted = slices(nal_units(film.read_bytes()))
    begin = wanted.index(recorded[0])
    assert recorded == wanted[begin : begin + len(recorded)]
    assert len(recorded) > 150


def test_the_password_stays_where_it_was_put(
    platform: Platform, segments: list[Any], foreign_camera: strangers.ForeignCamera | None
) -> None:
    """A camera's password is in the secret file alone: not in logs, status, attach points, streams or signed orders."""
    if foreign_camera is None:
        pytest.skip(strangers.missing_gstreamer())
    secret = foreign_camera.password.encode()
    folders = [platform.state_dir / name for name in ("log", "run", "services")]
    files = [platform.output, *(one for folder in folders for one in folder.rglob("*") if one.is_file())]
    assert [file for file in files if secret in file.read_bytes()] == []
    for stream in ("FOOTAGE", "CAMERA", "GOVERNANCE", "AUDIT", "KV_mandates"):
        assert not any(secret in message.data for message in read_stream(platform.file, stream)), stream
    holders = [one for one in platform.state_dir.rglob("*.json") if secret in one.read_bytes()]
    assert [one.relative_to(platform.state_dir).as_posix() for one in holders] == ["secrets/cameras.json"]
    assert holders[0].stat().st_mode & 0o077 == 0


@pytest.fixture
def published(platform: Platform, bucket: Bucket, tmp_path: Path) -> Path:
    """The log's bucket as files, as anyone with read access can take it."""
    for key in bucket.keys("", use="audit"):
        target = tmp_path / "log" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(bucket.object(key, use="audit"))
    return tmp_path / "log"


def checked(fsck: str, folder: Path, platform: Platform, tmp_path: Path) -> str:
    """Have fsck walk a log that is served over HTTP and return what it said."""
    handler = partial(QuietHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    key = tmp_path / "key"
    key.write_text(platform.file.audit_verifier_key + "\n")
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        done = strangers.run([fsck, "--ui=false", "-N", "4", f"--public_key={key}", f"--storage_url={url}"], seconds=60)
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    return (done.stdout + done.stderr).decode()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and writes no log."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the standard library
        """Say nothing."""


def test_a_foreign_client_walks_the_log(
    platform: Platform, segments: list[Any], published: Path, tmp_path: Path
) -> None:
    """Tessera's fsck finds the running platform's log whole, and a copy with one changed byte broken."""
    fsck = strangers.tessera_fsck()
    assert "Successfully fsck'd" in checked(fsck, published, platform, tmp_path)
    entries = [one for one in (published / "tile" / "entries").rglob("*") if one.is_file()]
    file = max(entries, key=lambda one: one.stat().st_size)
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(bytes(raw))
    assert "Successfully fsck'd" not in checked(fsck, published, platform, tmp_path)
