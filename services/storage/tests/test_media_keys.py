"""Hour keys: published ahead, signed, one for each hour for ever, and their private halves wrapped."""

import base64
import stat
from datetime import timedelta
from pathlib import Path

import grpc
import pyrage
import pytest
from lykta.storage.v1 import catalogue_service_pb2 as pb2
from lykta_common.errors import PlatformError
from lykta_storage.domain.footage import CameraHour
from lykta_storage.keyring import Keyring, decrypt
from lykta_testing.platform import eventually

from .conftest import CAMERA, CONTROLLER, START, World, bearer, reason_of

HOUR = CameraHour(CONTROLLER, CAMERA, "20260601T12")


async def test_keys_are_published_for_the_hours_ahead(running: World) -> None:
    """Every hour from now to the horizon has a signed public key; the hour after it has none."""
    await running.order()
    for hour in ("20260601T12", "20260601T13", "20260601T14"):
        assert (await running.recipient(hour)).startswith("age1")
    assert await running.media_key("20260601T15") is None
    assert await running.media_key("20260601T11") is None


async def test_keys_survive_a_restart_and_a_lost_bucket_entry(world: World) -> None:
    """A key is made once: after a restart the same one is published, also where its KV entry was lost."""
    async with world.service():
        await world.order()
        before = [await world.recipient(hour) for hour in ("20260601T12", "20260601T13", "20260601T14")]
    await (await world.kv("media-keys")).purge(f"{CONTROLLER}.{CAMERA}.20260601T13")
    async with world.service():
        after = [await world.recipient(hour) for hour in ("20260601T12", "20260601T13", "20260601T14")]
    assert after == before


async def test_a_published_key_is_never_replaced(world: World) -> None:
    """With its database lost, storage makes no second key for an hour whose first one is out."""
    async with world.service():
        await world.order()
        first = await world.recipient("20260601T12")
    fresh = world.backbone.database_url("fresh")
    async with world.service(database_url=fresh, key_horizon_hours=3):
        await world.recipient("20260601T15")
        assert await world.recipient("20260601T12") == first
        assert await world.tool_key_reason(HOUR) == "NOT_FOUND"


async def test_a_destroyed_hour_gets_no_new_key(running: World) -> None:
    """Once an hour's key is destroyed, no round makes another, and its public half is taken back."""
    await running.recorded()
    request = pb2.RunRequest()
    request.as_of.FromDatetime(START + timedelta(hours=74))
    await running.tool.retention.Run(request)
    await running.restart()
    assert await running.recipient("20260601T13")
    await eventually(lambda: _gone(running), what="the public key of the destroyed hour")


async def _gone(world: World) -> bool:
    return await world.media_key("20260601T12") is None


async def test_only_signed_and_newer_orders_count(running: World) -> None:
    """An order with a wrong signature, for another camera, or older than the known one makes no keys."""
    good = await running.order(camera="torg-1")
    await running.recipient("20260601T12")
    ended = good.model_copy(update={"serial": 5, "status": "ended"})
    await running.put_order(ended)
    replayed = good.model_copy(update={"serial": 4})
    await running.put_order(replayed)
    other = good.model_copy(
        update={"camera": "torg-2", "mandate": good.mandate.model_copy(update={"cameras": ("torg-2",)})}
    )
    await running.put_order(other, signer=running.signer("grant"))
    await running.put_order(good.model_copy(update={"serial": 9}), key=f"{CONTROLLER}.torg-3")
    await (await running.kv("mandates")).put(f"{CONTROLLER}.torg-4", b"nonsense")
    await running.order(camera="torg-5")
    await running.recipient("20260601T12", "torg-5")
    await running.clock.advance(timedelta(hours=2))
    await running.restart()
    await running.recipient("20260601T16", "torg-5")
    for camera in ("torg-1", "torg-2", "torg-3", "torg-4"):
        assert await running.media_key("20260601T16", camera) is None


async def test_export_is_for_the_test_tool_and_in_the_log(running: World) -> None:
    """The test tool gets an hour's key, with an entry in the log; people's programs never do."""
    (made,) = await running.recorded()
    request = pb2.ExportHourKeyRequest(**HOUR._asdict())
    identity = (await running.tool.keys.ExportHourKey(request)).identity
    entry = made.index.fragments[0]
    assert decrypt(made.payload[entry.offset : entry.offset + entry.length], identity) == made.plains[0]
    (logged,) = running.log.of("footage.key.exported")
    assert (logged.actor.id, logged.object, logged.result) == ("test-tool", f"camera/{CAMERA}/20260601T12", "allowed")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.stubs.keys.ExportHourKey(request, **bearer())
    assert reason_of(caught.value) == "WORKLOAD"


async def test_export_waits_for_the_log(running: World) -> None:
    """Without the entry in the log there is no key."""
    await running.recorded()
    running.log.away = True
    assert await running.tool_key_reason(HOUR) == "AUDIT_UNAVAILABLE"


@pytest.mark.parametrize("settings", [{"allow_key_export": False}, {"profile": "production"}])
async def test_export_can_be_off(world: World, settings: dict[str, object]) -> None:
    """Without the setting, and in production with it, no key leaves, and the attempt is in the log."""
    async with world.service(**settings):
        await world.order()
        await world.recipient("20260601T12")
        assert await world.tool_key_reason(HOUR) == "PROHIBITED"
        assert world.log.of("footage.key.exported")[0].result == "denied"


async def test_a_controller_without_its_key_does_not_stop_the_others(world: World) -> None:
    """Where a controller's key file is missing, its cameras get no keys and the others do."""
    kek = world.backbone.directory / "kek"
    kek.mkdir()
    (kek / "ks.key").write_bytes(base64.b64encode(b"k" * 32))
    async with world.service(kek_create=False):
        good = await world.order()
        mandate = good.mandate.model_copy(update={"controller": "bolag"})
        await world.put_order(good.model_copy(update={"controller": "bolag", "mandate": mandate}))
        await world.recipient("20260601T12")
        await world.restart()
        await world.recipient("20260601T12")
    assert not (kek / "bolag.key").exists()


def test_a_wrapped_key_is_bound_to_its_hour(tmp_path: Path) -> None:
    """A wrapped key opens for its own hour with its own controller's key, and for nothing else."""
    ring = Keyring(tmp_path, create=True)
    recipient, wrapped = ring.new_pair(HOUR)
    identity = ring.unwrap(HOUR, wrapped)
    assert str(pyrage.x25519.Identity.from_str(identity).to_public()) == recipient
    assert identity.encode() not in wrapped
    for other in (HOUR._replace(hour="20260601T13"), HOUR._replace(camera="x"), HOUR._replace(controller="bolag")):
        with pytest.raises(PlatformError) as caught:
            ring.unwrap(other, wrapped)
        assert caught.value.reason == "INTEGRITY"
    assert stat.S_IMODE((tmp_path / "ks.key").stat().st_mode) == 0o600
    assert Keyring(tmp_path, create=False).unwrap(HOUR, wrapped) == identity


@pytest.mark.parametrize("content", [None, b"short", base64.b64encode(b"k" * 31), b"\xff"])
def test_an_unusable_key_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A missing or malformed key file is an error that names the file, and is never replaced."""
    path = tmp_path / "ks.key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlatformError) as caught:
        Keyring(tmp_path, create=False).new_pair(HOUR)
    assert str(path) in caught.value.message
    if content is not None:
        with pytest.raises(PlatformError):
            Keyring(tmp_path, create=True).new_pair(HOUR)
        assert path.read_bytes() == content


def test_foreign_bytes_do_not_decrypt(tmp_path: Path) -> None:
    """Bytes that are no age file, or for another key, are an INTEGRITY error."""
    ring = Keyring(tmp_path, create=True)
    identity = ring.unwrap(HOUR, ring.new_pair(HOUR)[1])
    foreign = pyrage.encrypt(b"x", [pyrage.x25519.Identity.generate().to_public()])
    for cipher in (b"nonsense", foreign):
        with pytest.raises(PlatformError) as caught:
            decrypt(cipher, identity)
        assert caught.value.reason == "INTEGRITY"
