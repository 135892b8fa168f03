"""The state directory: where everything of one platform on one machine lies, its lock and its remembered ports."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lykta_common.errors import Code, PlatformError, invalid

from lykta_standalone.ports import free_ports, is_free, promise

STATE_VARIABLE: Final = "LYKTA_STATE"
DEFAULT_STATE: Final = Path(".state")
PORT_NAMES: Final = (
    "nats",
    "s3",
    "identity",
    "cameras",
    "camera-control",
    "ingest",
    "analytics",
    "storage",
    "access-control",
    "audit",
)
"""Everything that listens; `cameras` must stay the same over runs because camera addresses hold it."""


@dataclass(frozen=True)
class Layout:
    """Paths below one state directory."""

    root: Path

    @property
    def pki(self) -> Path:
        """Certificates and the local CA."""
        return self.root / "pki"

    @property
    def secrets(self) -> Path:
        """Passwords, private signing keys and camera credentials; mode 0700."""
        return self.root / "secrets"

    @property
    def keys(self) -> Path:
        """Public keys."""
        return self.root / "keys"

    @property
    def log(self) -> Path:
        """One log file per process."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """What a run tells others: platform.json, status.json."""
        return self.root / "run"

    @property
    def people(self) -> Path:
        """Tokens of people who are logged in; mode 0700."""
        return self.run / "people"

    @property
    def platform_file(self) -> Path:
        """The attach points of the running platform."""
        return self.run / "platform.json"

    @property
    def status_file(self) -> Path:
        """What each process is doing, written every second."""
        return self.run / "status.json"

    @property
    def ports_file(self) -> Path:
        """Ports of the last run."""
        return self.root / "ports.json"

    def service(self, name: str) -> Path:
        """Return the directory that one service may write to."""
        return self.root / "services" / name

    def create(self) -> None:
        """Make the directories; secrets are readable by their owner only."""
        for directory in (self.root, self.pki, self.secrets, self.keys, self.log, self.run, self.people):
            directory.mkdir(parents=True, exist_ok=True)
        for directory in (self.pki, self.secrets, self.people):
            directory.chmod(0o700)


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the state directory for the block; raises PlatformError when another `lykta up` has it.

    The kernel frees the lock when the process dies, however it dies.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    path = layout.root / "lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise PlatformError(
                Code.FAILED_PRECONDITION,
                "WRONG_STATE",
                f"a platform runs in {layout.root} already (process {holder}); stop it, or use another --state-dir",
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def choose_ports(layout: Layout, wanted: dict[str, int]) -> dict[str, int]:
    """Return a port for every name: the wanted one, else that of the last run, else a free one; remembers them.

    Raises PlatformError when a wanted port, or the cameras' remembered one, is taken.
    """
    known = _known(layout)
    fresh = iter(free_ports(len(PORT_NAMES)))
    ports: dict[str, int] = {}
    for name in PORT_NAMES:
        candidate = wanted.get(name) or known.get(name, 0)
        if candidate and not is_free(candidate):
            if wanted.get(name):
                raise invalid(f"port {candidate} for {name} is taken; choose another, or none for a free one")
            if name == "cameras":
                raise invalid(f"port {candidate}, at which this state's cameras are known, is taken; free it")
            candidate = 0
        ports[name] = candidate or next(fresh)
    promise(ports.values())
    layout.ports_file.write_text(json.dumps(ports, indent=1) + "\n")
    return ports


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step, so that a reader never sees half of it."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(text)
    half.replace(path)


def _known(layout: Layout) -> dict[str, int]:
    try:
        parsed = json.loads(layout.ports_file.read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): int(port) for name, port in parsed.items()} if isinstance(parsed, dict) else {}
