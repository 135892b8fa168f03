"""Playback over real gRPC, S3 and NATS: who is let in, what is served, and when it ends."""

import hashlib
from datetime import timedelta

import grpc
import pytest
from lykta_storage.domain.hour_tree import root_from_path
from lykta_testing.platform import eventually

from .conftest import CAMERA, INIT, START, World, reason_of


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


async def test_no_grant_no_bytes(running: World) -> None:
    """Without a grant footage is refused with NO_GRANT, and the attempt is in the log with its person."""
    await running.recorded()
    assert await running.open(token="").refused() == (grpc.StatusCode.PERMISSION_DENIED, "NO_GRANT")
    (entry,) = running.log.of("footage.playback.opened")
    assert (entry.result, entry.reason, entry.actor.id) == ("denied", "NO_GRANT", "anna")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(START.timestamp())}, "GRANT_EXPIRED"),
        ({"aud": "lykta/ingest"}, "UNAUTHENTICATED"),
        ({"iss": "somebody"}, "UNAUTHENTICATED"),
        ({"nbf": int(START.timestamp()) + 600}, "UNAUTHENTICATED"),
        ({"header": {"typ": "JWT"}}, "UNAUTHENTICATED"),
        ({"header": {"alg": "Ed25519"}}, "UNAUTHENTICATED"),
        ({"cams": ["torg-2"]}, "GRANT_SCOPE"),
        ({"act": ["footage.live"]}, "GRANT_SCOPE"),
        ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}, "GRANT_SCOPE"),
        ({"sub": "bo"}, "GRANT_SCOPE"),
    ],
)
async def test_a_token_that_does_not_fit_is_refused(world: World, changes: dict[str, object], reason: str) -> None:
    """Expired, for another audience, issuer, type, time, camera, action or person: each is refused and logged."""
    async with world.service():
        refusal = await world.open(token=world.token(**changes)).refused()  # type: ignore[arg-type]
        assert refusal == (grpc.StatusCode.PERMISSION_DENIED, reason)
        (entry,) = world.log.of("footage.playback.opened")
        assert (entry.result, entry.reason) == ("denied", reason)


async def test_a_forged_token_is_refused(running: World) -> None:
    """A token signed by another key, or changed, or no token at all, opens nothing."""
    good = running.token()
    head, _, signature = good.split(".")
    _, other, _ = running.token(cams=["torg-2"]).split(".")
    for token in (running.token(signer=running.signer("mandate")), f"{head}.{other}.{signature}", "nonsense", "a.b.c"):
        assert await running.open(token=token).refused() == (grpc.StatusCode.PERMISSION_DENIED, "UNAUTHENTICATED")


async def test_another_controllers_person_finds_nothing(running: World) -> None:
    """Who does not belong to the controller gets NOT_FOUND, with a grant, without, and with a broken one."""
    await running.recorded()
    for token in ("", running.token(), "nonsense"):
        refusal = await running.open(bearer="eva-token", token=token).refused()
        assert refusal == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


async def test_a_person_who_does_not_verify_is_refused(running: World) -> None:
    """A bearer token that access-control does not accept is UNAUTHENTICATED."""
    assert await running.open(bearer="x").refused() == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_an_attempt_without_a_person_is_logged(running: World) -> None:
    """A call without a person's token is UNAUTHENTICATED, and the log has the program it came from."""
    call = running.stubs.playback.Read(metadata=[("lykta-grant", running.token())], timeout=30)
    playback = running.open()
    playback.call = call
    assert await playback.refused() == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    (entry,) = running.log.of("footage.playback.opened")
    assert (entry.result, entry.actor.kind, entry.actor.id) == ("denied", "service", "cli")


async def test_the_number_of_playbacks_is_bounded(world: World) -> None:
    """A playback beyond the bound is refused, and there is room again when one has ended."""
    async with world.service(most_playbacks=1):
        await world.recorded()
        first = await world.open().open()
        await first.next()
        assert await world.open().refused() == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT")
        first.call.cancel()
        await eventually(lambda: world.log.of("footage.playback.closed"), what="the end of the first")
        assert len(await world.open().all()) == 4


async def test_a_closed_case_ends_the_grant(running: World) -> None:
    """A grant whose case was closed is refused at the door although its token is still valid."""
    await running.recorded()
    running.policy.refusal = "CASE_CLOSED"
    assert await running.open().refused() == (grpc.StatusCode.PERMISSION_DENIED, "CASE_CLOSED")


async def test_without_the_log_nothing_is_shown(running: World) -> None:
    """When audit does not take the opening entry there are no bytes, and the attempt is logged later."""
    await running.recorded()
    running.log.away = True
    assert await running.open().refused() == (grpc.StatusCode.UNAVAILABLE, "AUDIT_UNAVAILABLE")
    late = await eventually(lambda: running.events("AUDIT"), what="the deferred entry")
    assert late[0].data["record"]["reason"] == "AUDIT_UNAVAILABLE"


async def test_without_access_control_nothing_is_shown(running: World) -> None:
    """When access-control does not answer there are no bytes."""
    await running.recorded()
    running.policy.away = True
    assert await running.open().refused() == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")


async def test_a_pushed_revocation_ends_the_stream(world: World) -> None:
    """A revocation ends an open playback with `revoked`, and the closing entry says why."""
    async with world.service(recheck_seconds=1):
        await world.recorded(START, START + timedelta(seconds=6))
        playback = await world.open(seconds=12).open()
        assert [(await playback.next()).WhichOneof("item") for _ in range(2)] == ["init", "fragment"]
        await world.revoke()
        item = await playback.next()
        assert (item.WhichOneof("item"), item.revoked.reason) == ("revoked", "GRANT_REVOKED")
        assert await playback.next() is None
        (closed,) = world.log.of("footage.playback.closed")
        assert (closed.reason, closed.details["delivered_fragments"]) == ("GRANT_REVOKED", "1")


async def test_a_lost_push_is_caught_by_asking(running: World) -> None:
    """A playback whose case is closed ends with the next question to access-control, without any push."""
    await running.recorded()
    playback = await running.open().open()
    await playback.next()
    await playback.next()
    running.policy.refusal = "CASE_CLOSED"
    item = await playback.next()
    assert (item.WhichOneof("item"), item.revoked.reason) == ("revoked", "CASE_CLOSED")


async def test_an_expiring_grant_ends_the_stream(running: World) -> None:
    """A playback ends when its grant expires."""
    await running.recorded()
    playback = await running.open().open()
    await playback.next()
    await playback.next()
    await running.clock.advance(timedelta(hours=2))
    assert (await playback.next()).revoked.reason == "GRANT_EXPIRED"


async def test_silence_of_access_control_ends_the_stream(world: World) -> None:
    """An open playback that nobody confirms any more fails closed."""
    async with world.service(recheck_limit_seconds=0.2):
        await world.recorded()
        playback = await world.open().open()
        await playback.next()
        await playback.next()
        world.policy.away = True
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await playback.next()
        assert reason_of(caught.value) == "DEPENDENCY_UNAVAILABLE"


async def test_no_more_than_the_credits_are_sent(running: World) -> None:
    """One fragment is sent at opening, one for each credit, and a fourth credit at once is not counted."""
    await running.recorded(START, START + timedelta(seconds=6))
    playback = await running.open(seconds=12).open()
    await playback.next()
    await playback.next()
    await playback.credit(100)
    for _ in range(3):
        assert (await playback.next()).WhichOneof("item") == "fragment"
    playback.call.cancel()
    (closed,) = await eventually(lambda: running.log.of("footage.playback.closed"), what="the closing entry")
    assert closed.details["delivered_fragments"] == "4"


async def test_a_client_that_stops_giving_credits_is_told(running: World) -> None:
    """A client that ends its requests too early gets an error, not footage that looks complete."""
    await running.recorded()
    playback = await running.open().open()
    await playback.call.done_writing()
    await playback.next()
    await playback.next()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await playback.next()
    assert reason_of(caught.value) == "WRONG_STATE"


async def test_requests_out_of_order_are_refused(running: World) -> None:
    """A stream that does not begin with `open`, or opens twice, is refused."""
    playback = running.open()
    await playback.credit()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await playback.next()
    assert reason_of(caught.value) == "INVALID_FIELD"
    await running.recorded()
    again = await running.open().open()
    await again.next()
    await again.open()
    await again.next()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await again.next()
    assert reason_of(caught.value) == "INVALID_FIELD"


async def test_altered_bytes_are_never_served(running: World) -> None:
    """One flipped bit in the store ends the read with INTEGRITY, and is in the log."""
    (made,) = await running.recorded()
    altered = bytearray(made.payload)
    altered[made.index.fragments[1].offset + 250] ^= 1
    await running.bucket.put(made.key, bytes(altered))
    playback = await running.open().open()
    await playback.credit(2)
    assert [(await playback.next()).WhichOneof("item") for _ in range(2)] == ["init", "fragment"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await playback.next()
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.DATA_LOSS, "INTEGRITY")
    (failed,) = running.log.of("footage.integrity.failed")
    assert made.index.segment_id in failed.details["why"]


async def test_a_seal_that_is_not_the_recorders_is_refused(running: World) -> None:
    """Footage whose seal does not verify, or whose fragments do not lead to it, is not served."""
    await running.order()
    recorder = running.recorder()
    recorder.leaves["20260601T12"] = []
    made = await recorder.segment(START, upload=False)
    seal = made.index.seal.model_copy(update={"root": "00" * 32})
    forged = type(made)(running, made.index.model_copy(update={"seal": seal}), made.payload, made.plains)
    await forged.upload()
    await forged.publish()
    await running.facts("segment.stored")
    status, reason = await running.open().refused()
    assert (status, reason) == (grpc.StatusCode.DATA_LOSS, "BAD_SIGNATURE")
    assert running.log.of("footage.hour.sealed") == []


async def test_missing_time_is_said(running: World) -> None:
    """Time without footage comes as gaps and edges in its place."""
    await running.recorded(START, START + timedelta(seconds=10))
    await running.clock.advance(timedelta(minutes=5))
    items = await running.open(START - timedelta(seconds=5), 30).all()
    kinds = [item.WhichOneof("item") for item in items]
    assert kinds == ["edge", "init", *["fragment"] * 3, "gap", *["fragment"] * 3, "gap"]
    assert items[0].edge.reason == 2  # HOURS: the mandate was approved at START
    assert items[5].gap.cause == 0


async def test_time_outside_the_grant_is_an_edge(running: World) -> None:
    """A request that reaches outside the grant is answered for the part inside, and says so for the rest."""
    await running.recorded()
    token = running.token(**{"from": "2026-06-01T12:30:02.000Z", "to": "2026-06-01T12:30:06.000Z"})
    items = await running.open(token=token).all()
    assert [item.WhichOneof("item") for item in items] == ["edge", "init", "fragment", "fragment"]
    assert items[0].edge.reason == 1


async def test_overlapping_recorders_are_served_once(running: World) -> None:
    """Where two recorders overlapped, both are listed and the newer lease's footage is shown."""
    await running.recorded()
    other = running.recorder(fencing_token=2, run="01RUN2", epoch=running.recorder().epoch + 1)
    made = await other.segment(START)
    await made.publish()
    await running.facts("segment.stored", 2)
    items = await running.open().all()
    shown = [INIT + item.fragment.bytes for item in items if item.WhichOneof("item") == "fragment"]
    assert shown == made.plains


async def test_expired_fragments_are_not_served_before_deletion_ran(running: World) -> None:
    """A fragment is refused when its own age reaches the retention, while its hour's key still exists."""
    await running.recorded()
    await running.clock.advance(timedelta(hours=72, seconds=2))
    window = {"from": "2026-06-01T12:00:00Z", "to": "2026-06-01T13:00:00Z"}
    items = await running.open(token=running.token(**window)).all()
    assert [item.WhichOneof("item") for item in items] == ["edge", "init", "fragment"]
    assert items[0].edge.reason == 3


async def test_a_missing_object_is_data_loss(running: World) -> None:
    """Footage whose object vanished is an alarm, not a quiet gap."""
    (made,) = await running.recorded()
    await running.bucket.delete(made.key)
    status, reason = await running.open().refused()
    assert (status, reason) == (grpc.StatusCode.DATA_LOSS, "OBJECT_MISSING")


async def test_an_unfit_request_is_refused(running: World) -> None:
    """A request that cannot be a camera is NOT_FOUND; an empty or endless interval is INVALID_FIELD."""
    assert (await running.open(camera="*").refused())[1] == "NOT_FOUND"
    assert (await running.open(seconds=0).refused())[1] == "INVALID_FIELD"
    assert (await running.open(seconds=86_401).refused())[1] == "INVALID_FIELD"


async def test_stopping_the_service_closes_open_playbacks(world: World) -> None:
    """A service that stops writes the closing entry of every open playback."""
    async with world.service():
        await world.recorded()
        playback = await world.open().open()
        await playback.next()
        await playback.next()
    assert len(world.log.of("footage.playback.closed")) == 1
    assert CAMERA in world.log.of("footage.playback.closed")[0].object
