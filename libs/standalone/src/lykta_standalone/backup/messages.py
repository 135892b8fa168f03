"""What is under way in NATS: facts that their consumers have not taken in yet, and the dead letters.

Nothing else in NATS is backed up, because it is made again: mandate orders by access-control, public media keys by
storage, each from its database at the next start; leases end by themselves.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nats
from lykta_common.config import read_secret
from lykta_common.errors import unavailable
from lykta_common.tls import TlsFiles, client_context
from lykta_contracts.permissions import BOOTSTRAP_USER, FACTS
from lykta_contracts.streams import DEADLETTER, DURABLES, STREAMS
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from lykta_standalone import credentials
from lykta_standalone.backup.manifest import write_durably
from lykta_standalone.layout import Layout

DEADLINE_SECONDS: Final = 10.0
MOST: Final = 1_000_000
"""Messages of one stream; beyond it a consumer has been away for days, and its own alarm has been ringing."""


@asynccontextmanager
async def connected(layout: Layout, url: str, user: str) -> AsyncIterator[Any]:
    """Connect for the block as one of the platform's users; raises UNAVAILABLE."""
    files = TlsFiles(layout.pki / "ca.pem", layout.pki / f"{user}.pem", layout.pki / f"{user}.key")
    try:
        client = await nats.connect(
            url, user=user, password=read_secret(credentials.nats_password(layout, user)), tls=client_context(files),
            inbox_prefix=f"_INBOX.{user}", connect_timeout=5, max_reconnect_attempts=2,
        )  # fmt: skip
    except (NatsError, OSError) as error:
        raise unavailable("NATS") from error
    try:
        yield client
    except NatsError as error:
        raise unavailable("NATS") from error
    finally:
        await client.close()


async def positions(layout: Layout, url: str) -> dict[str, int]:
    """Return for each stream the first sequence that some durable consumer may not have taken in.

    Asked before the databases are copied: what a consumer took in later may be missing from its copy.
    """
    found: dict[str, int] = {DEADLETTER.name: 1}
    async with connected(layout, url, BOOTSTRAP_USER) as client:
        jetstream = client.jetstream(timeout=DEADLINE_SECONDS)
        for durable in DURABLES:
            floor = (await jetstream.consumer_info(durable.stream, durable.name)).ack_floor
            first = (floor.stream_seq if floor is not None else 0) + 1
            found[durable.stream] = min(first, found.get(durable.stream, first))
    return found


async def save_in_flight(layout: Layout, url: str, since: dict[str, int], file: Path) -> int:
    """Write every message from the given sequences on, one JSON object per line, and return how many."""
    lines: list[bytes] = []
    async with connected(layout, url, BOOTSTRAP_USER) as client:
        jetstream = client.jetstream(timeout=DEADLINE_SECONDS)
        for stream in (item.name for item in STREAMS if item.name in since):
            state = (await jetstream.stream_info(stream)).state
            for sequence in range(max(since[stream], state.first_seq), min(state.last_seq, since[stream] + MOST) + 1):
                try:
                    message = await jetstream.get_msg(stream, sequence)
                except NotFoundError:
                    continue
                line = {
                    "stream": stream,
                    "subject": message.subject,
                    "headers": _headers(message.headers or {}),
                    "data": base64.b64encode(message.data or b"").decode(),
                }
                lines.append(json.dumps(line).encode() + b"\n")
    await asyncio.to_thread(write_durably, file, b"".join(lines))
    return len(lines)


async def dead_letters(layout: Layout, url: str) -> int:
    """Count the messages that could not be taken in."""
    async with connected(layout, url, BOOTSTRAP_USER) as client:
        state = (await client.jetstream(timeout=DEADLINE_SECONDS).stream_info(DEADLETTER.name)).state
    return int(state.messages)


async def publish_again(layout: Layout, url: str, lines: list[dict[str, Any]]) -> int:
    """State each fact again, as a service that may state it; consumers know what they have by its id."""
    by_user: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_user.setdefault(_stated_by(line["subject"]), []).append(line)
    for user, mine in by_user.items():
        async with connected(layout, url, user) as client:
            jetstream = client.jetstream(timeout=DEADLINE_SECONDS)
            for line in mine:
                payload = base64.b64decode(line["data"])
                await jetstream.publish(line["subject"], payload, headers=line["headers"], timeout=DEADLINE_SECONDS)
    return len(lines)


def as_message(subject: str, message_id: str, payload: bytes) -> dict[str, Any]:
    """Write a fact of one's own in the form of a saved message."""
    headers = {"Nats-Msg-Id": message_id}
    return {"subject": subject, "headers": headers, "data": base64.b64encode(payload).decode()}


def read_messages(file: Path) -> list[dict[str, Any]]:
    """Read what `save_in_flight` wrote."""
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def _headers(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith("Nats-") or name == "Nats-Msg-Id"}


def _stated_by(subject: str) -> str:
    """Return the user that may publish on a subject; every service may state audit facts and dead letters."""
    for user, patterns in FACTS.items():
        if any(_matches(subject.split("."), pattern.split(".")) for pattern in patterns):
            return user
    return "storage"


def _matches(subject: list[str], pattern: list[str]) -> bool:
    if pattern[-1] == ">":
        subject, pattern = subject[: len(pattern) - 1], pattern[:-1]
    return len(subject) == len(pattern) and all(p in ("*", s) for s, p in zip(subject, pattern, strict=True))
