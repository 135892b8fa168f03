"""The depacketizer gives back what was sent, and marks whatever it could not."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lykta_ingest.media import MediaBuffer
from lykta_ingest.rtp import B_SLICE, DAMAGED, KEY, MAX_NAL_BYTES, NEW_PARAMETERS, H264Depacketizer

Unit = tuple[int, bytes, int]


class Gatherer:
    """Takes access units out of the buffer, as plain values."""

    def __init__(self) -> None:
        self.buffer = MediaBuffer()
        self.units: list[Unit] = []

    def access_unit(self, timestamp: int, start: int, flags: int) -> None:
        """Keep one access unit and cut it off the buffer."""
        self.units.append((timestamp, bytes(self.buffer.view[start : self.buffer.end]), flags))
        self.buffer.end = start


def depacketize(stream: bytes, cuts: list[int] | None = None) -> tuple[list[Unit], H264Depacketizer]:
    """Feed a byte stream, cut where asked, and return (time stamp, AVCC bytes, flags) of every access unit."""
    gatherer = Gatherer()
    depacketizer = H264Depacketizer(gatherer, 96)
    view = memoryview(bytearray(stream))
    position = 0
    for end in [*sorted(cuts or []), len(stream)]:
        position = depacketizer.feed(view, position, end, 0)
    return gatherer.units, depacketizer


def avcc(nals: list[bytes]) -> bytes:
    """Return NAL units with 4-byte lengths."""
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


def split(data: bytes) -> list[bytes]:
    """Return the NAL units of AVCC bytes."""
    nals = []
    while data:
        size = int.from_bytes(data[:4], "big")
        nals.append(data[4 : 4 + size])
        data = data[4 + size :]
    return nals


def nal(kind: int, size: int, seed: int = 1, first: int = 0xE0) -> bytes:
    """Return a NAL unit of that type and size with reproducible content; `first` begins its slice header."""
    body = random.Random(seed).randbytes(max(0, size - 2))
    return bytes((0x60 | kind, first)) + body


def sample_units() -> list[list[bytes]]:
    """Return access units as a camera makes them: a key frame with parameter sets and SEI, then P frames."""
    key = [b"\x67\x64\x00\x1f\xac\xd9\x40\x50", b"\x68\xeb\xe3\xcb", nal(6, 40), nal(5, 9000, 2, 0xB8)]
    return [key, *([nal(1, 300 + 700 * i, 10 + i)] for i in range(6)), key, [nal(1, 150)], [nal(1, 3000, 77)]]


def test_every_nal_unit_comes_out_byte_for_byte_over_both_wraps(new_packets: Any) -> None:
    """Single NAL units and FU-A come out unchanged while sequence numbers and time stamps wrap."""
    maker = new_packets()
    stream = b"".join(p for unit in sample_units() for p in maker.unit(unit))
    units, depacketizer = depacketize(stream)
    assert [data for _, data, _ in units] == [avcc(unit) for unit in sample_units()]
    assert not any(flags & DAMAGED for _, _, flags in units)
    assert [bool(flags & KEY) for _, _, flags in units] == [i in {0, 7} for i in range(10)]
    assert (units[0][2] & NEW_PARAMETERS, units[7][2] & NEW_PARAMETERS) == (NEW_PARAMETERS, 0)
    assert depacketizer.lost_packets == 0


@given(cuts=st.lists(st.integers(0, 60_000), max_size=40), limit=st.sampled_from([50, 200, 1400, 60_000]))
@settings(max_examples=60, deadline=None)
def test_it_does_not_matter_how_tcp_cuts_the_stream(new_packets: Any, cuts: list[int], limit: int) -> None:
    """The same access units come out wherever the byte stream is cut and however large the packets are."""
    maker = new_packets()
    stream = b"".join(p for unit in sample_units() for p in maker.unit(unit, limit=limit))
    units, _ = depacketize(stream, [cut for cut in cuts if cut < len(stream)])
    assert [data for _, data, _ in units] == [avcc(unit) for unit in sample_units()]
    assert not any(flags & DAMAGED for _, _, flags in units)


@st.composite
def faults(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Draw what the way does to packets: (drop | swap | repeat, packet number)."""
    kinds = st.sampled_from(["drop", "swap", "repeat"])
    return draw(st.lists(st.tuples(kinds, st.integers(0, 140)), max_size=12))


def apply(stream: list[bytes], wanted: list[tuple[str, int]]) -> list[bytes]:
    """Return the packets with the faults applied."""
    out = list(stream)
    for kind, number in wanted:
        at = number % len(out)
        if kind == "drop":
            del out[at]
        elif kind == "repeat":
            out.insert(at, out[at])
        elif kind == "swap" and at + 1 < len(out):
            out[at], out[at + 1] = out[at + 1], out[at]
    return out


@given(wanted=faults(), limit=st.sampled_from([120, 200, 1400]))
@settings(max_examples=300, deadline=None)
def test_no_loss_or_reordering_yields_a_wrong_nal_unit(
    new_packets: Any, wanted: list[tuple[str, int]], limit: int
) -> None:
    """Whatever is lost, repeated or swapped: NAL units are whole, unmarked access units as sent, gaps are marked."""
    maker = new_packets()
    sent = [p for unit in sample_units() for p in maker.unit(unit, limit=limit)]
    arrived = apply(sent, wanted)
    units, depacketizer = depacketize(b"".join(arrived))
    originals = {n for unit in sample_units() for n in unit}
    whole = {avcc(unit) for unit in sample_units()}
    for index, (_, data, flags) in enumerate(units):
        assert set(split(data)) <= originals
        unknowable = index == 0 and arrived[0] is not sent[0]
        assert flags & DAMAGED or data in whole or unknowable
    if len(units) < len(sample_units()) and arrived[0] == sent[0] and arrived[-1] == sent[-1]:
        assert depacketizer.faults


@given(data=st.binary(max_size=3000), seed=st.integers(0, 1 << 16))
@settings(max_examples=200, deadline=None)
def test_garbage_never_raises(new_packets: Any, data: bytes, seed: int) -> None:
    """Random bytes in frames of the video channel, or bytes flipped in real packets, raise nothing."""
    dice = random.Random(seed)
    maker = new_packets()
    stream = bytearray(b"".join(p for unit in sample_units()[:4] for p in maker.unit(unit)))
    for _ in range(20):
        stream[dice.randrange(len(stream))] ^= 1 << dice.randrange(8)
    depacketize(bytes(stream))
    depacketize(b"$\x00" + len(data).to_bytes(2, "big") + data + maker.packet(data, marker=True))


def test_an_fu_a_without_its_end_is_dropped_and_marked(new_packets: Any) -> None:
    """A fragmented NAL unit whose end never comes, without a hole in the numbers, marks its access unit."""
    maker = new_packets()
    first = maker.unit([nal(5, 900, 3, 0xB8)])
    broken = maker.unit([nal(6, 20), nal(1, 900)])[:-1]
    maker.sequence -= 1
    last = maker.unit([nal(1, 100)])
    units, _ = depacketize(b"".join(first + broken + last))
    assert [bool(flags & DAMAGED) for _, _, flags in units] == [False, True]
    assert split(units[1][1]) == [nal(6, 20), nal(1, 100)]


def test_a_loss_across_two_access_units_marks_both(new_packets: Any) -> None:
    """When one hole takes the end of a picture and the beginning of the next, neither passes as undamaged."""
    maker = new_packets()
    first = maker.unit([nal(5, 100, 3, 0xB8), nal(5, 90, 4, 0x40)])
    second = maker.unit([nal(1, 100, 5), nal(1, 100, 6, 0x40)])
    units, depacketizer = depacketize(b"".join(first[:-1] + second[1:]))
    assert [bool(flags & DAMAGED) for _, _, flags in units] == [True, True]
    assert depacketizer.lost_packets == 2


def test_stap_a_is_taken_apart_and_a_broken_one_marked(new_packets: Any) -> None:
    """Aggregated parameter sets come out one by one; a length beyond the packet is damage."""
    maker = new_packets()
    sets = sample_units()[0][:2]
    joined = b"\x78" + b"".join(len(one).to_bytes(2, "big") + one for one in sets)
    good = maker.packet(joined) + maker.packet(nal(5, 100, 3, 0xB8), marker=True)
    maker.timestamp += 3000
    bad = maker.packet(joined[:-1]) + maker.packet(nal(1, 100), marker=True)
    units, _ = depacketize(good + bad)
    assert split(units[0][1]) == [*sets, nal(5, 100, 3, 0xB8)]
    assert [bool(flags & DAMAGED) for _, _, flags in units] == [False, True]


def test_nal_units_of_64_kib_and_more_are_kept_and_of_8_mib_are_not(new_packets: Any) -> None:
    """A NAL unit of 64 KiB comes through in any packet size; one above 8 MiB is dropped and marked."""
    for limit in (1400, 65_000):
        maker = new_packets()
        big = nal(5, 64 * 1024, 9, 0xB8)
        units, _ = depacketize(b"".join(maker.unit([big], limit=limit)))
        assert split(units[0][1]) == [big]
    maker = new_packets()
    huge = nal(1, MAX_NAL_BYTES + 1, 5)
    stream = maker.unit([nal(5, 50, 1, 0xB8)]) + maker.unit([huge], limit=60_000) + maker.unit([nal(1, 50)])
    units, _ = depacketize(b"".join(stream))
    assert [(len(data), bool(flags & DAMAGED)) for _, data, flags in units] == [(54, False), (54, True)]


def test_a_restarted_camera_is_followed_again(new_packets: Any) -> None:
    """After a jump back in sequence numbers of the same source the stream is taken up again, marked as damaged."""
    maker = new_packets(sequence=40_000)
    before = maker.unit([nal(5, 100, 1, 0xB8)])
    maker.sequence = 20_000
    after = [p for i in range(60) for p in maker.unit([nal(1, 100, i)])]
    units, _ = depacketize(b"".join(before + after))
    assert len(units) > 20
    assert units[1][2] & DAMAGED
    assert not units[-1][2] & DAMAGED


def test_b_slices_are_noticed(new_packets: Any) -> None:
    """The first byte of a slice header tells a B slice: types 1 and 6, not P or I."""
    for first, expected in ((0b1010_0000, True), (0b1001_1100, True), (0b1110_0000, False), (0b1011_0000, False)):
        maker = new_packets()
        units, _ = depacketize(b"".join(maker.unit([nal(1, 500, 1, first)])))
        assert bool(units[0][2] & B_SLICE) is expected


def test_extensions_contributors_and_padding_are_stepped_over(new_packets: Any) -> None:
    """RTP headers with CSRCs, an extension and padding lead to the same NAL unit."""
    wanted = nal(5, 100, 3, 0xB8)
    packet = bytearray(new_packets().packet(wanted, marker=True))
    packet[4] |= 0x30 | 2
    extras = bytes(8) + b"\xbe\xde\x00\x01" + bytes(4)
    stream = packet[:16] + extras + packet[16:] + b"\x00\x00\x00\x04"
    stream[2:4] = (len(stream) - 4).to_bytes(2, "big")
    units, _ = depacketize(bytes(stream))
    assert split(units[0][1]) == [wanted]
    assert not units[0][2] & DAMAGED
