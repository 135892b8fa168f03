"""Prints the incidents of one controller as they come: a whole program, with FastStream and nothing of Lykta.

Run it beside `lykta up`: `python examples/subscriber.py [CONTROLLER]`. Its NATS user may read that controller's
incidents and nothing else; the durable consumer remembers what was read, so that a restart misses nothing.
"""

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path
from typing import Any

from faststream import FastStream
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.security import NatsUserPassword

platform = json.loads((Path(os.environ.get("LYKTA_STATE", ".state")) / "run" / "platform.json").read_text())
account = platform["nats_users"][f"subscriber-{sys.argv[1] if len(sys.argv) > 1 else 'ks'}"]
user, certificate = account["user"], platform["clients"]["subscriber"]
tls = ssl.create_default_context(cafile=platform["ca_file"])
tls.load_cert_chain(certificate["certificate_file"], certificate["key_file"])
login = NatsUserPassword(user, Path(account["password_file"]).read_text().strip(), ssl_context=tls)
broker = NatsBroker(platform["nats_url"], security=login, inbox_prefix=f"_INBOX.{user}")
incidents = f"lykta.v1.{account['controller']}.incident.>"


@broker.subscriber(
    incidents, durable=user, stream=JStream("INCIDENT", declare=False), pull_sub=PullSub(timeout=5.0),
    inbox_prefix=f"_INBOX.{user}.".encode(),
)  # fmt: skip
async def on_incident(event: dict[str, Any]) -> None:
    """Print one step in the life of an incident (CloudEvents; docs/asyncapi.yaml has every field)."""
    data = event["data"]
    print(data["started_at"], data["lifecycle"], data["camera"]["id"], data["category"], data["counts"], flush=True)


if __name__ == "__main__":
    asyncio.run(FastStream(broker).run())
