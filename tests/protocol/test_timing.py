"""Skew_Time and Master_Down_Interval: every value of RFC 9568 section 6.1 and RFC 3768 section 6.1 as a literal."""

from __future__ import annotations

import pytest

from vrrpd.protocol.timing import (
    Version,
    master_down_interval,
    master_down_interval_microseconds,
    seconds,
    skew_time,
    skew_time_microseconds,
)

V3_TABLE = [
    # priority, interval (cs), skew (us), master-down interval (us)
    (100, 100, 609375, 3609375),
    (150, 100, 414062, 3414062),
    (200, 100, 218750, 3218750),
    (254, 100, 7812, 3007812),
    (255, 100, 3906, 3003906),
    (1, 100, 996093, 3996093),
    (100, 300, 1828125, 10828125),
    (254, 1, 78, 30078),
    (100, 1, 6093, 36093),
    (1, 1, 9960, 39960),
    (100, 10, 60937, 360937),
    (254, 4095, 319921, 123169921),
    (1, 4095, 40790039, 163640039),
]
V2_TABLE = [
    # priority, interval (cs), skew (us), master-down interval (us)
    (100, 100, 609375, 3609375),
    (100, 300, 609375, 9609375),
    (1, 100, 996093, 3996093),
    (254, 25500, 7812, 765007812),
]


@pytest.mark.requirement("TM-2", "TM-3", "TM-6")
@pytest.mark.counter_case("V2-11")
@pytest.mark.parametrize(("priority", "interval", "skew", "down"), V3_TABLE)
def test_version_3_scales_the_skew_with_the_interval(priority: int, interval: int, skew: int, down: int) -> None:
    assert skew_time_microseconds(Version.V3, priority, interval) == skew
    assert master_down_interval_microseconds(Version.V3, priority, interval) == down


@pytest.mark.requirement("V2-11")
@pytest.mark.counter_case("TM-2")
@pytest.mark.parametrize(("priority", "interval", "skew", "down"), V2_TABLE)
def test_version_2_has_the_same_skew_for_every_interval(priority: int, interval: int, skew: int, down: int) -> None:
    assert skew_time_microseconds(Version.V2, priority, interval) == skew
    assert master_down_interval_microseconds(Version.V2, priority, interval) == down


@pytest.mark.requirement("TM-6")
def test_the_spread_between_backups_survives_at_one_centisecond() -> None:
    skews = [skew_time_microseconds(Version.V3, priority, 1) for priority in range(1, 256)]
    assert skews == sorted(skews, reverse=True)
    assert len(set(skews)) == 255


def test_times_for_the_loop_are_float_seconds() -> None:
    assert seconds(100) == 1.0
    assert seconds(1) == 0.01
    assert seconds(4095) == 40.95
    assert skew_time(Version.V3, 100, 100) == 0.609375
    assert skew_time(Version.V2, 100, 300) == 0.609375
    assert master_down_interval(Version.V3, 100, 100) == 3.609375
    assert master_down_interval(Version.V3, 100, 300) == 10.828125


@pytest.mark.requirement("K-DOWN")
def test_down_timer_adverts_replaces_the_three_intervals() -> None:
    assert master_down_interval(Version.V3, 100, 100, 1) == 1.609375
    assert master_down_interval(Version.V3, 100, 100, 100) == 100.609375
    assert master_down_interval(Version.V2, 100, 200, 2) == 4.609375
