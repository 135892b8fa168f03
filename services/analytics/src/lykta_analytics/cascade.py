"""One camera's pictures from cheap to dear: health and movement on all, the detector on few, then tracks and rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lykta_analytics.domain import Resumed, Step
from lykta_analytics.motion import ConditionMeter, Gate, MotionModel, small_grey
from lykta_analytics.ports import ObjectDetector
from lykta_analytics.rules import CAMERA_OBSCURED, PictureHealth, ZonePresence, ZoneRule
from lykta_analytics.tracker import Tracker

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one picture led to; `looked` says whether the detector saw it."""

    steps: tuple[Step, ...]
    looked: bool


class CameraAnalysis:
    """All state of one camera under one mandate; `analyse` blocks (1 to 15 ms) and must not run twice at once.

    Without zone rules the detector is never called: only the health of the picture is looked at.
    """

    def __init__(self, rules: Sequence[ZoneRule], detector: ObjectDetector, resumed: Mapping[str, Resumed]) -> None:
        self._detector = detector
        self._zones = [ZonePresence(rule, resumed.get(rule.key)) for rule in rules]
        self._health = PictureHealth(resumed.get(CAMERA_OBSCURED))
        self._labels = frozenset(label for rule in rules for label in rule.labels)
        self._least = min((rule.min_confidence for rule in rules), default=1.0)
        self._motion, self._meter, self._gate, self._tracker = MotionModel(), ConditionMeter(), Gate(), Tracker()

    def analyse(self, at_ms: int, image: Image) -> Verdict:
        """Looks at one picture taken at `at_ms` (unix ms); answers the steps it led to, in order."""
        grey = small_grey(image)
        steps = self._health.look(at_ms, self._meter.measure(grey))
        if not self._zones:
            return Verdict(tuple(steps), looked=False)
        self._tracker.expire(at_ms)
        following = self._tracker.active or any(zone.is_open for zone in self._zones)
        looked = self._gate.wants(at_ms, self._motion.moved(grey), following)
        if looked:
            tracks = self._tracker.update(at_ms, self._detector.detect(image, self._labels, self._least))
        for zone in self._zones:
            steps += zone.look(at_ms, tracks) if looked else zone.tick(at_ms)
        return Verdict(tuple(steps), looked)

    @property
    def open_since(self) -> dict[str, int]:
        """For each open notice, by rule, when its cause was last seen (unix ms)."""
        found = {zone.rule.key: zone.last_seen_ms for zone in self._zones} | {
            CAMERA_OBSCURED: self._health.last_seen_ms
        }
        return {key: last_ms for key, last_ms in found.items() if last_ms is not None}

    def end(self, at_ms: int, reason: str) -> tuple[Step, ...]:
        """Closes every open notice now."""
        steps = self._health.end(at_ms, (reason,))
        for zone in self._zones:
            steps += zone.end(at_ms, (reason,))
        return tuple(steps)
