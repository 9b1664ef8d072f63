"""Percentiles, and how those of several rounds become one figure."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of the values lie, with straight lines between neighbours (as numpy does it).

    Raises ValueError where there is none.
    """
    if not values:
        raise ValueError("no values, expected at least one")
    if not 0 <= percent <= 100:
        raise ValueError(f"percent is {percent:g}, expected 0 to 100")
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def over_rounds(rounds: Sequence[Sequence[float]], percent: float) -> float | None:
    """One percentile of several rounds; None where nothing was measured.

    With one value a round it is that of all values. With more it is the median of each round's own: a single bad round
    then does not decide what 95 percent of the addresses see.
    """
    measured = [values for values in rounds if values]
    if not measured:
        return None
    if all(len(values) == 1 for values in measured):
        return percentile([values[0] for values in measured], percent)
    return percentile([percentile(values, percent) for values in measured], 50)
