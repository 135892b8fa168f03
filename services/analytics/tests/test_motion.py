"""Movement, and what a picture as a whole is like."""

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from lykta_analytics.domain import Condition
from lykta_analytics.motion import ConditionMeter, Gate, MotionModel, small_grey

Image = npt.NDArray[np.uint8]


def street(seed: int = 0, noise: int = 3) -> Image:
    """A textured picture with a little noise that depends on the seed."""
    still = np.random.default_rng(1).integers(40, 200, (48, 64), np.uint8)
    picture = np.kron(still, np.ones((10, 10), np.uint8)).astype(np.int16)
    picture += np.random.default_rng(seed).integers(-noise, noise + 1, picture.shape, np.int16)
    return np.repeat(picture.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def test_a_still_street_does_not_move_and_a_walker_does() -> None:
    """After warm-up, noise is no movement and a person-sized patch is."""
    model = MotionModel()
    for seed in range(30):
        model.moved(small_grey(street(seed)))
    assert not model.moved(small_grey(street(31)))
    walker = street(32)
    walker[200:300, 300:340] = 255
    assert model.moved(small_grey(walker))


def test_pictures_are_looked_at_small() -> None:
    """No background model ever sees more than 320 columns, and nothing is made larger."""
    assert small_grey(np.zeros((576, 768, 3), np.uint8)).shape == (240, 320)
    assert small_grey(np.zeros((60, 80, 3), np.uint8)).shape == (60, 80)


def test_black_covered_and_clear_are_told_apart() -> None:
    """Darkness is black; a uniform or strongly blurred picture is obscured; the street is clear."""
    meter = ConditionMeter()
    assert meter.measure(small_grey(street())) is Condition.CLEAR
    assert meter.measure(small_grey(np.full((480, 640, 3), 4, np.uint8))) is Condition.BLACK
    assert meter.measure(small_grey(np.full((480, 640, 3), 120, np.uint8))) is Condition.OBSCURED
    gradient = np.tile(np.linspace(60, 180, 640).astype(np.uint8)[None, :, None], (480, 1, 3))
    assert meter.measure(small_grey(gradient)) is Condition.OBSCURED
    assert meter.measure(small_grey(street(2))) is Condition.CLEAR


@given(st.lists(st.tuples(st.integers(0, 1_000), st.booleans(), st.booleans()), max_size=100))
def test_the_detector_never_looks_away_for_longer_than_five_seconds(
    pictures: list[tuple[int, bool, bool]],
) -> None:
    """Every picture with movement is looked at, and no stretch of 5 s + one picture goes unlooked."""
    gate, now, last = Gate(), 0, None
    for elapsed, moved, tracking in pictures:
        now += elapsed
        looked = gate.wants(now, moved, tracking)
        assert looked or not moved
        if looked:
            last = now
        assert last is not None
        assert now - last < 5_000
