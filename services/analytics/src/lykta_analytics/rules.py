"""The rules: when what is seen becomes a notice, when it changes and when it is over; pure and driven by media time."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lykta_contracts.incidents import Severity
from lykta_contracts.mandates import Analytic

from lykta_analytics.domain import Condition, Point, Resumed, Sighting, Step, Track, contains

PERSON_IN_ZONE: Final = "person-in-zone"
CAMERA_OBSCURED: Final = "camera-obscured"
RULE_VERSION: Final = 1
_PERSON: Final = "person"
_UPDATE_INTERVAL_MS: Final = 1_000
_UNWATCHED_MS: Final = 2_000
_LONGEST_UNWATCHED_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class ZoneRule:
    """Person in zone: opens when seen in `open_frames` of the last `window_frames` looked at, closes when quiet."""

    zones: tuple[tuple[str, tuple[Point, ...]], ...]
    min_confidence: float
    quiet_ms: int
    severity: Severity
    open_frames: int = 3
    window_frames: int = 5

    @property
    def key(self) -> str:
        """Names the rule among the rules of one camera."""
        return f"{PERSON_IN_ZONE}:{','.join(sorted(zone_id for zone_id, _ in self.zones))}"

    @property
    def labels(self) -> frozenset[str]:
        """The only labels this rule may be told of."""
        return frozenset({_PERSON})

    @property
    def thresholds(self) -> dict[str, float]:
        """What is written into each event, so that the decision can be repeated."""
        return {
            "min_confidence": self.min_confidence,
            "quiet_s": self.quiet_ms / 1000,
            "open_frames": float(self.open_frames),
            "window_frames": float(self.window_frames),
        }

    def zones_of(self, track: Track) -> tuple[str, ...]:
        """The zones in which the thing stands."""
        return tuple(zone_id for zone_id, polygon in self.zones if contains(polygon, track.region.foot))


def zone_rules(analytics: Sequence[Analytic]) -> list[ZoneRule]:
    """The rules a mandate lists, and nothing else; an entry without zones makes none: it names no place to look at."""
    return [
        ZoneRule(
            zones=tuple((zone.zone_id, tuple((corner.x, corner.y) for corner in zone.polygon)) for zone in entry.zones),
            min_confidence=entry.min_confidence,
            quiet_ms=round(entry.quiet_seconds * 1000),
            severity=entry.severity,
        )
        for entry in analytics
        if entry.detector == PERSON_IN_ZONE and entry.zones
    ]


@dataclass(slots=True)
class _Open:
    started_ms: int
    last_seen_ms: int
    counts: dict[str, int]
    zones: tuple[str, ...]
    told_ms: int
    quiet_from_ms: int
    changed: tuple[str, ...] = ()


class ZonePresence:
    """State of one zone rule at one camera: fed with looks and ticks in order of media time, answers steps.

    What was not watched is no evidence of absence: only `look` counts frames, and a stretch without any picture (a lost
    stream, a restart) up to a minute does not count as quiet.
    """

    def __init__(self, rule: ZoneRule, resumed: Resumed | None = None) -> None:
        self.rule = rule
        self._recent: deque[tuple[int, bool]] = deque(maxlen=rule.window_frames)
        self._stays: dict[str, tuple[int, int]] = {}
        self._open: _Open | None = None
        self._watched_ms: int | None = None
        if resumed is not None:
            last_ms = self._watched_ms = resumed.last_seen_ms
            self._open = _Open(resumed.started_ms, last_ms, dict(resumed.counts), resumed.zones, last_ms, last_ms)

    @property
    def is_open(self) -> bool:
        """True between the opening and the closing step."""
        return self._open is not None

    def look(self, at_ms: int, tracks: Sequence[Track]) -> list[Step]:
        """Takes what was seen in one picture; answers at most one step, after any closing that was due before it."""
        steps = self.tick(at_ms)
        sightings = self._sightings(at_ms, tracks)
        self._recent.append((at_ms, bool(sightings)))
        if self._open is not None:
            if sightings:
                steps += self._stay(self._open, at_ms, sightings)
        elif sum(hit for _, hit in self._recent) >= self.rule.open_frames and sightings:
            steps.append(self._begin(at_ms, sightings))
        return steps

    def tick(self, at_ms: int) -> list[Step]:
        """Takes note of a picture that was not looked at; closes the notice when nobody was seen for the quiet time."""
        unwatched = 0 if self._watched_ms is None else at_ms - self._watched_ms
        self._watched_ms = at_ms
        if self._open is None:
            return []
        if _UNWATCHED_MS < unwatched <= _LONGEST_UNWATCHED_MS:
            self._open.quiet_from_ms += unwatched
        if at_ms - self._open.quiet_from_ms < self.rule.quiet_ms:
            return []
        return self.end(at_ms, ())

    @property
    def last_seen_ms(self) -> int | None:
        """When somebody was last seen, while the notice is open."""
        return self._open.last_seen_ms if self._open else None

    def end(self, at_ms: int, reason: tuple[str, ...]) -> list[Step]:
        """Closes the notice now, whatever is seen: the mandate ended, or no picture comes any more."""
        if self._open is None:
            return []
        state, self._open = self._open, None
        self._recent.clear()
        self._stays.clear()
        return [self._step("close", state, at_ms, (), ended_ms=state.last_seen_ms, changed=("ended_at", *reason))]

    def _sightings(self, at_ms: int, tracks: Sequence[Track]) -> tuple[Sighting, ...]:
        found = []
        for track in tracks:
            if track.label not in self.rule.labels or track.confidence < self.rule.min_confidence:
                continue
            zones = self.rule.zones_of(track)
            if zones:
                entered_ms = self._stays.get(track.track_id, (at_ms, at_ms))[0]
                self._stays[track.track_id] = (entered_ms, at_ms)
                found.append(Sighting(track, zones, at_ms - entered_ms))
        self._stays = {key: stay for key, stay in self._stays.items() if at_ms - stay[1] < self.rule.quiet_ms}
        return tuple(found)

    def _begin(self, at_ms: int, sightings: tuple[Sighting, ...]) -> Step:
        first_ms = next(ms for ms, hit in self._recent if hit)
        zones = _zones(sightings)
        self._open = _Open(first_ms, at_ms, {_PERSON: len(sightings)}, zones, at_ms, at_ms)
        return self._step("open", self._open, at_ms, sightings, entered=zones)

    def _stay(self, state: _Open, at_ms: int, sightings: tuple[Sighting, ...]) -> list[Step]:
        state.last_seen_ms = state.quiet_from_ms = at_ms
        entered = tuple(zone for zone in _zones(sightings) if zone not in state.zones)
        if entered:
            state.zones = (*state.zones, *entered)
            state.changed = tuple(dict.fromkeys((*state.changed, "place")))
        if len(sightings) > state.counts.get(_PERSON, 0):
            state.counts = {_PERSON: len(sightings)}
            state.changed = tuple(dict.fromkeys((*state.changed, "counts")))
        if not state.changed or at_ms - state.told_ms < _UPDATE_INTERVAL_MS:
            return []
        changed, state.changed, state.told_ms = (*state.changed, "objects"), (), at_ms
        return [self._step("update", state, at_ms, sightings, entered=entered, changed=changed)]

    def _step(
        self,
        kind: Literal["open", "update", "close"],
        state: _Open,
        at_ms: int,
        sightings: tuple[Sighting, ...],
        *,
        ended_ms: int | None = None,
        entered: tuple[str, ...] = (),
        changed: tuple[str, ...] = (),
    ) -> Step:
        return Step(
            kind=kind,
            rule_key=self.rule.key,
            category=PERSON_IN_ZONE,
            severity=self.rule.severity,
            started_ms=state.started_ms,
            observed_ms=at_ms,
            ended_ms=ended_ms,
            sightings=sightings,
            zones=state.zones,
            entered=entered,
            counts=dict(state.counts),
            changed=changed,
        )


def _zones(sightings: Sequence[Sighting]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(zone for item in sightings for zone in item.zones))


class PictureHealth:
    """The rule that is always on: the picture is black or obscured for two seconds, or clear again for two.

    The category is `camera-black` or `camera-obscured`; going from one to the other does not open a second notice.
    """

    hold_ms: Final = 2_000
    severity: Final[Severity] = "high"

    def __init__(self, resumed: Resumed | None = None) -> None:
        self._since: tuple[Condition, int] | None = None
        self._category = resumed.category if resumed else CAMERA_OBSCURED
        self._started_ms = resumed.started_ms if resumed else None
        self._last_bad_ms = resumed.last_seen_ms if resumed else 0

    @property
    def is_open(self) -> bool:
        """True between the opening and the closing step."""
        return self._started_ms is not None

    @property
    def last_seen_ms(self) -> int | None:
        """When the picture was last bad, while the notice is open."""
        return self._last_bad_ms if self.is_open else None

    @property
    def key(self) -> str:
        """Names the rule among the rules of one camera."""
        return CAMERA_OBSCURED

    def look(self, at_ms: int, condition: Condition) -> list[Step]:
        """Takes the condition of one picture; answers at most one step."""
        if condition is not Condition.CLEAR:
            self._last_bad_ms = at_ms
        bad = condition is not Condition.CLEAR
        if bad == self.is_open:
            self._since = None
            return []
        if self._since is None:
            self._since = (condition, at_ms)
        if at_ms - self._since[1] < self.hold_ms:
            return []
        if not bad:
            return self.end(at_ms, ())
        self._category = f"camera-{condition.value}"
        self._started_ms = self._since[1]
        self._since = None
        return [self._step("open", at_ms, self._started_ms)]

    def end(self, at_ms: int, reason: tuple[str, ...]) -> list[Step]:
        """Closes the notice now, whatever the picture is like."""
        if self._started_ms is None:
            return []
        started_ms, self._started_ms, self._since = self._started_ms, None, None
        return [self._step("close", at_ms, started_ms, self._last_bad_ms, ("ended_at", *reason))]

    def _step(
        self,
        kind: Literal["open", "close"],
        at_ms: int,
        started_ms: int,
        ended_ms: int | None = None,
        changed: tuple[str, ...] = (),
    ) -> Step:
        return Step(kind, self.key, self._category, self.severity, started_ms, at_ms, ended_ms, changed=changed)
