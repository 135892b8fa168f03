"""Camera credentials from the secret file; they never reach a URL, a log or an event."""

from __future__ import annotations

import json
from pathlib import Path

from lykta_ingest.errors import CameraError
from lykta_ingest.rtsp_auth import Credentials


def find_credentials(path: Path | None, reference: str) -> Credentials | None:
    """Return the credentials of a reference, None for the empty reference; reads the file anew, so it may change.

    Raises CameraError FAILED_PRECONDITION that names the reference, never a value.
    """
    if not reference:
        return None
    if path is None:
        raise _missing(f"the camera needs the credentials {reference!r}, but no secret file is configured")
    try:
        entry = json.loads(path.read_bytes())[reference]
        return Credentials(str(entry["username"]), str(entry["password"]))
    except (OSError, ValueError) as error:
        raise _missing("the secret file with camera credentials cannot be read") from error
    except (KeyError, TypeError) as error:
        raise _missing(f"the secret file holds no credentials {reference!r} (username, password)") from error


def _missing(message: str) -> CameraError:
    return CameraError(
        "FAILED_PRECONDITION",
        "CAMERA",
        f"{message}; see LYKTA_INGEST__CAMERA_CREDENTIALS_FILE",
        cause="PLATFORM",
    )
