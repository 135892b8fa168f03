"""Facts on JetStream from the hand of a test: read any stream, repeat a message, send what no service would send.

The credentials lie in the state directory, which only the platform's own user may read: this is the view of someone who
runs the machine, not of a subscriber.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from lykta_contracts.platform_file import PlatformFile
from nats.aio.client import Client as NatsClient
from nats.js.errors import NotFoundError

READER = "bootstrap"
"""The user that makes streams: it may read all of them and state nothing."""


@dataclass(frozen=True)
class Stored:
    """One message of a stream."""

    sequence: int
    subject: str
    data: bytes
    headers: dict[str, str]

    def event(self) -> dict[str, Any]:
        """Return it as a CloudEvent."""
        return dict(json.loads(self.data))


@asynccontextmanager
async def as_user(
    platform: PlatformFile, user: str, workload: str = "test-tool", refused: list[Exception] | None = None
) -> AsyncIterator[NatsClient]:
    """Connect to NATS as one of the platform's users for the block; what the server refuses is added to `refused`."""
    certificate = platform.clients[workload]
    context = ssl.create_default_context(cafile=platform.ca_file)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    known = platform.nats_users.get(user)
    file = Path(known.password_file) if known else Path(platform.state_dir) / "secrets" / f"nats-{user}"

    async def told(error: Exception) -> None:
        if refused is not None:
            refused.append(error)

    client = await nats.connect(
        platform.nats_url, user=user, password=file.read_text().strip(), tls=context, inbox_prefix=f"_INBOX.{user}",
        connect_timeout=5, max_reconnect_attempts=2, error_cb=told,
    )  # fmt: skip
    try:
        yield client
    finally:
        await client.close()


async def stream_messages(client: NatsClient, stream: str, after: int = 0) -> list[Stored]:
    """Return every message of a stream with a higher sequence, in order."""
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stream)).state
    found = []
    for sequence in range(max(after + 1, state.first_seq), state.last_seq + 1):
        try:
            message = await jetstream.get_msg(stream, sequence)
        except NotFoundError:
            continue
        found.append(Stored(sequence, str(message.subject), message.data or b"", dict(message.headers or {})))
    return found


async def last_sequence(client: NatsClient, stream: str) -> int:
    """Return the sequence of the newest message of a stream."""
    return int((await client.jetstream().stream_info(stream)).state.last_seq)


def read_stream(platform: PlatformFile, stream: str, after: int = 0) -> list[Stored]:
    """Return the messages of a stream, for tests that are not asynchronous."""

    async def read() -> list[Stored]:
        async with as_user(platform, READER) as client:
            return await stream_messages(client, stream, after)

    return asyncio.run(read())


def newest(platform: PlatformFile, stream: str) -> int:
    """Return the newest sequence of a stream, for tests that are not asynchronous."""

    async def read() -> int:
        async with as_user(platform, READER) as client:
            return await last_sequence(client, stream)

    return asyncio.run(read())


def events(platform: PlatformFile, stream: str, kind: str, after: int = 0) -> list[dict[str, Any]]:
    """Return the events of one type (`segment.recorded`) in a stream."""
    return [
        one.event() for one in read_stream(platform, stream, after) if one.event().get("type") == f"lykta.{kind}.v1"
    ]


def state(platform: PlatformFile, user: str, messages: list[tuple[str, bytes, dict[str, str]]]) -> list[int]:
    """Publish messages (subject, bytes, headers) as a user; returns the sequences, negative for a known duplicate."""

    async def publish() -> list[int]:
        async with as_user(platform, user) as client:
            jetstream = client.jetstream()
            answers = [await jetstream.publish(s, d, headers=h or None, timeout=5) for s, d, h in messages]
            return [-answer.seq if answer.duplicate else answer.seq for answer in answers]

    return asyncio.run(publish())


def consumer_state(platform: PlatformFile, stream: str, durable: str) -> tuple[int, int]:
    """Return how many messages of a durable wait and how many are handed out without an answer."""

    async def read() -> tuple[int, int]:
        async with as_user(platform, READER) as client:
            info = await client.jetstream().consumer_info(stream, durable)
            return int(info.num_pending or 0), int(info.num_ack_pending or 0)

    return asyncio.run(read())
