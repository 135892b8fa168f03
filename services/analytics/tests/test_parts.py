"""Live parts and the queue in which they wait."""

import asyncio
import base64
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lykta_analytics.parts import MediaPart, PartQueue, read_part


def test_a_key_part_brings_its_init_and_its_trace() -> None:
    """Headers as on the wire become time in ms, init and traceparent."""
    headers = {
        "Lykta-From": "2026-06-01T12:00:00.250Z", "Lykta-Key": "1", "Lykta-Init": base64.b64encode(b"init").decode(),
        "traceparent": "00-a-b-01",
    }  # fmt: skip
    part = read_part(b"body", headers)
    assert part == MediaPart(1_780_315_200_250, b"init", b"body", "00-a-b-01")
    assert part.key


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Lykta-From": "soon"},
        {"Lykta-From": "2026-06-01T12:00:00"},
        {"Lykta-From": "2026-06-01T12:00:00Z", "Lykta-Key": "1"},
        {"Lykta-From": "2026-06-01T12:00:00Z", "Lykta-Key": "1", "Lykta-Init": "%%%"},
    ],
)
def test_a_part_with_bad_headers_is_refused(headers: dict[str, str]) -> None:
    """A missing, naive or malformed time and a key part without a proper init are each a `ValueError`."""
    with pytest.raises(ValueError):
        read_part(b"", headers)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60), st.integers(2, 6))
def test_what_comes_out_can_always_be_decoded(arrivals: list[tuple[bool, int]], most: int) -> None:
    """However slow the reader: never more than the bound, in order, nothing uncounted, and after a gap a key part."""
    queue, number, lost, read = PartQueue(most), 0, 0, []

    async def take(count: int) -> None:
        read.extend([await queue.get() for _ in range(min(count, len(queue)))])

    async def scenario() -> None:
        nonlocal number, lost
        for key, taken in arrivals:
            lost += queue.put(MediaPart(number, b"i" if key else b"", b""))
            number += 1
            assert len(queue) <= most
            await take(taken)
        await take(most)

    asyncio.run(scenario())
    assert len(read) + lost == number
    times = [part.from_ms for part in read]
    assert times == sorted(times)
    for before, after in pairwise(read):
        assert after.from_ms == before.from_ms + 1 or after.key
