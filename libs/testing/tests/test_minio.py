"""MinIO for tests: asked for by one word, ready when it says so, and with the accounts that an installation gets."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lykta_common.config import ObjectStoreSettings
from lykta_common.errors import PlatformError
from lykta_common.objectstore import ObjectStore, open_admin, open_bucket
from lykta_standalone.pki import LocalAuthority
from lykta_testing import minio
from lykta_testing.platform import Backbone, open_backbone
from minio import Minio
from minio.error import S3Error

FOOTAGE, AUDIT = "lykta-footage", "lykta-audit"
KEY = "footage/ks/torg-1/1"


@pytest.mark.parametrize("word", ["weed", "MinIO", ""])
def test_another_word_is_refused(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that is no store's name is refused with the words that are, rather than taken for the usual one."""
    monkeypatch.setenv(minio.VARIABLE, word)
    with pytest.raises(ValueError, match="use seaweedfs or minio"):
        minio.wanted()


async def test_a_missing_program_is_named_with_what_builds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MinIO was never built, a test that asks for it is skipped with the command, and nothing is started."""
    monkeypatch.setenv(minio.VARIABLE, "minio")
    monkeypatch.setenv("LYKTA_CACHE", str(tmp_path / "none"))
    with pytest.raises(pytest.skip.Exception, match=r"python -m tools\.minio"):
        async with open_backbone(tmp_path):
            pass


async def test_with_tls_it_speaks_tls_only(tmp_path: Path) -> None:
    """Given a certificate, the server answers those who trust its authority, and nobody without TLS."""
    authority = LocalAuthority(tmp_path / "pki")
    server = minio.minio_server(tmp_path / "s3", tmp_path / "root.json", authority.issue("minio"))
    await server.start()
    try:
        assert server.url.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=str(authority.issue("minio").ca))
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust)
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=ssl.create_default_context())
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b"400 Bad Request" in await reader.read()
        writer.close()
    finally:
        await server.kill()


@dataclass
class Account:
    """What one account has in hands."""

    settings: ObjectStoreSettings

    def bucket(self, name: str) -> ObjectStore:
        """A bucket, as services use it."""
        return open_bucket(self.settings, name)

    @property
    def sdk(self) -> Minio:
        """The SDK with this account."""
        return open_admin(self.settings)


@pytest.fixture
async def accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[str], Account]]:
    """The accounts of an installation, on a MinIO with one segment and one checkpoint."""
    monkeypatch.setenv(minio.VARIABLE, "minio")
    async with open_backbone(tmp_path) as backbone:
        administrator = backbone.s3_settings()
        await open_bucket(administrator, FOOTAGE).put(KEY, b"sealed")
        await open_bucket(administrator, AUDIT).put("checkpoint", b"note")

        def account(name: str) -> Account:
            assert backbone.s3_credentials_of(name) != backbone.s3_credentials_file
            return Account(administrator.model_copy(update={"s3_credentials_file": backbone.s3_credentials_of(name)}))

        yield account


async def denied(*attempts: Awaitable[Any]) -> None:
    """Every one of these is refused for lack of rights, and for nothing else."""
    for attempt in attempts:
        with pytest.raises((PlatformError, S3Error), match=r"refuses this account|AccessDenied"):
            await attempt


async def collected(bucket: ObjectStore, prefix: str) -> list[str]:
    """List a prefix."""
    return [item.key async for item in bucket.list(prefix)]


def reading(bucket: ObjectStore, key: str) -> list[Awaitable[Any]]:
    """Every way to read."""
    return [bucket.get(key), bucket.get_range(key, 0, 1), bucket.head(key)]


def writing(bucket: ObjectStore) -> list[Awaitable[Any]]:
    """Every way to write."""
    return [bucket.put("footage/x", b""), bucket.put_if_absent("footage/y", b"")]


async def test_ingest_may_put_and_neither_read_nor_delete(accounts: Callable[[str], Account]) -> None:
    """A recorder that is taken over can add footage: it can look at none, take none away, and is kept from the log."""
    ingest = accounts("ingest")
    footage, audit = ingest.bucket(FOOTAGE), ingest.bucket(AUDIT)
    assert await footage.put_if_absent("footage/ks/torg-1/2", b"more")
    assert not await footage.put_if_absent(KEY, b"other")
    await denied(*reading(footage, KEY), footage.delete(KEY), collected(footage, "footage/"))
    await denied(*reading(audit, "checkpoint"), *writing(audit), audit.delete("checkpoint"), collected(audit, ""))
    await denied(asyncio.to_thread(ingest.sdk.make_bucket, "mine"))


async def test_storage_may_read_and_delete_footage_only(accounts: Callable[[str], Account]) -> None:
    """Storage reads, lists and deletes footage; it can write none, and is kept from the log."""
    storage = accounts("storage")
    footage, audit = storage.bucket(FOOTAGE), storage.bucket(AUDIT)
    await footage.ping()
    assert await footage.get(KEY) == b"sealed"
    assert await collected(footage, "footage/") == [KEY]
    await denied(*writing(footage))
    await footage.delete(KEY)
    assert await collected(footage, "footage/") == []
    await denied(*reading(audit, "checkpoint"), *writing(audit), audit.delete("checkpoint"), collected(audit, ""))


async def test_audit_may_put_and_read_its_bucket_only(accounts: Callable[[str], Account]) -> None:
    """Audit publishes and reads back, and sees that its bucket is locked; it deletes nothing and sees no footage."""
    audit = accounts("audit")
    log, footage = audit.bucket(AUDIT), audit.bucket(FOOTAGE)
    await log.put("checkpoint", b"newer")
    assert await log.put_if_absent("tile/0/000.p/1", b"hash")
    assert await log.get("checkpoint") == b"newer"
    assert (await asyncio.to_thread(audit.sdk.get_object_lock_config, AUDIT)).mode == "COMPLIANCE"
    await denied(log.delete("tile/0/000.p/1"))
    await denied(*reading(footage, KEY), *writing(footage), footage.delete(KEY), collected(footage, "footage/"))


async def test_a_reader_of_the_log_may_read_only(accounts: Callable[[str], Account]) -> None:
    """Who verifies the log can read it, write nothing, and sees no footage."""
    reader = accounts("reader")
    log, footage = reader.bucket(AUDIT), reader.bucket(FOOTAGE)
    assert await log.get("checkpoint") == b"note"
    assert await collected(log, "") == ["checkpoint"]
    await denied(*writing(log), log.delete("checkpoint"), *reading(footage, KEY), collected(footage, "footage/"))


async def test_without_the_word_every_service_uses_one_account(backbone: Backbone) -> None:
    """SeaweedFS has one account here, so that tests which name no store need nothing of accounts."""
    expected = minio.wanted()
    assert (backbone.s3_credentials_of("storage") != backbone.s3_credentials_file) is expected
