"""The example subscriber, on a real NATS: it prints one controller's incidents, and its user can read nothing else."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from lykta_common.tls import client_context
from lykta_standalone.servers import nats_url
from lykta_testing.platform import Backbone

EXAMPLE = Path(__file__).parents[3] / "examples" / "subscriber.py"
USER = "subscriber-ks"


def _event(controller: str, number: int) -> bytes:
    data = {
        "started_at": f"2026-11-23T09:00:0{number}Z", "lifecycle": "open", "camera": {"id": f"{controller}-camera"},
        "category": "person-in-zone", "counts": {"person": number},
    }  # fmt: skip
    return json.dumps({"id": f"{controller}-{number}", "data": data}).encode()


@asynccontextmanager
async def _client(backbone: Backbone, user: str, errors: list[Exception] | None = None) -> AsyncIterator[Any]:
    async def on_error(error: Exception) -> None:
        if errors is not None:
            errors.append(error)

    client = await nats.connect(
        nats_url(backbone.nats), user=user, password=backbone.password_file(user).read_text().strip(),
        tls=client_context(backbone.tls("subscriber")), inbox_prefix=f"_INBOX.{user}".encode(), error_cb=on_error,
        connect_timeout=5,
    )  # fmt: skip
    try:
        yield client
    finally:
        await client.close()


def _platform_file(backbone: Backbone, state: Path) -> None:
    files = backbone.tls("subscriber")
    account = {"user": USER, "password_file": str(backbone.password_file(USER)), "controller": "ks"}
    client = {"certificate_file": str(files.certificate), "key_file": str(files.key)}
    content = {
        "nats_url": nats_url(backbone.nats), "nats_users": {USER: account}, "clients": {"subscriber": client},
        "ca_file": str(files.ca),
    }  # fmt: skip
    (state / "run").mkdir(parents=True)
    (state / "run" / "platform.json").write_text(json.dumps(content))


async def test_it_prints_its_controllers_incidents_and_no_others(nats_backbone: Backbone, tmp_path: Path) -> None:
    """Incidents from before its start and from after come out, those of the other controller do not."""
    state = tmp_path / "state"
    _platform_file(nats_backbone, state)
    async with _client(nats_backbone, "test") as tool:
        publish = tool.jetstream().publish
        await publish("lykta.v1.ks.incident.opened.torg-1", _event("ks", 1))
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            env={"LYKTA_STATE": str(state), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        try:
            first = await _incident_line(process)
            await publish("lykta.v1.stangastaden.incident.opened.ryd-1", _event("stangastaden", 2))
            await publish("lykta.v1.ks.incident.opened.torg-1", _event("ks", 3))
            second = await _incident_line(process)
        finally:
            process.terminate()
            await process.communicate()
    assert "09:00:01Z open ks-camera person-in-zone {'person': 1}" in first
    assert "09:00:03Z open ks-camera person-in-zone {'person': 3}" in second


async def _incident_line(process: asyncio.subprocess.Process) -> str:
    """Return the next line that is an incident; the framework's own lines are coloured and begin otherwise."""
    stdout = process.stdout
    assert stdout is not None
    async with asyncio.timeout(30):
        while True:
            line = (await stdout.readline()).decode()
            assert line, "the subscriber ended"
            if line.startswith("2026-11-23T"):
                return line


@pytest.mark.parametrize(
    "subject",
    [">", "lykta.>", "lykta.v1.stangastaden.incident.>", "lykta.v1.*.incident.>", "lykta.v1.ks.segment.>",
     "lykta.v1.ks.>", "lykta.media.v1.ks.>", "$KV.mandates.>", "_INBOX.>", "_INBOX.ingest.>"],
)  # fmt: skip
async def test_its_user_may_listen_to_nothing_else(nats_backbone: Backbone, subject: str) -> None:
    """Every other subscription is refused by the server."""
    errors: list[Exception] = []
    async with _client(nats_backbone, USER, errors) as client:
        await client.subscribe(subject)
        await _until_told(client, errors)
    assert "permissions violation" in str(errors[0]).lower()


@pytest.mark.parametrize(
    "subject",
    ["lykta.v1.ks.incident.opened.torg-1", "lykta.v1.ks.audit.observed", "$KV.mandates.ks.torg-1",
     "$JS.API.STREAM.DELETE.INCIDENT", "$JS.API.STREAM.MSG.GET.INCIDENT", "$JS.API.DIRECT.GET.INCIDENT",
     "$JS.API.CONSUMER.CREATE.INCIDENT.subscriber-ks.lykta.v1.stangastaden.incident.>",
     "$JS.API.CONSUMER.CREATE.FOOTAGE.subscriber-ks.lykta.v1.ks.segment.>",
     "$JS.API.CONSUMER.DURABLE.CREATE.INCIDENT.subscriber-ks", "$JS.API.CONSUMER.MSG.NEXT.FOOTAGE.storage-footage"],
)  # fmt: skip
async def test_its_user_may_state_no_fact_and_change_nothing(nats_backbone: Backbone, subject: str) -> None:
    """It cannot publish, delete, or make a consumer on anything but its own incidents."""
    errors: list[Exception] = []
    async with _client(nats_backbone, USER, errors) as client:
        await client.publish(subject, b"{}")
        await _until_told(client, errors)
    assert "permissions violation" in str(errors[0]).lower()


async def _until_told(client: Any, errors: list[Exception]) -> None:
    """A flush is a round trip: what the server had to say has come before its answer."""
    await client.flush(5)
    for _ in range(10):
        if errors:
            return
        await client.flush(5)
