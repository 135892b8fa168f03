"""The attach points of a platform in a cluster, as its clients' pods see them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lykta_common.config import read_secret
from lykta_common.errors import invalid
from lykta_contracts.platform_file import PlatformFile
from pydantic import ValidationError

FILE_MARK: Final = "file:"
"""A value that begins so is the content of the file it names: Secrets are not known when the chart is rendered."""


def read_attach_points(path: Path) -> PlatformFile:
    """Read what the chart wrote; raises PlatformError that names what cannot be read."""
    try:
        written: Mapping[str, Any] = json.loads(path.read_bytes())
        return PlatformFile.model_validate({key: _resolved(value) for key, value in written.items()}, strict=False)
    except (OSError, ValidationError, ValueError) as error:
        raise invalid(f"cannot read the attach points {path}: {error}") from error


def _resolved(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FILE_MARK):
        return read_secret(Path(value.removeprefix(FILE_MARK)))
    return value


def write_state(platform: PlatformFile, directory: Path) -> Path:
    """Write `run/platform.json` below a directory, so that `lykta --state-dir` finds it; returns the file."""
    file = directory / "run" / "platform.json"
    (directory / "run" / "people").mkdir(parents=True, exist_ok=True)
    file.write_text(platform.model_copy(update={"state_dir": str(directory)}).model_dump_json(indent=1) + "\n")
    return file
