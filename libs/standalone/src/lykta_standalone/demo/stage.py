"""What the steps of the story share: the running platform, who asks, and what earlier steps found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import Message
from lykta.analytics.v1 import incident_service_pb2 as incidents
from lykta_contracts.platform_file import PlatformFile

from lykta_standalone.connection import Connection
from lykta_standalone.playback import Wanted

CAMERA: Final = "tradgardstorget-1"
CONTROLLER: Final = "ks"


@dataclass
class Stage:
    """Everything the steps need; each step adds what it found."""

    platform: PlatformFile
    people: Connection
    tool: Connection
    work: Path
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    mandate_id: str = ""
    incident: incidents.Incident | None = None
    case_id: str = ""
    grant_id: str = ""
    second_grant_id: str = ""
    token: str = ""
    wanted: Wanted | None = None
    clip: Path | None = None
    log: Path | None = None
    receipt_id: str = ""
    fragments: int = 0

    async def ask(
        self, person: str, peer: str, kind: Callable[..., Any], method: str, request: Message, seconds: float = 15.0
    ) -> Any:
        """Make one call as a person."""
        stub = await self.people.stub(kind, peer)
        return await self.people.ask(person, peer, getattr(stub, method), request, seconds=seconds)

    async def as_tool(self, peer: str, kind: Callable[..., Any], method: str, request: Message) -> Any:
        """Make one call as the workload `test-tool`, with nobody behind it."""
        stub = await self.tool.stub(kind, peer)
        return await self.tool.ask("", peer, getattr(stub, method), request, seconds=15.0)
