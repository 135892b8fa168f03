"""A real MinIO for the suites that otherwise run on SeaweedFS: `LYKTA_TEST_OBJECT_STORE=minio`."""

import asyncio
import http.client
import json
import os
import secrets
import shutil
import ssl
from pathlib import Path
from typing import Final

import pytest
from lykta_common.objectstore import read_credentials
from lykta_common.tls import TlsFiles
from lykta_standalone.ports import LOOPBACK, free_ports
from lykta_standalone.servers import START_SECONDS, Server

VARIABLE: Final = "LYKTA_TEST_OBJECT_STORE"
VERSION: Final = "v0.0.0-20260212201848-7aac2a2c5b7c"
"""The same as in tools/minio.py, which builds it."""
BUILD: Final = "python -m tools.minio"
_READY: Final = "/minio/health/ready"
_ASK_SECONDS: Final = 2.0


def wanted() -> bool:
    """Say whether tests shall use MinIO; raises ValueError for a word that is neither store."""
    name = os.environ.get(VARIABLE, "seaweedfs")
    if name not in {"seaweedfs", "minio"}:
        raise ValueError(f"{VARIABLE} is {name!r}; use seaweedfs or minio")
    return name == "minio"


def place() -> Path:
    """Return where the program of this version is kept once it is built; it need not be there."""
    named = os.environ.get("LYKTA_CACHE")
    cache = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lykta"
    return cache / "tools" / f"minio-{VERSION}" / "minio"


def program() -> Path:
    """Return the built program; skips the test with the command that builds it where there is none."""
    found = place()
    if not os.access(found, os.X_OK):
        pytest.skip(f"MinIO {VERSION} is missing; build it (five minutes, once): {BUILD}")
    return found


class MinioServer(Server):
    """A MinIO on loopback, which is ready when it says so: its port answers before its store does."""

    def __init__(self, arguments: list[str], directory: Path, port: int, environment: dict[str, str]) -> None:
        super().__init__("minio", arguments, directory, port, environment=environment)
        self.trust: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """The endpoint for clients."""
        return f"{'http' if self.trust is None else 'https'}://{LOOPBACK}:{self.port}"

    async def ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until it serves; raises PlatformError with the end of its log."""
        await super().ready(seconds)
        try:
            async with asyncio.timeout(seconds):
                while not await asyncio.to_thread(self._serves):
                    if self.process is None or self.process.returncode is not None:
                        raise self._failed("ended at once")
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            await self.stop()
            raise self._failed(f"was not ready within {seconds:.0f} s") from error

    def _serves(self) -> bool:
        if self.trust is None:
            asking = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_ASK_SECONDS)
        else:
            asking = http.client.HTTPSConnection(LOOPBACK, self.port, timeout=_ASK_SECONDS, context=self.trust)
        try:
            asking.request("GET", _READY)
            return asking.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asking.close()


def new_credentials(file: Path, access_key: str) -> None:
    """Write a credentials file with a new secret key; one that is there stays."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps({"access_key": access_key, "secret_key": secrets.token_urlsafe(24)}))


def minio_server(directory: Path, credentials_file: Path, tls: TlsFiles | None = None, port: int = 0) -> MinioServer:
    """Prepare a MinIO with one directory and one account, that of the credentials file (made when missing).

    It speaks TLS when it is given the files for it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = port or free_ports(1)[0]
    certificates = directory / "certs"
    (certificates / "CAs").mkdir(parents=True, exist_ok=True)
    if tls is not None:
        shutil.copy(tls.certificate, certificates / "public.crt")
        shutil.copy(tls.key, certificates / "private.key")
        shutil.copy(tls.ca, certificates / "CAs" / "ca.crt")
    new_credentials(credentials_file, "admin")
    user, secret = read_credentials(credentials_file)
    environment = {
        "HOME": str(directory),
        "PATH": "/usr/bin:/bin",
        "MINIO_ROOT_USER": user,
        "MINIO_ROOT_PASSWORD": secret,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    arguments = [
        str(program()), "server", str(directory / "objects"), "--address", f"{LOOPBACK}:{port}",
        "--certs-dir", str(certificates), "--quiet",
    ]  # fmt: skip
    made = MinioServer(arguments, directory, port, environment)
    if tls is not None:
        made.trust = ssl.create_default_context(cafile=str(tls.ca))
    return made
