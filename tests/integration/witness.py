"""Looks at one camera before, during and after something goes wrong: what was acknowledged, stored and lost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lykta.ingest.v1 import session_service_pb2 as sessions

from tests.integration.client import Client, instant
from tests.integration.facts import events
from tests.integration.footage import Bucket, SentGop, StoredFragment, coverage, gaps, listed, match, sent_gops
from tests.integration.harness import Platform, eventually

GOP_FRAMES = 10
COMMIT_FRAMES = 2
"""The spool commits in groups of at most 200 ms: that many frames of the next GOP may have come in before."""
SETTLING_SECONDS = 62.0
"""After this long, storage calls missing time unexplained."""


@dataclass(frozen=True)
class Loss:
    """What of the sent footage is not stored: by session, the GOPs that are not whole, in order."""

    sessions: dict[str, list[SentGop]]
    incomplete: dict[str, list[SentGop]]
    strangers: list[StoredFragment]

    @property
    def frames(self) -> int:
        """All lost frames."""
        return sum(gop.lost_frames for found in self.incomplete.values() for gop in found)

    def only_at_the_end_of(self, session: str) -> bool:
        """Say whether everything that a session lost lies at its very end."""
        found = self.sessions[session]
        broken = self.incomplete.get(session, [])
        return not broken or found[-len(broken) :] == broken


@dataclass(frozen=True)
class Witness:
    """The view of one camera from outside; its people are those of `ks`."""

    platform: Platform
    tool: Client
    bucket: Bucket
    camera: str = "tradgardstorget-1"

    def listed(self, since: datetime | None = None) -> list[Any]:
        """Return the segments that the catalogue lists, with object keys."""
        return listed(self.tool, self.camera, since=since)

    @property
    def begun(self) -> float:
        """When the first segment began, unix seconds."""
        return float(getattr(self.listed()[0], "from").ToMilliseconds() / 1000)

    def recorded_to(self) -> float:
        """Return until when the recorder has the camera on its spool, unix seconds."""
        request = sessions.GetRequest(controller="ks", camera=self.camera)
        session = self.tool.ask("SessionService.Get", request).session
        return float(session.recorded_to.ToMilliseconds() / 1000)

    def is_recorded(self) -> None:
        """Wait until the camera is being recorded."""
        eventually(lambda: time.time() - self.recorded_to() < 3, 60, f"recording of {self.camera}")

    def acknowledged(self) -> set[str]:
        """Return the ids of the segments whose recording was stated as a fact."""
        found = events(self.platform.file, "FOOTAGE", "segment.recorded")
        return {
            event["data"]["index"]["segment_id"] for event in found if event["data"]["index"]["camera"] == self.camera
        }

    def stored_from(self, at: float, seconds: float = 90.0) -> Any:
        """Wait until a segment that begins after an instant (unix seconds) is listed, and return it."""

        def found() -> Any:
            if at >= time.time():
                return None
            segments = self.listed(since=datetime.fromtimestamp(at, UTC))
            return next((one for one in segments if instant(getattr(one, "from")).timestamp() > at), None)

        return eventually(found, seconds, f"a segment of {self.camera} from after the fault", every=0.5)

    def fragments(self, since: float = 0.0) -> list[StoredFragment]:
        """Return everything that is stored from an instant on, decrypted and checked."""
        segments = self.listed(since=datetime.fromtimestamp(since, UTC) if since else None)
        return [one for segment in segments for one in self.bucket.decrypted(segment.object_key)]

    def loss(self, since: float, killed_at: float | None = None) -> Loss:
        """Compare what the camera sent from an instant (unix seconds) to the newest stored with what is stored.

        `killed_at` is when the recorder died: what was sent to it after that was never received.
        """
        stored = self.fragments(since - 30)
        end = max(one.to_at.timestamp() for one in stored) - 2.0
        sessions = sent_gops(Path(self.platform.file.camera_capture_dir) / f"{self.camera}.jsonl", killed_at)
        strangers = [one for one in match(sessions, stored) if since <= one.from_at.timestamp() <= end]
        chosen = {name: [gop for gop in found if since <= gop.at <= end] for name, found in sessions.items()}
        broken = {name: [gop for gop in found if gop.lost_frames] for name, found in chosen.items()}
        return Loss(chosen, {name: found for name, found in broken.items() if found}, strangers)

    def gaps(self, since: float) -> list[Any]:
        """Return the gaps declared for the time after an instant (unix seconds)."""
        return gaps(self.tool, self.camera, datetime.fromtimestamp(since, UTC))

    def balance(self, since: float, until: float | None = None) -> Any:
        """Return the coverage of an interval (unix seconds; until now)."""
        end = datetime.fromtimestamp(until or time.time(), UTC)
        return coverage(self.tool, self.camera, (datetime.fromtimestamp(since, UTC), end))

    def settled(self, since: float, until: float) -> Any:
        """Wait until an interval has settled and nothing of it is pending or unexplained; returns the balance."""
        time.sleep(max(0.0, until + SETTLING_SECONDS - time.time()))
        balance = self.balance(since, until)
        left = [(instant(getattr(one, "from")), instant(one.to)) for one in balance.unexplained]
        assert (balance.unexplained_ms, balance.pending_ms) == (0, 0), f"{self.camera}: unexplained {left}"
        return balance
