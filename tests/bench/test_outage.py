"""What a client missed, from the gaps that a probe has reported."""

from __future__ import annotations

from bench.stage import longest_pause_ms
from vrrpd.lab.probe import Gap


def gap(start_ms: int, end_ms: int, before: str, after: str) -> Gap:
    """A gap between two answers."""
    return Gap(start_ms * 1_000_000, end_ms * 1_000_000, 1, before, after)


def test_the_outage_ends_with_the_successors_first_answer() -> None:
    gaps = [gap(0, 300, "r1", "r2"), gap(900, 1300, "r2", "r2")]
    assert longest_pause_ms(gaps, "r2") == 300.0


def test_a_pause_on_the_way_there_counts() -> None:
    gaps = [gap(0, 80, "r1", "r1"), gap(100, 105, "r1", "r2")]
    assert longest_pause_ms(gaps, "r2") == 80.0


def test_without_an_answer_of_the_successor_there_is_no_outage_to_tell() -> None:
    assert longest_pause_ms([gap(0, 25, "r1", "r1")], "r2") is None
    assert longest_pause_ms([], "r2") is None
