"""From raw numbers to boxes."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from lykta_analytics.detector import Detector, decode, suppress
from lykta_analytics.domain import Detection, Region, overlap
from lykta_analytics.models import InstalledModel

CELLS = 52 * 52 + 26 * 26 + 13 * 13


def _raw() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((CELLS, 80), np.float32), np.zeros((CELLS, 44), np.float32)


def test_a_cell_becomes_the_box_its_bins_say() -> None:
    """One confident cell of stride 8 whose four sides point at bin 3 is a box of 48 px around its centre."""
    scores, distances = _raw()
    cell = 10 * 52 + 20
    scores[cell, 0] = 0.9
    distances[cell].reshape(4, 11)[:, 3] = 50
    found = decode(scores, distances, (416, 416), {"person": 0}, 0.5)
    assert [(item.label, round(item.confidence, 3)) for item in found] == [("person", 0.9)]
    expected = (20.5 * 8 - 24, 10.5 * 8 - 24, 20.5 * 8 + 24, 10.5 * 8 + 24)
    region = found[0].region
    assert np.allclose(np.array((region.x1, region.y1, region.x2, region.y2)) * 416, expected, atol=0.01)


def test_labels_that_were_not_asked_for_are_not_seen() -> None:
    """A confident dog is nothing to a rule that asked for people."""
    scores, distances = _raw()
    scores[5, 16] = 0.99
    assert decode(scores, distances, (416, 416), {"person": 0}, 0.3) == []


def test_boxes_stay_inside_the_picture() -> None:
    """A box that reaches over the edge is cut at the edge."""
    scores, distances = _raw()
    scores[0, 0] = 0.9
    distances[0].reshape(4, 11)[:, 10] = 50
    region = decode(scores, distances, (416, 416), {"person": 0}, 0.5)[0].region
    assert (region.x1, region.y1) == (0.0, 0.0)
    assert region.x2 > 0


boxes = st.builds(
    lambda x, y, w, h, c, label: Detection(label, c, Region(x, y, x + w, y + h)),
    st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.01, 0.1), st.floats(0.01, 0.1), st.floats(0, 1),
    st.sampled_from(("person", "bicycle")),
)  # fmt: skip


@given(st.lists(boxes, max_size=20))
def test_suppression_leaves_no_two_of_a_kind_on_one_spot(found: list[Detection]) -> None:
    """What is left does not overlap by more than half; what went overlapped with something stronger that stayed."""
    found.sort(key=lambda item: -item.confidence)
    kept = suppress(found)
    for index, item in enumerate(kept):
        assert all(
            overlap(item.region, other.region) <= 0.5 + 1e-6 for other in kept[:index] if other.label == item.label
        )
    for item in found:
        if item not in kept:
            assert any(overlap(item.region, other.region) > 0.5 - 1e-6 for other in kept if other.label == item.label)


def test_the_real_model_finds_the_people_in_the_street(model: InstalledModel, street_images: list[Any]) -> None:
    """In real footage it finds several upright people, and none in a grey picture."""
    detector = Detector(model)
    found = detector.detect(street_images[100], {"person"}, 0.5)
    assert len(found) >= 3
    assert all(item.region.y2 - item.region.y1 > item.region.x2 - item.region.x1 for item in found[:3])
    assert detector.detect(np.full((576, 768, 3), 127, np.uint8), {"person"}, 0.5) == []


def test_the_real_model_answers_only_what_it_is_asked(model: InstalledModel, street_images: list[Any]) -> None:
    """Asked for trucks it says nothing of people; asked for what it does not know, or nothing, it is silent."""
    detector = Detector(model)
    assert {item.label for item in detector.detect(street_images[100], {"truck"}, 0.2)} <= {"truck"}
    assert detector.detect(street_images[100], {"face"}, 0.0) == []
    assert detector.detect(street_images[100], set(), 0.0) == []


def test_the_conversion_always_gives_the_same_graph(model: InstalledModel) -> None:
    """The pinned source becomes this very GraphDef, byte for byte, on every machine."""
    assert model.card.converted is not None
    assert model.card.converted.graph_sha256 == "a06bd4439f1c2e7a6d990382f176c3a6fdb75a9043d258f1b65ed133c1bca66d"
