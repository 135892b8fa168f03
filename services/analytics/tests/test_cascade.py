"""From cheap to dear: which pictures cost a detection, and what the detector is asked."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from lykta_analytics.cascade import CameraAnalysis
from lykta_analytics.domain import Detection, Region, Resumed, Step
from lykta_analytics.ports import ObjectDetector
from lykta_analytics.rules import CAMERA_OBSCURED, ZoneRule

Image = npt.NDArray[np.uint8]
START_MS = 1_795_435_200_000
EVERYWHERE = ZoneRule((("all", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))),), 0.5, 2_000, "medium")


class Watchman(ObjectDetector):
    """Sees one person in each picture while `present`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.present = True
        self.asked: list[tuple[frozenset[str], float]] = []

    def detect(self, image: Image, labels: Collection[str], least: float) -> list[Detection]:
        """Answers the person, or nobody."""
        self.asked.append((frozenset(labels), least))
        return [Detection("person", 0.9, Region(0.4, 0.4, 0.5, 0.8))] if self.present else []


def still(seed: int = 1) -> Image:
    """A picture with texture that never changes."""
    rows = np.random.default_rng(seed).integers(40, 200, (48, 64), np.uint8)
    return np.repeat(np.kron(rows, np.ones((10, 10), np.uint8))[:, :, None], 3, axis=2)


def watch(analysis: CameraAnalysis, pictures: int, first: int = 0) -> tuple[list[Step], int]:
    """Shows the same picture five times a second; answers the steps and how many pictures were looked at."""
    steps, looked = [], 0
    for index in range(first, first + pictures):
        verdict = analysis.analyse(START_MS + 200 * index, still())
        steps += verdict.steps
        looked += verdict.looked
    return steps, looked


def test_without_rules_the_detector_is_never_asked() -> None:
    """Where the mandate lists no analytic, no model looks at the place."""
    watchman = Watchman()
    assert watch(CameraAnalysis([], watchman, {}), 50) == ([], 0)
    assert watchman.asked == []


def test_a_still_street_costs_one_detection_in_five_seconds() -> None:
    """Nothing moves and nobody is there: after warm-up only the slow pass looks."""
    watchman = Watchman()
    watchman.present = False
    analysis = CameraAnalysis([EVERYWHERE], watchman, {})
    watch(analysis, 25)
    assert watch(analysis, 250, 25)[1] == 10


def test_somebody_who_stands_still_is_not_lost() -> None:
    """A person in the background stays an open incident, looked at once a second, until gone for the quiet time."""
    watchman = Watchman()
    analysis = CameraAnalysis([EVERYWHERE], watchman, {})
    steps, _ = watch(analysis, 25)
    assert [step.kind for step in steps] == ["open"]
    steps, looked = watch(analysis, 250, 25)
    assert (steps, looked) == ([], 50)
    watchman.present = False
    steps, _ = watch(analysis, 30, 275)
    assert [step.kind for step in steps] == ["close"]


def test_the_detector_is_asked_for_people_and_nothing_else() -> None:
    """Labels and confidence come from the rules of the mandate."""
    watchman = Watchman()
    watch(CameraAnalysis([EVERYWHERE], watchman, {}), 10)
    assert set(watchman.asked) == {(frozenset({"person"}), 0.5)}


def test_what_was_open_is_known_again() -> None:
    """After a restart both kinds of notice are open without a new opening, and `end` closes both."""
    resumed = {
        EVERYWHERE.key: Resumed(START_MS - 9_000, START_MS - 1_000, "person-in-zone", {"person": 1}, ("all",)),
        CAMERA_OBSCURED: Resumed(START_MS - 5_000, START_MS - 1_000, "camera-black"),
    }
    analysis = CameraAnalysis([EVERYWHERE], Watchman(), resumed)
    assert set(analysis.open_since) == set(resumed)
    assert sorted(step.category for step in analysis.end(START_MS, "no_picture")) == ["camera-black", "person-in-zone"]
    assert analysis.open_since == {}
