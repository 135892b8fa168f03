"""The running service: durable appends, proofs that hold, search for those who may, facts from JetStream."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from lykta.audit.v1 import log_service_pb2 as pb
from lykta_audit import merkle
from lykta_common.identity import bearer_metadata
from lykta_contracts.audit import AuditRecord, leaf_bytes
from lykta_contracts.events import AuditObserved, CheckpointPublished, new_event, read_event
from lykta_testing.platform import eventually, open_platform
from lykta_verify.log import verify_log
from lykta_verify.note import VerifierKey, open_checkpoint


async def refused(call: Any) -> tuple[str, str]:
    """Await a call that must be refused; give its code and reason."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    metadata = dict(caught.value.trailing_metadata() or ())
    return caught.value.code().name, str(metadata.get("lykta-reason", ""))


async def test_appends_get_receipts_and_are_published_provably(harness: Any, tmp_path: Path) -> None:
    """300 records get dense places, a signed checkpoint within the wait, and every proof leads to it."""
    async with harness.service(), harness.stub() as stub:
        response = await stub.Append(harness.batch(0, 300))
        assert [receipt.index for receipt in response.receipts] == list(range(300))
        assert response.receipts[7].leaf_hash == merkle.leaf_hash(leaf_bytes(harness.record(7)))
        assert response.receipts[7].origin == "test.lykta.example/log"
        published = await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=300))
        assert published.verifier_key == harness.vkey
        checkpoint = open_checkpoint(published.checkpoint.encode(), VerifierKey.parse(harness.vkey))
        for index in (0, 7, 255, 256, 299):
            proof = await stub.GetInclusionProof(pb.GetInclusionProofRequest(index=index))
            root = merkle.root_from_inclusion(proof.leaf_hash, index, proof.tree_size, list(proof.hashes))
            assert (root, proof.tree_size) == (checkpoint.root, 300)
        await stub.Append(harness.batch(300, 310))
        newer = await stub.GetCheckpoint(pb.GetCheckpointRequest(min_size=310))
        newer_root = open_checkpoint(newer.checkpoint.encode(), VerifierKey.parse(harness.vkey)).root
        proof = await stub.GetConsistencyProof(pb.GetConsistencyProofRequest(old_size=300))
        assert merkle.consistency_holds(300, 310, checkpoint.root, newer_root, list(proof.hashes))
        log = await harness.download(tmp_path / "log")
        report = verify_log(log, harness.vkey, published.checkpoint.encode())
        assert report.holds, report.text()
        assert report.facts["size"] == 310


async def test_appends_are_idempotent_and_whole(harness: Any) -> None:
    """The same records again get the same receipts; a used id with another content refuses its whole request."""
    async with harness.service(), harness.stub() as stub:
        first = await stub.Append(harness.batch(0, 5))
        assert (await stub.Append(harness.batch(0, 5))).receipts == first.receipts
        clash = pb.AppendRequest(
            records=[harness.message(harness.record(9)), harness.message(harness.record(2, reason="ROLE"))]
        )
        assert await refused(stub.Append(clash)) == ("FAILED_PRECONDITION", "CONFLICT")
        assert (await stub.Append(harness.batch(9, 10))).receipts[0].index == 5


async def test_concurrent_appends_share_transactions(harness: Any) -> None:
    """200 appends at once all get places of their own."""
    async with harness.service(), harness.stub() as stub:
        responses = await asyncio.gather(*(stub.Append(harness.batch(n, n + 1)) for n in range(200)))
        assert sorted(response.receipts[0].index for response in responses) == list(range(200))


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"result": "maybe"}, "result"), ({"entry_id": ""}, "entry_id"), ({"action": ""}, "action")],
)
async def test_malformed_records_are_refused(harness: Any, changes: dict[str, str], why: str) -> None:
    """A record with a bad field is refused with the field's name, and so is an empty or overlong append."""
    async with harness.service(), harness.stub() as stub:
        item = harness.message(harness.record(1))
        for name, value in changes.items():
            setattr(item, name, value)
        with pytest.raises(grpc.aio.AioRpcError, match=why):
            await stub.Append(pb.AppendRequest(records=[item]))
        assert await refused(stub.Append(pb.AppendRequest())) == ("INVALID_ARGUMENT", "INVALID_FIELD")
        assert await refused(stub.Append(harness.batch(0, 1001))) == ("INVALID_ARGUMENT", "INVALID_FIELD")
        item = harness.message(harness.record(1))
        item.details["long"] = "x" * 70_000
        assert await refused(stub.Append(pb.AppendRequest(records=[item]))) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_only_services_append(harness: Any) -> None:
    """Neither the command line nor a test tool may write into the log."""
    async with harness.service():
        for workload in ("cli", "test-tool"):
            async with harness.stub(workload) as stub:
                assert await refused(stub.Append(harness.batch(0, 1))) == ("PERMISSION_DENIED", "WORKLOAD")


async def test_search_narrows_and_pages(harness: Any) -> None:
    """A person who may finds the controller's records by every field, newest first, page by page."""
    dpo = bearer_metadata("dpo")
    async with harness.service(), harness.stub() as stub, harness.stub("cli") as cli:
        await stub.Append(harness.batch(0, 30))
        foreign = [harness.message(harness.record(100 + n, controller="bolaget")) for n in range(5)]
        await stub.Append(pb.AppendRequest(records=foreign))

        async def find(**fields: Any) -> list[int]:
            found = await cli.Search(pb.SearchRequest(controller="ks", **fields), metadata=dpo)
            return [int(item.record.details["number"]) for item in found.records if "number" in item.record.details]

        assert await find(action="footage.playback.opened", page_size=3) == [29, 28, 27]
        assert await find(case_id="case_1") == list(range(28, 0, -3))
        assert await find(action="footage.playback.") == list(range(29, -1, -1))
        assert await find(action="footage.playback") == []
        assert await find(actor_id="somebody") == []
        assert await find(object="camera/torg-1", case_id="case_0", page_size=1) == [27]
        interval = pb.SearchRequest(controller="ks")
        getattr(interval, "from").FromDatetime(harness.record(10).occurred_at)
        interval.to.FromDatetime(harness.record(12).occurred_at)
        found = await cli.Search(interval, metadata=dpo)
        assert [item.record.entry_id for item in found.records] == ["aud_11", "aud_10"]
        pages, token = [], ""
        while not pages or token:
            request = pb.SearchRequest(controller="ks", case_id="case_2", page_size=4, page_token=token)
            page = await cli.Search(request, metadata=dpo)
            pages.append([item.index for item in page.records])
            token = page.next_page_token
        assert [len(page) for page in pages] == [4, 4, 2]
        assert [index for page in pages for index in page] == list(range(29, 0, -3))


async def test_search_is_for_those_who_may(harness: Any) -> None:
    """Without a token, with a wrong one, in another's controller, with the wrong role: refused, each in its way."""
    async with harness.service(), harness.stub() as stub, harness.stub("cli") as cli:
        await stub.Append(harness.batch(0, 3))
        request = pb.SearchRequest(controller="ks")
        other = pb.SearchRequest(controller="bolaget")
        assert await refused(cli.Search(request)) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
        wrong = bearer_metadata("stolen")
        assert await refused(cli.Search(request, metadata=wrong)) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
        operator = bearer_metadata("operator")
        assert await refused(cli.Search(request, metadata=operator)) == ("PERMISSION_DENIED", "ROLE")
        dpo = bearer_metadata("dpo")
        assert await refused(cli.Search(other, metadata=dpo)) == ("NOT_FOUND", "NOT_FOUND")
        none = await refused(cli.Search(pb.SearchRequest(), metadata=dpo))
        assert none == ("INVALID_ARGUMENT", "INVALID_FIELD")
        bad_token = pb.SearchRequest(controller="ks", page_token="x")
        assert await refused(cli.Search(bad_token, metadata=dpo)) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_looks_into_the_log_are_logged(harness: Any) -> None:
    """Each search, allowed or denied, is an entry with person and result, written before it is answered."""
    async with harness.service(), harness.stub("cli") as cli:
        await cli.Search(pb.SearchRequest(controller="ks", case_id="case_1"), metadata=bearer_metadata("dpo"))
        await refused(cli.Search(pb.SearchRequest(controller="ks"), metadata=bearer_metadata("operator")))
        request = pb.SearchRequest(controller="ks", action="audit.searched")
        found = await cli.Search(request, metadata=bearer_metadata("dpo"))
        seen = [(item.record.actor.id, item.record.result, item.record.reason) for item in found.records]
        assert seen == [("anna", "allowed", ""), ("bo", "denied", "ROLE"), ("anna", "allowed", "")]
        assert dict(found.records[2].record.details) == {"case": "case_1"}


async def test_entries_are_read_by_place_and_id(harness: Any) -> None:
    """An entry comes with its exact leaf for those who may; a sealed hour's for any workload; others' do not exist."""
    sealed = {"controller": "bolaget", "action": "footage.hour.sealed"}
    async with harness.service(), harness.stub() as stub, harness.stub("cli") as cli:
        records = [harness.record(0), harness.record(1, controller="bolaget"), harness.record(2, **sealed)]
        await stub.Append(pb.AppendRequest(records=[harness.message(item) for item in records]))
        dpo = bearer_metadata("dpo")
        entry = await cli.GetEntry(pb.GetEntryRequest(entry_id="aud_0"), metadata=dpo)
        assert (entry.leaf, entry.record.index) == (leaf_bytes(records[0]), 0)
        assert entry.record.record == harness.message(records[0])
        by_place = await cli.GetEntry(pb.GetEntryRequest(index=0), metadata=dpo)
        assert by_place.leaf == entry.leaf
        assert (await cli.GetEntry(pb.GetEntryRequest(entry_id="aud_2"))).leaf == leaf_bytes(records[2])
        assert await refused(cli.GetEntry(pb.GetEntryRequest(index=0))) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
        for request in (pb.GetEntryRequest(index=1), pb.GetEntryRequest(index=999), pb.GetEntryRequest(entry_id="x")):
            assert await refused(cli.GetEntry(request, metadata=dpo)) == ("NOT_FOUND", "NOT_FOUND")


async def test_proofs_are_given_for_published_trees_only(harness: Any) -> None:
    """Sizes and places outside what is published are refused."""
    async with harness.service(), harness.stub("cli") as cli:
        empty = await cli.GetCheckpoint(pb.GetCheckpointRequest())
        assert (empty.size, empty.checkpoint) == (0, "")
        async with harness.stub() as stub:
            await stub.Append(harness.batch(0, 4))
        await cli.GetCheckpoint(pb.GetCheckpointRequest(min_size=4))
        for request in (
            cli.GetInclusionProof(pb.GetInclusionProofRequest(index=4)),
            cli.GetInclusionProof(pb.GetInclusionProofRequest(index=-1)),
            cli.GetInclusionProof(pb.GetInclusionProofRequest(index=0, tree_size=5)),
            cli.GetConsistencyProof(pb.GetConsistencyProofRequest(old_size=3, new_size=2)),
            cli.GetConsistencyProof(pb.GetConsistencyProofRequest(old_size=0, new_size=-1)),
        ):
            assert await refused(request) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_observed_facts_become_entries_once(harness: Any) -> None:
    """A fact on JetStream is logged; the same fact under another message id is not logged twice."""
    async with open_platform("ingest") as platform, harness.service(), harness.stub("cli") as cli:
        await _publish(harness, platform, [(harness.record(1), "m1"), (harness.record(1), "m2")])
        await _publish(harness, platform, [(harness.record(2), "m3")])
        await cli.GetCheckpoint(pb.GetCheckpointRequest(min_size=2), timeout=20)
        entry = await cli.GetEntry(pb.GetEntryRequest(entry_id="aud_1"), metadata=bearer_metadata("dpo"))
        assert entry.leaf == leaf_bytes(harness.record(1))
        await eventually(lambda: _waiting(harness), what="the empty consumer")
        numbers = await cli.Search(
            pb.SearchRequest(controller="ks", action="footage.playback.opened"), metadata=bearer_metadata("dpo")
        )
        assert sorted(item.record.entry_id for item in numbers.records) == ["aud_1", "aud_2"]


async def test_one_that_stands_by_holds_up_no_fact(harness: Any) -> None:
    """Two processes read the facts and one of them writes: the other lets it have what it was given, at once."""
    async with (
        open_platform("ingest") as platform,
        harness.service("0"), harness.service("1", ready=False), harness.stub("cli") as cli,
    ):  # fmt: skip
        await _publish(harness, platform, [(harness.record(0), "m0")])
        await cli.GetCheckpoint(pb.GetCheckpointRequest(min_size=1), timeout=20)
        for number in range(1, 41):
            await _publish(harness, platform, [(harness.record(number), f"m{number}")])
        await cli.GetCheckpoint(pb.GetCheckpointRequest(min_size=41), timeout=10)
        await eventually(lambda: _waiting(harness), what="the empty consumer")


async def test_poison_goes_to_the_dead_letters_and_does_not_block(harness: Any) -> None:
    """Garbage and a contradicting fact are dead-lettered with their reason; the facts after them are logged."""
    async with open_platform("ingest") as platform, harness.service(), harness.stub("cli") as cli:
        await _publish(harness, platform, [(harness.record(1), "m1")])
        await cli.GetCheckpoint(pb.GetCheckpointRequest(min_size=1), timeout=20)
        client = await _client(harness)
        try:
            jetstream = client.jetstream()
            await jetstream.publish("lykta.v1.ks.audit.observed", b"\x00garbage")
            await _publish(harness, platform, [(harness.record(1, reason="ROLE"), "m2"), (harness.record(2), "m3")])
            await cli.GetCheckpoint(pb.GetCheckpointRequest(min_size=2), timeout=20)
            dead = await jetstream.subscribe("lykta.v1.*.deadletter.AUDIT.audit-observed", ordered_consumer=True)
            reasons = {(await dead.next_msg(timeout=10)).headers["Lykta-Reason"] for _ in range(2)}
            assert reasons == {"INVALID_FIELD", "CONFLICT"}
        finally:
            await client.close()


async def test_a_published_checkpoint_is_told(harness: Any) -> None:
    """Every checkpoint becomes an event with the signed note itself."""
    async with harness.service(), harness.stub() as stub:
        await stub.Append(harness.batch(0, 2))
        client = await _client(harness)
        try:
            told = await client.jetstream().subscribe("lykta.v1.platform.checkpoint.published", ordered_consumer=True)
            _, data = read_event((await told.next_msg(timeout=10)).data)
        finally:
            await client.close()
        assert isinstance(data, CheckpointPublished)
        opened = open_checkpoint(data.checkpoint.encode(), VerifierKey.parse(harness.vkey))
        assert (opened.size, opened.root.hex(), opened.origin) == (data.size, data.root, data.origin)


async def _client(harness: Any) -> Any:
    """Connect to NATS as the hand of the test."""
    import nats
    from lykta_common.tls import client_context

    backbone = harness.backbone
    return await nats.connect(
        harness.settings().nats_url,
        user="test",
        password=backbone.password_file("test").read_text().strip(),
        tls=client_context(backbone.tls("test")),
    )


async def _publish(harness: Any, platform: Any, facts: list[tuple[AuditRecord, str]]) -> None:
    """State facts on JetStream as another service would."""
    client = await _client(harness)
    try:
        for item, message_id in facts:
            event = new_event(AuditObserved(record=item), message_id, "/lykta/ingest/0", platform.clock.now())
            await client.jetstream().publish(event.subject, event.to_json(), headers={"Nats-Msg-Id": event.id})
    finally:
        await client.close()


async def _waiting(harness: Any) -> bool:
    """Tell whether the consumer has nothing left."""
    client = await _client(harness)
    try:
        info = await client.jetstream().consumer_info("AUDIT", "audit-observed")
        return info.num_pending == 0 and info.num_ack_pending == 0
    finally:
        await client.close()
