"""What the steps of the drill share: the platform of the moment, the backup, and what was known before the disaster."""

import asyncio
import shutil
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lykta.storage.v1 import catalogue_service_pb2 as catalogue
from lykta.storage.v1 import catalogue_service_pb2_grpc as catalogue_grpc

from lykta_standalone.backup.manifest import Manifest
from lykta_standalone.backup.restoring import Restored
from lykta_standalone.connection import connected
from lykta_standalone.demo.stage import CONTROLLER, Stage
from lykta_standalone.display import Display
from lykta_standalone.layout import Layout
from lykta_standalone.municipality import CONTROLLERS
from lykta_standalone.playback import Wanted
from lykta_standalone.registry import NAMES
from lykta_standalone.supervisor import Supervisor, UpOptions
from lykta_standalone.up import running_platform


@dataclass(frozen=True)
class Doomed:
    """An hour that was deleted: a copy of one of its objects from before, and what was listed of it then."""

    controller: str
    camera: str
    hour: str
    mandate_id: str
    key: str
    age_file: bytes
    segments: frozenset[str]


@dataclass(frozen=True)
class Clip:
    """Footage that was fetched before the disaster: where from, under which grant, and the SHA-256 of its files."""

    wanted: Wanted
    grant_id: str
    files: dict[str, str]


@dataclass
class Drill:
    """Everything the steps need; each step adds what it found."""

    work: Path
    cache_dir: Path
    display: Display
    stage: Stage | None = None
    backup_at: datetime | None = None
    manifest: Manifest | None = None
    restored: Restored | None = None
    checkpoint: Path | None = None
    doomed: list[Doomed] = field(default_factory=list)
    clips: list[Clip] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    state: str = "state"
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _supervisor: Supervisor | None = None

    @property
    def layout(self) -> Layout:
        """The state directory of the moment."""
        return Layout(self.work / self.state)

    @property
    def backup(self) -> Path:
        """Where the backup lies."""
        return self.work / "backup"

    @property
    def gone(self) -> set[str]:
        """The segments that were deleted on purpose."""
        return {name for doomed in self.doomed for name in doomed.segments}

    @property
    def now(self) -> Stage:
        """The running platform and who asks it."""
        if self.stage is None:
            raise RuntimeError("no platform runs at this point of the drill")
        return self.stage

    async def start(self, targets: tuple[str, ...] = NAMES, *, cameras: bool = True) -> None:
        """Start the platform of the state directory."""
        options = UpOptions(self.layout.root, self.cache_dir, targets=targets, demo_cameras=cameras)
        supervisor, people = await self._stack.enter_async_context(running_platform(options, self.display))
        platform, self._supervisor = supervisor.platform_file(), supervisor
        tool = await self._stack.enter_async_context(connected(platform, "test-tool"))
        fresh = Stage(platform, people, tool, self.work)
        if self.stage is not None:
            fresh.case_id, fresh.mandate_id = self.stage.case_id, self.stage.mandate_id
        self.stage = fresh

    async def stop(self) -> None:
        """Stop the platform in order; stopping a stopped one changes nothing."""
        await self._stack.aclose()
        self._supervisor = None

    async def lose_everything(self) -> int:
        """Kill every process and remove the whole state; return how many bytes it had."""
        if self._supervisor is not None:
            self._supervisor.kill()
        await self.stop()
        files = [path for path in self.layout.root.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        await asyncio.to_thread(shutil.rmtree, self.layout.root)
        return size

    async def listed(self, controller: str, camera: str) -> set[str]:
        """Return the segments of a camera that are stored, as the catalogue tells an investigator."""
        person = "anna" if controller == CONTROLLER else "eva"
        request = catalogue.ListFootageRequest(controller=controller, camera=camera, page_size=1000)
        found = await self.now.ask(person, "storage", catalogue_grpc.CatalogueServiceStub, "ListFootage", request)
        return {item.segment_id for item in found.segments if item.state == "stored"}


def all_cameras() -> list[tuple[str, str]]:
    """Return controller and name of every demo camera."""
    return [(owner.controller, cam.camera) for owner in CONTROLLERS for place in owner.places for cam in place.cameras]
