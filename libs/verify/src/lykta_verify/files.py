"""The files of a downloaded log: their C2SP tlog-tiles paths, and finding the one that serves a tile."""

import re
from dataclasses import dataclass
from pathlib import Path

from lykta_verify.merkle import TILE_WIDTH

_PATH = re.compile(r"tile/(0|[1-9]\d?|entries)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d*))?")
ENTRIES = -1
"""Stands in `LogFile.level` for entry bundles."""


@dataclass(frozen=True, slots=True, order=True)
class LogFile:
    """A tile of hashes, or an entry bundle (`level` is ENTRIES); `width` counts hashes or entries."""

    level: int
    index: int
    width: int

    @property
    def path(self) -> str:
        """Path below the log's directory."""
        number, digits = self.index, f"{self.index % 1000:03d}"
        while number >= 1000:
            number //= 1000
            digits = f"x{number % 1000:03d}/{digits}"
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{digits}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")


def parse_path(path: str) -> LogFile | None:
    """Read a path below the log's directory; None when the log would not write such a path."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    level = ENTRIES if match[1] == "entries" else int(match[1])
    file = LogFile(level, int(match[2].replace("/", "").replace("x", "")), int(match[3] or TILE_WIDTH))
    return file if file.path == path and file.width <= TILE_WIDTH else None


class LogDirectory:
    """A log's directory, listed once."""

    def __init__(self, root: Path) -> None:
        """List `root`. Raises OSError when it cannot be read."""
        self._root = root
        self.files: list[LogFile] = []
        self.foreign: list[str] = []
        self._widths: dict[tuple[int, int], list[int]] = {}
        for path in sorted((root / "tile").rglob("*")):
            if path.is_dir():
                continue
            name = path.relative_to(root).as_posix()
            file = parse_path(name)
            if file is None:
                self.foreign.append(name)
                continue
            self.files.append(file)
            self._widths.setdefault((file.level, file.index), []).append(file.width)

    def read(self, file: LogFile) -> bytes:
        """Bytes of one file."""
        return (self._root / file.path).read_bytes()

    def checkpoint(self) -> bytes | None:
        """Bytes of the checkpoint, or None when there is none."""
        path = self._root / "checkpoint"
        return path.read_bytes() if path.is_file() else None

    def serving(self, level: int, index: int, width: int) -> LogFile | None:
        """Find the narrowest file that holds at least the first `width` hashes or entries of a tile."""
        widths = [found for found in self._widths.get((level, index), []) if found >= width]
        return LogFile(level, index, min(widths)) if widths else None
