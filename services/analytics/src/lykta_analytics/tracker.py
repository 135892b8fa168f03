"""Follows detections from picture to picture of one camera; ids mean nothing outside that camera and that day."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from lykta_contracts.instants import from_ms

from lykta_analytics.domain import Detection, Point, Region, Track, overlap

_LEAST_OVERLAP: Final = 0.2
_LOST_AFTER_MS: Final = 1_500
_STILL_AFTER_MS: Final = 5_000
_STILL_DISTANCE: Final = 0.02
_DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class _Followed:
    track: Track
    velocity: Point
    anchor: Point
    anchor_ms: int

    def expected(self, at_ms: int) -> Region:
        elapsed = at_ms - self.track.last_ms
        return self.track.region.moved(self.velocity[0] * elapsed, self.velocity[1] * elapsed)


class Tracker:
    """Greedy matching by overlap with where each track is expected; no appearance, no memory of what was lost.

    All tracks end at midnight UTC, so that no id joins two days.
    """

    def __init__(self) -> None:
        self._followed: list[_Followed] = []
        self._day = -1

    @property
    def active(self) -> bool:
        """True while anything is followed."""
        return bool(self._followed)

    def expire(self, at_ms: int) -> None:
        """Forgets what has not been seen for 1.5 s and everything of another day."""
        day = at_ms // _DAY_MS
        if day != self._day:
            self._followed, self._day = [], day
        self._followed = [item for item in self._followed if 0 <= at_ms - item.track.last_ms <= _LOST_AFTER_MS]

    def update(self, at_ms: int, detections: Sequence[Detection]) -> list[Track]:
        """Takes one picture's detections and answers the tracks seen in it, in the order of the detections."""
        self.expire(at_ms)
        pairs = sorted(
            (
                (-overlap(item.expected(at_ms), seen.region), index, number)
                for index, item in enumerate(self._followed)
                for number, seen in enumerate(detections)
                if item.track.label == seen.label
            ),
        )
        matched: dict[int, _Followed] = {}
        taken: set[int] = set()
        for negative, index, number in pairs:
            if -negative >= _LEAST_OVERLAP and index not in taken and number not in matched:
                taken.add(index)
                matched[number] = self._followed[index]
        tracks = []
        for number, seen in enumerate(detections):
            item = matched.get(number)
            if item is None:
                item = self._begin(at_ms, number, seen)
            else:
                _advance(item, at_ms, seen)
            tracks.append(item.track)
        return tracks

    def _begin(self, at_ms: int, number: int, seen: Detection) -> _Followed:
        # Named by its first picture, so that a restarted service cannot give an id of the same day again.
        track_id = f"{from_ms(at_ms):%Y%m%d-%H%M%S}{at_ms % 1000:03d}-{number}"
        track = Track(track_id, seen.label, seen.region, seen.confidence, seen.confidence, at_ms, at_ms)
        item = _Followed(track, (0.0, 0.0), seen.region.centre, at_ms)
        self._followed.append(item)
        return item


def _advance(item: _Followed, at_ms: int, seen: Detection) -> None:
    elapsed = max(1, at_ms - item.track.last_ms)
    (x0, y0), (x1, y1) = item.track.region.centre, seen.region.centre
    item.velocity = ((x1 - x0) / elapsed, (y1 - y0) / elapsed)
    if abs(x1 - item.anchor[0]) > _STILL_DISTANCE or abs(y1 - item.anchor[1]) > _STILL_DISTANCE:
        item.anchor, item.anchor_ms = (x1, y1), at_ms
    item.track = replace(
        item.track,
        region=seen.region,
        confidence=seen.confidence,
        top_confidence=max(item.track.top_confidence, seen.confidence),
        last_ms=at_ms,
        stationary=at_ms - item.anchor_ms >= _STILL_AFTER_MS,
    )
