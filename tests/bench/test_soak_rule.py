"""When a series is flat, on series made for it; which memory is judged; which pauses between advertisements count."""

from __future__ import annotations

import random

import pytest

from bench.soak.flat import Tolerance, judge, slope
from bench.soak.measure import MEGABYTE, Disturbance, Pauses, Sample, memory_of
from bench.soak.report import failures, markdown, verdicts
from bench.soak.run import NODES, Record
from tests.bench.frames import R1, R2, advertisement

MEMORY = Tolerance(0.5, 0.02)
COUNT = Tolerance(0.5)


def test_noise_around_a_level_is_flat() -> None:
    noise = random.Random(1)
    verdict = judge("", "", [(second, 30 + noise.uniform(-0.3, 0.3)) for second in range(600)], MEMORY)
    assert verdict.flat
    assert verdict.level == pytest.approx(30, abs=0.1)
    assert verdict.limit == pytest.approx(0.6, abs=0.01)


def test_a_leak_of_a_hundred_kilobytes_a_minute_is_not_flat() -> None:
    noise = random.Random(2)
    leak = [(second, 30 + second / 600 + noise.uniform(-0.3, 0.3)) for second in range(1800)]
    verdict = judge("", "", leak, MEMORY)
    assert not verdict.flat
    assert verdict.rise == pytest.approx(2.4, abs=0.1)  # 1440 s after the warm-up, 0.1 MB a minute


def test_what_is_used_once_in_the_warm_up_is_flat() -> None:
    assert judge("", "", [(second, 12 if second < 100 else 13) for second in range(600)], COUNT).flat


def test_one_descriptor_more_with_each_failover_is_not_flat() -> None:
    assert not judge("", "", [(second, 15 + second // 150) for second in range(600)], COUNT).flat


def test_outliers_do_not_make_a_series_rise() -> None:
    assert judge("", "", [(second, 40 if second % 10 == 9 else 3) for second in range(600)], COUNT).flat


def test_falling_is_flat() -> None:
    assert judge("", "", [(second, 40 - second / 60) for second in range(600)], COUNT).flat


@pytest.mark.parametrize("count", [0, 1, 5])
def test_nothing_is_flat_by_too_few_samples(count: int) -> None:
    assert not judge("", "", [(second, 1) for second in range(count)], COUNT).flat


def test_the_slope_is_the_median_of_all_pairs() -> None:
    assert slope([(0, 0), (1, 2), (2, 4), (3, 60)]) == pytest.approx(11)  # of 2, 2, 2, 20, 29, 56
    assert slope([(second, 2 * second) for second in range(1000)]) == pytest.approx(2)


ROLLUP = """\
55a284f3b000-7ffee383e000 ---p 00000000 00:00 0                          [rollup]
Rss:               20480 kB
Pss:               14336 kB
Pss_Anon:           9216 kB
Shared_Clean:       9216 kB
Private_Clean:      2048 kB
Private_Dirty:      9216 kB
Anonymous:          9216 kB
Swap:               1024 kB
SwapPss:            1024 kB
"""


def test_own_memory_is_the_anonymous_one_also_when_it_is_swapped_out() -> None:
    assert memory_of(ROLLUP).own == 10 * MEGABYTE
    assert memory_of(ROLLUP).pss == 14 * MEGABYTE


def test_memory_that_cannot_be_read_is_no_measurement() -> None:
    with pytest.raises(ValueError, match=r"smaps_rollup has no line Anonymous$"):
        memory_of(ROLLUP.replace("Anonymous", "Unknown"))


def soak(own: float, pss: float) -> Record:
    """Ten minutes in which own memory and PSS rise by so many megabytes, and nothing else does."""
    record = Record(10)
    for second in range(0, 600, 10):
        grown = second / 590
        record.samples += [
            Sample(second, node, 30, 28 + own * grown, 25 + pss * grown, 15, 3, 2, 4, 20, 3) for node in NODES
        ]
    return record


def test_pss_that_rises_because_other_programs_ended_is_told_and_not_judged() -> None:
    record = soak(own=0, pss=6)
    judged = verdicts(record)
    assert failures(record, judged) == ["no advertisements were seen"]
    machine = {"cores": 2, "cpu": "", "kernel": "", "python": "", "load_at_start": 0.0}
    line = "| r1: memory of all its processes (PSS) | 28.61 MB | | | 48 | not judged |"
    assert line in markdown(record, judged, machine, []).splitlines()


def test_own_memory_that_rises_is_judged() -> None:
    record = soak(own=6, pss=6)
    assert failures(record, verdicts(record))[:2] == [
        "r1: own memory of all its processes (anonymous): not flat",
        "r2: own memory of all its processes (anonymous): not flat",
    ]


def test_pauses_that_something_disturbed_do_not_count_and_the_wrong_node_is_told() -> None:
    pauses = Pauses(200, {(4, 1): "r1"})
    nodes = {R1.mac: "r1", R2.mac: "r2"}
    frames = [
        advertisement(0, R1),
        advertisement(201, R1),
        advertisement(500, R2),
        advertisement(900, R1),
        advertisement(1095, R1),
        advertisement(1200, R2),
    ]
    pauses.take(frames[:4], nodes, [Disturbance("", 400_000_000, 800_000_000)])
    pauses.take(frames[4:], nodes, [Disturbance("", 400_000_000, 800_000_000)])
    assert [pause.error_ms for pause in pauses.pauses] == pytest.approx([1, 5])
    assert pauses.intruders == [1_200_000_000]
