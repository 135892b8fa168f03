"""What the analysis of a camera asks for, where a test has its own answer."""

from collections.abc import Collection
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lykta_analytics.domain import Detection

Image = npt.NDArray[np.uint8]


class ObjectDetector(Protocol):
    """Sees things in a picture."""

    def detect(self, image: Image, labels: Collection[str], least: float) -> list[Detection]:
        """Detects only the labels asked for, with at least this confidence; blocks."""
        ...
