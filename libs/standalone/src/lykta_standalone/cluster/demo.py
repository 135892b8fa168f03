"""The demo municipality in a cluster: its identity provider, its cameras, its founding, and the flow of `helm test`."""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from lykta_camera_sim import CameraSimulator, CameraSpec
from lykta_common.clock import SystemClock
from lykta_common.config import read_secret
from lykta_common.errors import PlatformError, invalid
from lykta_common.logging import get_logger
from lykta_common.tls import TlsFiles
from lykta_contracts.platform_file import PlatformFile

from lykta_standalone.connection import connected
from lykta_standalone.demo import proving, watching
from lykta_standalone.demo.stage import Stage
from lykta_standalone.dev_identity import DevelopmentProvider, serving
from lykta_standalone.environment import OIDC_AUDIENCE
from lykta_standalone.founding import Founder
from lykta_standalone.municipality import PEOPLE, demo_cameras
from lykta_standalone.promises import BrokenPromiseError

log = get_logger(__name__)

ANY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - inside a pod, behind its network policy
FOUND_SECONDS: Final = 420.0
STEP_SECONDS: Final = 120.0
_PAUSE: Final = 2.0


async def _granted_everywhere(stage: Stage) -> str:
    """Here another access-control than the one that approved may be asked next."""
    proved = await watching.granted(stage)
    await asyncio.sleep(watching.EVERYWHERE_SECONDS)
    return proved


STEPS: Final[tuple[tuple[str, Callable[[Stage], Awaitable[str]]], ...]] = (
    ("recorded, because a decision allows it", watching.recorded),
    ("an incident is noticed", watching.noticed),
    ("footage without a grant: refused", watching.refused_without_grant),
    ("case, grant, and a second person's approval", _granted_everywhere),
    ("the right minute is fetched", watching.fetched),
    ("it plays", watching.plays),
    ("grant revoked while playing: the stream ends", watching.revoked),
    ("the log is verified offline and tells every step", proving.log_verified),
    ("the clip is proved from its bytes to the checkpoint", proving.clip_proved),
    ("a flipped byte in the clip is found", proving.damaged_clip),
)
"""The way of one frame; it can be walked again and again, because it ends nothing that others need."""


async def serve_identity(issuer: str, port: int, secret_file: Path, tls: TlsFiles) -> None:
    """Serve the DEVELOPMENT identity provider until SIGTERM."""
    people = {name: person.identity for name, person in PEOPLE.items()}
    provider = DevelopmentProvider(issuer, OIDC_AUDIENCE, people, read_secret(secret_file))
    async with serving(provider, port, tls, ANY_ADDRESS):
        log.warning("development_identity_provider", issuer=issuer)
        await until_stopped()


async def serve_cameras(footage: Path, credentials_file: Path, port: int) -> None:
    """Serve the demo cameras from one file until SIGTERM; raises PlatformError when a file cannot be read."""
    specs = _specs(footage, credentials_file)
    async with CameraSimulator(ANY_ADDRESS, port, specs):
        log.info("cameras_serving", cameras=len(specs), port=port)
        await until_stopped()


async def found(platform: PlatformFile, cameras: str) -> None:
    """Found the demo municipality with its cameras at host:port; waits for access-control, and can run again."""
    addresses = {camera.camera: f"rtsp://{cameras}/{camera.camera}" for camera in demo_cameras()}
    loop = asyncio.get_running_loop()
    end = loop.time() + FOUND_SECONDS
    async with connected(platform) as connection:
        while True:
            try:
                await Founder(connection, SystemClock()).found(addresses)
            except PlatformError as error:
                if not error.retryable or loop.time() > end:
                    raise
                log.info("founding_waits", cause=error.message)
                await asyncio.sleep(_PAUSE)
            else:
                log.info("municipality_founded", cameras=len(addresses))
                return


async def walk(platform: PlatformFile) -> int:
    """Walk the way of one frame and print each step; returns the number of steps that did not hold."""
    async with AsyncExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lykta-flow-")))
        people = await stack.enter_async_context(connected(platform))
        tool = await stack.enter_async_context(connected(platform, "test-tool"))
        stage = Stage(platform, people, tool, work)
        for number, (title, step) in enumerate(STEPS, 1):
            try:
                async with asyncio.timeout(STEP_SECONDS):
                    proved = await step(stage)
            except (BrokenPromiseError, PlatformError, TimeoutError) as error:
                sys.stdout.write(f"✘ {number:>2}. {title}\n       {error or f'not within {STEP_SECONDS:.0f} s'}\n")
                return len(STEPS) - number + 1
            sys.stdout.write(f"✔ {number:>2}. {title}\n       {proved}\n")
            sys.stdout.flush()
    return 0


def _specs(footage: Path, credentials_file: Path) -> list[CameraSpec]:
    try:
        known = json.loads(credentials_file.read_text())
        return [
            CameraSpec(
                camera.camera,
                footage,
                username=known[camera.camera]["username"],
                password=known[camera.camera]["password"],
                offset_s=camera.offset_s,
            )
            for camera in demo_cameras()
        ]
    except (OSError, ValueError, KeyError) as error:
        raise invalid(f"cannot read the cameras' credentials {credentials_file}: {error}") from error


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
