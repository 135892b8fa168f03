"""Waits between tries: exponential with full jitter (AWS architecture blog, 2015), bounded."""

import random
from dataclasses import dataclass, field


def jittered(bound: float) -> float:
    """Return a wait of at least half the bound and at most all of it."""
    return bound / 2 + random.uniform(0, bound / 2)  # noqa: S311 - spreads load, guards nothing


@dataclass
class Backoff:
    """A growing wait; `first` and `most` in seconds."""

    first: float = 0.2
    most: float = 10.0
    _tries: int = field(default=0, init=False)

    def next(self) -> float:
        """Return how long to wait before the next try, seconds."""
        bound = min(self.most, self.first * float(2**self._tries))
        self._tries = min(self._tries + 1, 32)
        return jittered(bound)

    def reset(self) -> None:
        """Begin again after a success."""
        self._tries = 0
