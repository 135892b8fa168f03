"""Playback over real gRPC, S3 and NATS: who is let in, what is served, and when it ends."""

import hashlib

from lykta_storage.domain.hour_tree import root_from_path

from .conftest import INIT, World


async def test_footage_is_served_bit_exact_and_proved(running: World) -> None:
    """A granted reader gets every fragment as recorded, with a proof that leads to the sealed root in the log."""
    (made,) = await running.recorded()
    items = await running.open().all()
    kinds = [item.WhichOneof("item") for item in items]
    assert kinds == ["init", "fragment", "fragment", "fragment"]
    assert items[0].init.bytes == INIT
    assert [INIT + item.fragment.bytes for item in items[1:]] == made.plains
    for item, plain in zip(items[1:], made.plains, strict=True):
        seal = item.fragment.seal
        assert item.fragment.sha256 == hashlib.sha256(plain).digest()
        assert root_from_path(item.fragment.sha256, seal.leaf_index, seal.count, list(seal.path)) == seal.root
        logged = running.log.records[seal.audit_entry_id]
        assert (logged.action, logged.details["root"]) == ("footage.hour.sealed", seal.root.hex())


async def test_the_log_tells_who_saw_what(running: World) -> None:
    """The opening entry is there before the first item, and the closing one says what was delivered."""
    await running.recorded()
    playback = await running.open().open()
    await playback.next()
    (opened,) = running.log.of("footage.playback.opened")
    assert (opened.actor.id, opened.case_id, opened.grant_id, opened.result) == ("anna", "case_1", "grt_1", "allowed")
    assert opened.purpose == "assault"
    await playback.credit(2)
    while await playback.next() is not None:
        pass
    (closed,) = running.log.of("footage.playback.closed")
    assert closed.details["delivered_ms"] == "6000"
    assert closed.details["delivered"] == "2026-06-01T12:30:00.000Z/2026-06-01T12:30:06.000Z"
