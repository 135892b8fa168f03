"""Keeps a record of every NAL unit sent, so that a test can compare what arrived with what left."""

import collections
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from lykta_camera_sim.air import OnAir

_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class CaptureRecord:
    """One NAL unit sent ``at`` (unix seconds), with its RTP time stamp; ``damaged`` when a fault touched its frame."""

    at: float
    session: str
    frame: int
    rtp: int
    kind: int
    size: int
    sha256: str
    damaged: bool


class Capture:
    """The record of one camera: the newest 200,000 entries in memory, and all as JSON lines in a file if one is given.

    Writes are buffered; :meth:`flush` brings them to the file. Writing blocks for as long as the disk does.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._rows: collections.deque[CaptureRecord] = collections.deque(maxlen=_KEPT)
        self._file: IO[str] | None = path.open("a", encoding="utf-8", buffering=1 << 16) if path else None

    def add(self, air: OnAir, session: str, rtp: int) -> None:
        """Records the NAL units of one frame sent to one session."""
        damaged = bool(air.faults)
        for nal in air.frame.nals:
            row = CaptureRecord(air.unix_at, session, air.number, rtp, nal.kind, nal.size, nal.sha256, damaged)
            self._rows.append(row)
            if self._file is not None:
                self._file.write(json.dumps(asdict(row), separators=(",", ":")) + "\n")

    def records(self) -> list[CaptureRecord]:
        """Returns what is held in memory, oldest first."""
        return list(self._rows)

    def flush(self) -> None:
        """Hands buffered lines to the operating system."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Flushes and closes the file; idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None
