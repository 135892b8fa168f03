"""Looks at a small grey copy of each picture: did something move, is the picture black or covered?"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from lykta_analytics.domain import Condition

Image = npt.NDArray[np.uint8]

WIDTH_PX: Final = 320
_MEMORY_PICTURES: Final = 250
_VARIANCE: Final = 25.0
_LEAST_SHARE: Final = 0.001
_WARM_UP_PICTURES: Final = 5
_BLACK_LEVEL: Final = 18.0
_FLAT_DEVIATION: Final = 6.0
_EDGE_SHARE_LEFT: Final = 0.15
_EDGE_LEARNING: Final = 0.02
_KERNEL: Final = np.ones((3, 3), np.uint8)


def small_grey(image: Image) -> Image:
    """A grey copy at most 320 px wide."""
    height, width = image.shape[:2]
    scale = min(1.0, WIDTH_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), size, interpolation=cv2.INTER_AREA), np.uint8)


class MotionModel:
    """A mixture-of-Gaussians background (Zivkovic 2004, OpenCV's MOG2) over small grey pictures of one camera."""

    def __init__(self) -> None:
        self._model = cv2.createBackgroundSubtractorMOG2(_MEMORY_PICTURES, _VARIANCE, detectShadows=False)
        self._pictures = 0

    def moved(self, grey: Image) -> bool:
        """Learns the picture and says whether more than a thousandth of it is not background.

        The first five pictures always count as movement, because there is no background yet.
        """
        foreground = cv2.morphologyEx(self._model.apply(grey), cv2.MORPH_OPEN, _KERNEL)
        self._pictures += 1
        return self._pictures <= _WARM_UP_PICTURES or cv2.countNonZero(foreground) >= grey.size * _LEAST_SHARE


class ConditionMeter:
    """Says what a picture as a whole is like, against the amount of detail this camera usually shows."""

    def __init__(self) -> None:
        self._usual_detail = 0.0

    def measure(self, grey: Image) -> Condition:
        """Black: dark everywhere. Obscured: flat, or with less than 15 % of the camera's usual detail."""
        mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
        if mean < _BLACK_LEVEL and deviation < _FLAT_DEVIATION:
            return Condition.BLACK
        detail = float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0])
        if deviation < _FLAT_DEVIATION or detail < self._usual_detail * _EDGE_SHARE_LEFT:
            return Condition.OBSCURED
        self._usual_detail += (detail - self._usual_detail) * (_EDGE_LEARNING if self._usual_detail else 1.0)
        return Condition.CLEAR


@dataclass(slots=True)
class Gate:
    """Decides which pictures the detector sees: all with movement, one a second while it follows, else one in 5 s.

    The slow pass is what keeps a person who stands still from being lost in the background.
    """

    tracking_interval_ms: int = 1_000
    slow_interval_ms: int = 5_000
    _last_ms: int | None = None

    def wants(self, at_ms: int, moved: bool, tracking: bool) -> bool:
        """Says whether to look at this picture, and remembers that it was looked at."""
        interval = 0 if moved else self.tracking_interval_ms if tracking else self.slow_interval_ms
        due = self._last_ms is None or at_ms < self._last_ms or at_ms - self._last_ms >= interval
        if due:
            self._last_ms = at_ms
        return due
