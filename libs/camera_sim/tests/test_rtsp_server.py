"""The RTSP door: methods, refusals, credentials, descriptions, time-outs."""

import asyncio
import ssl

import pytest
from lykta_camera_sim import CameraSimulator, CameraSpec, SdpOptions
from lykta_camera_sim.video import load_video

USER = {"username": "op", "password": "hem:ligt å"}


async def test_describe_tells_the_codec(clip, connect):
    """The description names H.264, profile, mode and parameter sets, and no sound."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        client = await connect(sim.url("torg"))
        assert "DESCRIBE" in (await client.ask("OPTIONS")).header("public")
        answer = await client.ask("DESCRIBE", Accept="application/sdp")
    assert answer.header("content-base") == sim.url("torg") + "/"
    for part in ("a=rtpmap:96 H264/90000", "packetization-mode=1", "profile-level-id=", "sprop-parameter-sets=Z"):
        assert part in answer.body
    assert "m=audio" not in answer.body


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        (SdpOptions(codec="H265"), "a=rtpmap:96 H265/90000", "H264"),
        (SdpOptions(profile_level_id="640028"), "profile-level-id=640028", "profile-level-id=42"),
        (SdpOptions(audio=True), "m=audio 0 RTP/AVP 0", "x-pad"),
        (SdpOptions(with_parameter_sets=False, packetization_mode=None), "profile-level-id", "sprop"),
        (SdpOptions(replacement="v=0\r\nnonsense"), "nonsense", "m=video"),
    ],
)
async def test_descriptions_can_lie(clip, connect, options, present, absent):
    """Each override changes what the description says."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, sdp=options)]) as sim:
        body = (await (await connect(sim.url("torg"))).ask("DESCRIBE")).body
    assert present in body
    assert absent not in body


async def test_oversized_description(clip, connect):
    """A padded description is at least as large as asked and still describes the video."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, sdp=SdpOptions(padding_bytes=300_000))]) as sim:
        body = (await (await connect(sim.url("torg"))).ask("DESCRIBE")).body
    assert len(body) > 300_000
    assert "m=video" in body


async def test_audio_set_up_is_counted_and_silent(clip, connect):
    """A client that takes the sound track is found out, and gets nothing on it."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, sdp=SdpOptions(audio=True))]) as sim:
        client = await connect(sim.url("torg"))
        assert (await client.ask("SETUP", "/trackID=1", Transport="RTP/AVP/TCP;interleaved=2-3")).status == 200
        await client.play()
        await client.receive(lambda c: len(c.frames()) >= 3)
        assert (sim.stats("torg").audio_setups, sim.stats("torg").video_setups) == (1, 1)
    assert {channel for channel, _ in client.packets} == {0, 1}


@pytest.mark.parametrize(
    "transport", ["RTP/AVP;unicast;client_port=5000-5001", "RTP/AVP/UDP", "", "RTP/AVP/TCP;interleaved=x"]
)
async def test_udp_is_refused(clip, connect, transport):
    """Anything but interleaved TCP gets 461, and the client may then ask for TCP."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        client = await connect(sim.url("torg"))
        assert (await client.ask("SETUP", "/trackID=0", Transport=transport)).status == 461
        assert (await client.play("RTP/AVP;client_port=1-2,RTP/AVP/TCP;unicast")).status == 200


async def test_order_of_methods_is_kept(clip, connect):
    """What comes out of order, or names an unknown session, method, track or camera, is refused; TEARDOWN ends."""
    cameras = [CameraSpec("torg", clip), CameraSpec("bro", clip)]
    async with CameraSimulator(cameras=cameras) as sim:
        client = await connect(sim.url("torg"))
        assert (await client.ask("PLAY")).status == 455
        assert (await client.ask("TEARDOWN")).status == 454
        assert (await client.ask("RECORD")).status == 405
        assert (await client.ask("SETUP", "/trackID=7", Transport="RTP/AVP/TCP")).status == 404
        await client.play()
        assert (await client.ask("GET_PARAMETER", Session=client.session)).status == 200
        assert (await client.ask("PLAY", Session="0" * 16)).status == 454
        client.url = sim.url("bro")
        assert (await client.ask("DESCRIBE")).status == 455
        client.url = sim.url("torg")
        assert (await client.ask("TEARDOWN", Session=client.session)).status == 200
        assert sim.state("torg")["viewers"] == 0
        client.url = client.url.replace("/torg", "/ingen")
        assert (await client.ask("DESCRIBE")).status == 404


@pytest.mark.parametrize(
    "data",
    [b"HELLO\r\n\r\n", b"DESCRIBE rtsp://x/torg RTSP/1.0\r\nno colon\r\n\r\n", b"A" * 20_000, b"\x80\x01\x02\r\n\r\n"],
)
async def test_garbage_is_answered_and_dropped(clip, connect, data):
    """Bytes that are no request get 400 and the connection is closed; other clients go on."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        other = await connect(sim.url("torg"))
        await other.play()
        client = await connect(sim.url("torg"))
        assert (await client.send_raw(data)).status == 400
        assert await asyncio.wait_for(client.reader.read(), 5) == b""
        seen = len(other.frames())
        await other.receive(lambda c: len(c.frames()) > seen)


async def test_requests_may_come_in_pieces_with_packets_between(clip, connect):
    """A request split over reads, after an interleaved RTCP packet from the client, is answered."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        client = await connect(sim.url("torg"))
        client.writer.write(b"$\x01\x00\x04abcdOPTIONS " + sim.url("torg").encode())
        await client.writer.drain()
        assert (await client.send_raw(b" RTSP/1.0\r\nCSeq: 9\r\n\r\n")).header("cseq") == "9"
        assert (await client.send_raw(b"OPTIONS * RTSP/1.0\r\nCSeq: 10\r\n\r\n")).status == 200
        assert (await client.send_raw(b"OPTIONS * RTSP/2.0\r\nCSeq: 11\r\n\r\n")).status == 505


@pytest.mark.parametrize("auth", ["basic", "digest", "digest-qop", "digest-sha256", "digest-sha256+digest+basic"])
async def test_credentials_are_checked(clip, connect, make_digest, make_basic, auth):
    """Without or with wrong credentials 401 and the challenges in order; with the right ones 200."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, auth=auth, **USER)]) as sim:
        client = await connect(sim.address("torg"))
        refused = await client.ask("DESCRIBE")
        challenges = refused.headers["www-authenticate"]
        assert refused.status == 401
        assert len(challenges) == auth.count("+") + 1

        def answer(challenge, password):
            if challenge.startswith("Basic"):
                return make_basic("op", password)
            return make_digest(challenge, "DESCRIBE", client.url, "op", password)

        for challenge in challenges:
            assert (await client.ask("DESCRIBE", Authorization=answer(challenge, "fel"))).status == 401
            assert (await client.ask("DESCRIBE", Authorization=answer(challenge, USER["password"]))).status == 200
        assert sim.stats("torg").auth_failures == 1 + len(challenges)


async def test_wrong_scheme_or_address_is_refused(clip, connect, make_digest, make_basic):
    """Basic where only Digest is offered, a nonce never given, and a digest for another address are refused."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, auth="digest", **USER)]) as sim:
        client = await connect(sim.address("torg"))
        challenge = (await client.ask("DESCRIBE")).header("www-authenticate")
        invented = challenge.replace('nonce="', 'nonce="0')
        for value in (
            make_basic(*USER.values()),
            make_digest(invented, "DESCRIBE", client.url, *USER.values()),
            make_digest(challenge, "DESCRIBE", client.url + "x", *USER.values()),
            make_digest(challenge, "SETUP", client.url, *USER.values()),
            'Digest nonsense, qop="auth"',
            "Basic %%%",
        ):
            assert (await client.ask("DESCRIBE", Authorization=value)).status == 401


async def test_stale_nonce_is_named(clip, connect, make_digest):
    """After the nonces expire a right answer to an old one is refused as stale, and the new nonce works."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, auth="digest", **USER)]) as sim:
        client = await connect(sim.address("torg"))
        challenge = (await client.ask("DESCRIBE")).header("www-authenticate")
        sim.fault("torg", "stale")
        value = make_digest(challenge, "DESCRIBE", client.url, *USER.values())
        refused = await client.ask("DESCRIBE", Authorization=value)
        assert refused.status == 401
        assert "stale=true" in refused.header("www-authenticate")
        value = make_digest(refused.header("www-authenticate"), "DESCRIBE", client.url, *USER.values())
        assert (await client.ask("DESCRIBE", Authorization=value)).status == 200


async def test_addresses_with_and_without_credentials(clip):
    """``url`` quotes user and password, ``address`` has neither."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, **USER)]) as sim:
        assert sim.url("torg") == f"rtsp://op:hem%3Aligt%20%C3%A5@127.0.0.1:{sim.port}/torg"
        assert sim.address("torg") == f"rtsp://127.0.0.1:{sim.port}/torg"


@pytest.mark.parametrize(
    ("status", "location", "header"),
    [(404, None, ""), (401, None, "Digest"), (302, "rtsp://127.0.0.9/x", ""), (503, None, "")],
)
async def test_cameras_can_refuse(clip, connect, status, location, header):
    """DESCRIBE answers with the given status, a redirect with its target, 401 with a challenge."""
    spec = CameraSpec("torg", clip, answer_status=status, redirect_to=location)
    async with CameraSimulator(cameras=[spec]) as sim:
        answer = await (await connect(sim.url("torg"))).ask("DESCRIBE")
    assert (answer.status, answer.header("location")) == (status, location or "")
    assert answer.header("www-authenticate").startswith(header)
    assert bool(answer.header("www-authenticate")) == bool(header)


async def test_silent_clients_are_dropped(clip, connect):
    """A client that sends nothing for the session's time-out loses its connection; the header tells the time."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, session_timeout_s=1)]) as sim:
        client = await connect(sim.url("torg"))
        assert (await client.play()).header("session").endswith(";timeout=1")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.receive(lambda c: False)
        assert sim.state("torg")["viewers"] == 0


async def test_too_many_clients_are_refused(clip, connect):
    """A camera at its limit of sessions answers 453."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip, max_sessions=1)]) as sim:
        await (await connect(sim.url("torg"))).play()
        second = await connect(sim.url("torg"))
        assert (await second.ask("SETUP", "/trackID=0", Transport="RTP/AVP/TCP")).status == 453


async def test_leaving_the_context_closes_connections(clip, connect):
    """After the simulator is left nothing is connected and the port is closed."""
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)]) as sim:
        client = await connect(sim.url("torg"))
        await client.play()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.receive(lambda c: False)
    with pytest.raises(OSError):
        await connect(sim.url("torg"))


async def test_over_tls(clip, connect, tls_pair):
    """With a certificate the camera is ``rtsps`` and sends the same pictures."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*tls_pair)
    async with CameraSimulator(cameras=[CameraSpec("torg", clip)], tls=server) as sim:
        assert sim.address("torg").startswith("rtsps://")
        client = await connect(sim.url("torg"), ssl.create_default_context(cafile=tls_pair[0]))
        await client.play()
        await client.receive(lambda c: len(c.frames()) >= 5)
    assert client.frames()[0][1] == list(load_video(clip).units[0].nals)
