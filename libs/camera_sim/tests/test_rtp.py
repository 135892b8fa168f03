"""Packets put together again are the NAL units, whatever their size."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_camera_sim.rtp import FrameTemplate, SentSoFar, packetise, payloads, sender_report
from lykta_camera_sim.video import load_video

NAL = st.builds(
    lambda head, body: bytes((head,)) + body,
    st.sampled_from((0x65, 0x41, 0x06, 0x67, 0x68, 0x09)),
    st.binary(max_size=400),
)


@given(st.lists(NAL, min_size=1, max_size=8), st.integers(64, 300), st.booleans())
def test_payloads_hold_the_same_nals(put_together, nals, limit, aggregate):
    """No payload exceeds the limit, and a depacketiser gets every byte back."""
    parts = payloads(tuple(nals), limit, aggregate)
    assert max(len(part) for part in parts) <= limit
    assert put_together(parts) == nals
    if not aggregate:
        assert all(part[0] & 31 != 24 for part in parts)


@pytest.mark.parametrize("size", [65_535, 65_536, 200_000])
def test_large_nal_is_fragmented(put_together, size):
    """A NAL unit beyond 64 KiB travels in fragments, with one start and one end."""
    nal = b"\x65" + bytes(range(1, 256)) * (size // 255 + 1)
    parts = payloads((nal[:size],), 1400)
    assert put_together(parts) == [nal[:size]]
    assert [part[1] >> 6 for part in parts] == [2] + [0] * (len(parts) - 2) + [1]


def test_stamp_fills_every_header(clip):
    """Sequence numbers go on over the wrap, time, source and channel are the same in all packets of a frame."""
    frame = packetise(load_video(clip), 200).frames[0]
    packets = frame.packets(frame.stamp(65_534, 77, 0xABCDEF01, 4))
    assert len(packets) > 3
    for index, packet in enumerate(packets):
        magic, channel, length, first, second, sequence, timestamp, source = struct.unpack_from(">BBHBBHII", packet)
        assert (magic, channel, length, first) == (0x24, 4, len(packet) - 4, 0x80)
        assert (sequence, timestamp, source) == ((65_534 + index) & 0xFFFF, 77, 0xABCDEF01)
        assert second == 96 | (0x80 if packet is packets[-1] else 0)


def test_stamp_leaves_the_template_alone(clip):
    """Many clients use one template, so stamping must not change it."""
    frame: FrameTemplate = packetise(load_video(clip)).frames[0]
    assert frame.stamp(1, 2, 3, 0) == frame.stamp(1, 2, 3, 0) != frame.stamp(2, 2, 3, 0)


def test_sender_report_says_the_time():
    """The report carries NTP time to a microsecond, the RTP time of the same instant, and both counts (RFC 3550)."""
    data = sender_report(7, 1_700_000_000.25, 99, SentSoFar(3, 4000), 1)
    magic, channel, length = struct.unpack_from(">BBH", data)
    assert (magic, channel, length) == (0x24, 1, len(data) - 4)
    kind, source, seconds, fraction, rtp, packets, octets = struct.unpack_from(">xBxxIIIIII", data, 4)
    assert (kind, source, rtp, packets, octets) == (200, 7, 99, 3, 4000)
    assert seconds - 2_208_988_800 + fraction / 2**32 == pytest.approx(1_700_000_000.25, abs=1e-6)
    assert data[4 + 28 + 1] == 202
    assert int.from_bytes(data[4 + 30 : 4 + 32], "big") * 4 + 4 == len(data) - 4 - 28
