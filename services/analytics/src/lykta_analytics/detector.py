"""Runs the installed model on a picture and answers boxes of the labels that were asked for, and of no others."""

from collections.abc import Collection
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import openvino
from openvino.preprocess import PrePostProcessor

from lykta_analytics.domain import Detection, Region
from lykta_analytics.models import InstalledModel

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_STRIDES: Final = (8, 16, 32)
_BINS: Final = 11
_SAME_OBJECT: Final = 0.5
_MOST: Final = 100


def decode(
    scores: Floats, distances: Floats, input_size: tuple[int, int], columns: dict[str, int], least: float
) -> list[Detection]:
    """Turns NanoDet's raw outputs into detections, strongest first, before suppression.

    `scores` is cells × classes, `distances` cells × (4 sides × 11 bins), cells being all strides in order; each side is
    the expectation over its bins in strides (Generalized Focal Loss, arXiv:2006.04388). `input_size` is width, height.
    """
    wanted = scores[:, list(columns.values())]
    best = wanted.argmax(axis=1)
    confidence = wanted[np.arange(len(best)), best]
    cells = np.flatnonzero(confidence >= least)
    cells = cells[np.argsort(-confidence[cells], kind="stable")][:_MOST]
    centres, strides = _grid(input_size)
    bins = distances[cells].reshape(-1, 4, _BINS)
    weights = np.exp(bins - bins.max(axis=2, keepdims=True))
    sides = (weights / weights.sum(axis=2, keepdims=True)) @ np.arange(_BINS, dtype=np.float32) * strides[cells, None]
    corners = np.concatenate((centres[cells] - sides[:, :2], centres[cells] + sides[:, 2:]), axis=1)
    relative = np.clip(corners / np.array((*input_size, *input_size), np.float32), 0.0, 1.0)
    labels = list(columns)
    return [
        Detection(labels[best[cell]], float(confidence[cell]), Region(*(float(value) for value in box)))
        for cell, box in zip(cells, relative, strict=True)
    ]


def suppress(found: list[Detection], same: float = _SAME_OBJECT) -> list[Detection]:
    """Greedy non-maximum suppression within each label; keeps the order, strongest first."""
    if not found:
        return []
    boxes = np.array([(item.region.x1, item.region.y1, item.region.x2, item.region.y2) for item in found])
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    labels = np.array([item.label for item in found])
    alive = np.ones(len(found), bool)
    for index in range(len(found)):
        if alive[index]:
            low = np.maximum(boxes[index, :2], boxes[:, :2])
            high = np.minimum(boxes[index, 2:], boxes[:, 2:])
            shared = np.clip(high - low, 0, None).prod(axis=1)
            rival = (shared > same * (areas + areas[index] - shared)) & (labels == labels[index])
            rival[: index + 1] = False
            alive &= ~rival
    return [item for item, keep in zip(found, alive, strict=True) if keep]


def _grid(input_size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Cell centres in input pixels, and each cell's stride."""
    centres, strides = [], []
    for stride in _STRIDES:
        columns, rows = -(-input_size[0] // stride), -(-input_size[1] // stride)
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        centres.append((np.stack((x.ravel(), y.ravel()), axis=1) + 0.5) * stride)
        strides.append(np.full(columns * rows, stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(strides).astype(np.float32)


class Detector:
    """One compiled model with one inference thread; `detect` blocks (about 10 ms) and releases the GIL while it runs.

    Not safe for concurrent calls: give each worker thread its own.
    """

    def __init__(self, model: InstalledModel) -> None:
        self.card = model.card
        self._size = (model.card.input.width_px, model.card.input.height_px)
        self._columns = {label: index for index, label in enumerate(model.card.labels)}
        cv2.setNumThreads(1)  # one thread per worker: more of them on the same cores only wait for each other
        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        compiled = core.compile_model(_with_normalisation(core.read_model(model.graph), model), "CPU", settings)
        self._request: Any = compiled.create_infer_request()

    def detect(self, image: Image, labels: Collection[str], least: float) -> list[Detection]:
        """Detects only the labels asked for, strongest first; a label the model does not know finds nothing."""
        columns = {label: self._columns[label] for label in sorted(labels) if label in self._columns}
        if not columns:
            return []
        resized = cv2.resize(image, self._size, interpolation=cv2.INTER_LINEAR)
        self._request.infer({0: resized[None]}, share_inputs=True)
        outputs = [self._request.get_output_tensor(index).data[0] for index in range(6)]
        by_width: dict[int, list[Floats]] = {}
        for output in outputs:
            by_width.setdefault(output.shape[1], []).append(output)
        distances = np.concatenate(by_width.pop(4 * _BINS))
        scores = np.concatenate(by_width.popitem()[1])
        return suppress(decode(scores, distances, self._size, columns, least))


def _with_normalisation(model: Any, installed: InstalledModel) -> Any:
    """Builds the change from 8-bit rows to normalised planes into the network, where it costs next to nothing."""
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    wanted = installed.card.input
    steps.input().preprocess().convert_element_type(openvino.Type.f32).mean(list(wanted.mean)).scale(
        list(wanted.deviation)
    )
    return steps.build()
