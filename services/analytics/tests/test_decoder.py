"""The decoder child: it decodes, it can do nothing else, and its failures stay its own."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_analytics.decoder import fmp4
from lykta_analytics.decoder.process import Deadlines, DecoderError, DecoderProcess
from lykta_analytics.decoder.protocol import RECORD_BYTES, Record, RecordKind, pack_record, unpack_record

HOUR_MS = 1_800_000_000_000


class Clip(Protocol):
    """What the `clip` fixture gives."""

    init: bytes
    parts: tuple[bytes, ...]


@pytest.fixture
async def decoder() -> AsyncIterator[DecoderProcess]:
    """A decoder whose child is killed at the end, with a short deadline for parts."""
    async with DecoderProcess(Deadlines(part=timedelta(seconds=1))) as running:
        yield running


async def test_pictures_come_at_most_every_200_ms_with_their_time(decoder: DecoderProcess, clip: Clip) -> None:
    """Ten frames a second become at most five, the newest of each part among them, with their own times."""
    first = await decoder.decode(HOUR_MS, clip.init, clip.parts[0])
    assert [picture.at_ms - HOUR_MS for picture in first] == [0, 200, 400]
    assert [round(float(picture.image.mean()) / 10) for picture in first] == [2, 4, 6]
    second = await decoder.decode(HOUR_MS + 500, b"", clip.parts[1])
    assert [picture.at_ms - HOUR_MS for picture in second] == [700, 900]
    assert (second[0].source_width, second[0].source_height) == (320, 240)


async def test_the_child_can_do_nothing_but_decode(decoder: DecoderProcess, clip: Clip) -> None:
    """After locking up, the child found network, files and processes all refused."""
    weak: list[str] = []
    decoder._on_weak = weak.extend
    await decoder.decode(HOUR_MS, clip.init, clip.parts[0])
    assert decoder.still_possible == ()
    assert weak == []


async def test_the_child_inherits_no_secret_and_no_descriptor(
    decoder: DecoderProcess, clip: Clip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither an environment variable nor an open file of the parent reaches the child, and its limits are set."""
    monkeypatch.setenv("LYKTA_SECRET", "hemlig")
    with (tmp_path / "key").open("w") as open_file, socket.socket() as open_socket:
        os.set_inheritable(open_file.fileno(), True)
        os.set_inheritable(open_socket.fileno(), True)
        await decoder.decode(HOUR_MS, clip.init, clip.parts[0])
    child = psutil.Process(decoder.pid)
    assert "LYKTA_SECRET" not in child.environ()
    kinds = sorted(
        os.readlink(f"/proc/{child.pid}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{child.pid}/fd")
    )
    assert len(kinds) == 3
    assert not any("key" in kind for kind in kinds)
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_CORE):
        assert resource.prlimit(child.pid, limit) == (0, 0)


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
        "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
        "open({path!r}, 'w')",
        "open('/etc/passwd')",
        "os.mkdir({path!r})",
        "os.kill({parent}, 9)",
        "os.execv('/bin/true', ['true'])",
        "os.fork()",
        "os.memfd_create('x')",
    ],
)
def test_a_locked_process_is_refused(attempt: str, tmp_path: Path) -> None:
    """Each way out of a locked process fails with `Operation not permitted`, even as root, and leaves no trace."""
    path = str(tmp_path / "written")
    program = (
        "import os, socket, sys\n"
        "from lykta_analytics.decoder import sandbox\n"
        "sandbox.limit_resources(sandbox.Limits())\n"
        "assert sandbox.filter_system_calls()\n"
        f"try:\n    {attempt.format(path=path, parent=os.getpid())}\n"
        "except OSError as error:\n    os.write(1, str(error.errno).encode())\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, timeout=30, check=False)
    assert done.stdout == b"1", done.stderr
    assert not Path(path).exists()


async def test_a_corrupt_part_costs_only_itself(decoder: DecoderProcess, clip: Clip) -> None:
    """After garbage the same child goes on at the next key part."""
    await decoder.decode(HOUR_MS, clip.init, clip.parts[0])
    with pytest.raises(DecoderError, match="corrupt"):
        await decoder.decode(HOUR_MS + 500, b"", b"\0\0\0\x08free" + os.urandom(500))
    with pytest.raises(DecoderError, match="needs_key"):
        await decoder.decode(HOUR_MS + 1000, b"", clip.parts[2])
    assert len(await decoder.decode(HOUR_MS + 1500, clip.init, clip.parts[3])) > 0
    assert decoder.starts == 1


async def test_after_a_lost_part_it_waits_for_a_key(decoder: DecoderProcess, make_clip: Callable[..., Clip]) -> None:
    """Pictures that refer to lost ones are not shown; the next key part is."""
    images = (np.full((240, 320, 3), 20 + 10 * index, np.uint8) for index in range(20))
    clip = make_clip(images, gop=20, part_ms=500)
    await decoder.decode(HOUR_MS, clip.init, clip.parts[0])
    assert len(await decoder.decode(HOUR_MS + 500, b"", clip.parts[1])) > 0
    with pytest.raises(DecoderError, match="needs_key"):
        await decoder.decode(HOUR_MS + 1500, b"", clip.parts[3])
    assert len(await decoder.decode(HOUR_MS + 2000, clip.init, clip.parts[0])) > 0


async def test_scrambled_pictures_never_kill_the_child(decoder: DecoderProcess, clip: Clip) -> None:
    """Slices full of noise are decoded or refused, and the child lives."""
    head = clip.parts[0].index(b"mdat") + 40
    for seed in range(20):
        noise = bytes((index * 31 + seed * 17) % 256 for index in range(len(clip.parts[0]) - head))
        with contextlib.suppress(DecoderError):
            await decoder.decode(HOUR_MS, clip.init, clip.parts[0][:head] + noise)
    assert decoder.starts == 1


async def test_a_hanging_child_is_killed_and_replaced(decoder: DecoderProcess, clip: Clip) -> None:
    """A child that stops answering is killed at its deadline; the next key part gets a new one."""
    await decoder.decode(HOUR_MS, clip.init, clip.parts[0])
    stopped = psutil.Process(decoder.pid)
    stopped.send_signal(signal.SIGSTOP)
    with pytest.raises(DecoderError, match="hang"):
        await decoder.decode(HOUR_MS + 500, b"", clip.parts[1])
    assert not stopped.is_running()
    assert len(await decoder.decode(HOUR_MS + 1000, clip.init, clip.parts[2])) > 0
    assert decoder.starts == 2


async def test_a_crashed_child_is_replaced_and_the_others_go_on(clip: Clip) -> None:
    """Killing one camera's child makes one error there and none for its neighbour."""
    async with DecoderProcess() as one, DecoderProcess() as other:
        await one.decode(HOUR_MS, clip.init, clip.parts[0])
        await other.decode(HOUR_MS, clip.init, clip.parts[0])
        psutil.Process(one.pid).kill()
        with pytest.raises(DecoderError, match="crash"):
            await one.decode(HOUR_MS + 500, b"", clip.parts[1])
        assert len(await other.decode(HOUR_MS + 500, b"", clip.parts[1])) > 0
        assert len(await one.decode(HOUR_MS + 1000, clip.init, clip.parts[2])) > 0
        assert (one.starts, other.starts) == (2, 1)


async def test_a_child_that_eats_memory_dies_alone(decoder: DecoderProcess, clip: Clip) -> None:
    """With no memory left the part fails as corrupt or the child dies; the next key part decodes again."""
    await decoder.decode(HOUR_MS, clip.init, clip.parts[0])
    mapped = psutil.Process(decoder.pid).memory_info().vms
    resource.prlimit(decoder.pid or 0, resource.RLIMIT_AS, (mapped, mapped))
    with pytest.raises(DecoderError, match=r"corrupt|crash"):
        await decoder.decode(HOUR_MS, clip.init, clip.parts[0] + b"\0\x80\0\0free" + b"\0" * ((8 << 20) - 8))
    await decoder.stop()
    assert len(await decoder.decode(HOUR_MS + 1000, clip.init, clip.parts[2])) > 0


async def test_leaving_the_decoder_leaves_no_child(clip: Clip) -> None:
    """No child outlives its decoder."""
    async with DecoderProcess() as decoder:
        await decoder.decode(HOUR_MS, clip.init, clip.parts[0])
        child = psutil.Process(decoder.pid)
    assert not child.is_running()


@given(st.binary(max_size=300))
def test_the_parser_only_ever_raises_value_error(data: bytes) -> None:
    """Any bytes at all are either samples or a `ValueError`."""
    for parse in (fmp4.read_part, fmp4.codec_configuration):
        try:
            parse(data)
        except ValueError:
            continue


@given(st.data())
def test_a_damaged_part_is_read_or_refused(data: st.DataObject) -> None:
    """One changed byte anywhere in a moof never makes the parser read outside the part."""
    trun = b"\0\0\0\x24trun\0\0\x03\1\0\0\0\2\0\0\0\x40\0\0\x0b\xb8\0\0\0\4\0\0\x0b\xb8\0\0\0\5"
    tfdt = b"\0\0\0\x14tfdt\1\0\0\0\0\0\0\0\0\0\0\7"
    traf = b"\0\0\0\x10tfhd\0\2\0\0\0\0\0\1" + tfdt + trun
    moof = (16 + len(traf)).to_bytes(4, "big") + b"moof" + (8 + len(traf)).to_bytes(4, "big") + b"traf" + traf
    whole = bytearray(moof + b"\0\0\0\x11mdat" + b"123456789")
    parsed = fmp4.read_part(bytes(whole))
    assert (parsed.decode_time, [sample.data for sample in parsed.samples]) == (7, [b"1234", b"56789"])
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert sum(len(sample.data) for sample in fmp4.read_part(bytes(whole)).samples) <= len(whole)
    except ValueError:
        return


@given(st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES))
def test_no_record_points_outside_the_ring(raw: bytes) -> None:
    """Whatever a broken child answers, the parent reads inside the ring or refuses."""
    try:
        record = unpack_record(raw)
    except ValueError:
        return
    if record.kind is RecordKind.FRAME:
        assert record.slot < 4
    assert unpack_record(pack_record(record)) == record


def test_a_record_survives_the_pipe() -> None:
    """Packing and unpacking a record changes nothing."""
    record = Record(RecordKind.FRAME, 1, 640, 360, 1920, 1080, HOUR_MS)
    assert unpack_record(pack_record(record)) == record


async def test_a_child_that_is_not_locked_is_refused_where_it_must_be(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that could reach the network is named aloud; refused, it never gets a part."""
    said: list[str] = []
    async with DecoderProcess(on_weak=said.extend, refuse_weak=True) as decoder:

        async def record(_: object) -> Record:
            return Record(RecordKind.READY, slot=1)

        monkeypatch.setattr(decoder, "_record", record)
        with pytest.raises(DecoderError, match="weak"):
            await decoder.decode(HOUR_MS, clip.init, clip.parts[0])
        assert decoder.pid is None
    assert said == ["network"]


def test_no_child_outlives_a_killed_parent() -> None:
    """When the service is killed with -9, the kernel takes its decoders along."""
    program = (
        "import asyncio, os, signal\n"
        "from lykta_analytics.decoder.process import DecoderError, DecoderProcess\n"
        "async def main():\n"
        "    decoder = DecoderProcess()\n"
        "    try:\n        await decoder.decode(0, b'', b'x')\n"
        "    except DecoderError:\n        os.write(1, str(decoder.pid).encode())\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(5)
    assert not psutil.pid_exists(int(done.stdout))
