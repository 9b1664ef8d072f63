"""Percentiles, and how rounds become one figure."""

from __future__ import annotations

import pytest

from bench.percentiles import over_rounds, percentile


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 50, 2.5),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 95, 4.8),
        ([1.0, 2.0, 3.0], 0, 1.0),
        ([1.0, 2.0, 3.0], 100, 3.0),
        ([7.0], 95, 7.0),
    ],
)
def test_a_percentile_lies_on_straight_lines_between_the_values(
    values: list[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == pytest.approx(expected)


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values, expected at least one"):
        percentile([], 50)


def test_a_percentile_is_between_0_and_100() -> None:
    with pytest.raises(ValueError, match="percent is 101, expected 0 to 100"):
        percentile([1.0], 101)


def test_rounds_with_one_value_each_are_taken_together() -> None:
    assert over_rounds([[1.0], [2.0], [3.0], [4.0], [5.0]], 95) == pytest.approx(4.8)


def test_of_rounds_with_many_values_the_median_of_their_percentiles_counts() -> None:
    assert over_rounds([[1.0, 2.0], [10.0, 90.0], [3.0, 4.0]], 100) == 4.0


def test_a_round_without_values_does_not_count() -> None:
    assert over_rounds([[], [1.0], []], 50) == 1.0
    assert over_rounds([[], []], 50) is None
