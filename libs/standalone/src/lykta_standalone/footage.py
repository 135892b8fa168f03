"""Fetches footage as a clip package: grant token, playback, files, and the evidence for offline proof."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lykta.access_control.v1 import grant_service_pb2 as grants
from lykta.access_control.v1 import grant_service_pb2_grpc as grants_grpc
from lykta.storage.v1 import playback_service_pb2 as pb2

from lykta_standalone.clip_package import ClipPackage, fetch_evidence, require_footage
from lykta_standalone.connection import Connection
from lykta_standalone.playback import Playback


@dataclass(frozen=True)
class Fetched:
    """A clip package that was written; `revoked` is set when the right to it ended on the way."""

    package: ClipPackage
    manifest: Path
    revoked: pb2.Revoked | None


async def grant_token(connection: Connection, person: str, grant_id: str) -> str:
    """Return the signed token of an issued grant; raises PlatformError with access-control's reason."""
    stub = await connection.stub(grants_grpc.GrantServiceStub, "access-control")
    request = grants.GrantServiceTokenRequest(grant_id=grant_id)
    return (await connection.ask(person, "access-control", stub.Token, request)).token


async def fetch_clip(playback: Playback, directory: Path, on_item: Callable[[pb2.ReadResponse], None]) -> Fetched:
    """Read to the end, or to where the right ends, and write the package of what was delivered.

    Raises PlatformError: what storage refuses, NOT_FOUND when nothing was there, an unusable directory.
    """
    package = ClipPackage(directory)
    try:
        async for item in playback.items():
            package.add(item)
            on_item(item)
        if playback.revoked is None:
            require_footage(package)
    except BaseException:
        if not package.written:
            package.abandon()
        raise
    if not package.written:
        return Fetched(package, directory, playback.revoked)
    entries, checkpoint = await fetch_evidence(playback.connection, package)
    return Fetched(package, package.finish(playback.wanted, entries, checkpoint), playback.revoked)
