"""The rule by which a series of measurements is flat. Pure: no daemon, no clock.

What happens in the warm-up (the first fifth) does not count: caches fill, the first reload starts a thread. A line is
put through the rest (Theil and Sen: the median of the slopes of all pairs, which a few outliers do not move), and what
it rises over that time must not be more than the tolerance. Falling is flat.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Series: TypeAlias = Sequence[tuple[float, float]]
"""Seconds since the start, and what was measured."""

WARM_UP: Final = 0.2
"""Share of the time that does not count."""
FEWEST: Final = 5
"""Measurements after the warm-up without which nothing can be said."""
MOST_POINTS: Final = 300
"""More are thinned out evenly: there is a slope for each pair."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a series may rise by."""

    absolute: float
    share: float = 0.0
    """Of its median."""

    def limit(self, level: float) -> float:
        """The greater of the two, for a series around ``level``."""
        return max(self.absolute, self.share * level)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one series."""

    name: str
    unit: str
    level: float
    """The median after the warm-up."""
    rise: float
    """By how much the line rises from the end of the warm-up to the end."""
    limit: float
    flat: bool
    samples: int


def judge(name: str, unit: str, series: Series, tolerance: Tolerance) -> Verdict:
    """Apply the rule; with too few samples nothing is flat."""
    kept = after_warm_up(series)
    if len(kept) < FEWEST:
        return Verdict(name, unit, float("nan"), float("nan"), float("nan"), False, len(kept))
    level = statistics.median(value for _, value in kept)
    rise = slope(kept) * (kept[-1][0] - kept[0][0])
    limit = tolerance.limit(level)
    return Verdict(name, unit, level, rise, limit, rise <= limit, len(kept))


def after_warm_up(series: Series) -> Series:
    """What counts."""
    if not series:
        return []
    begin = series[0][0] + WARM_UP * (series[-1][0] - series[0][0])
    return [(moment, value) for moment, value in series if moment >= begin]


def slope(series: Series) -> float:
    """The median of the slopes of all pairs, per second."""
    step = -(-len(series) // MOST_POINTS)
    points = series[::step]
    slopes = [
        (after - before) / (late - early)
        for (early, before), (late, after) in itertools.combinations(points, 2)
        if late > early
    ]
    return statistics.median(slopes) if slopes else 0.0
