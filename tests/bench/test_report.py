"""From samples to the table: which figure is which, what its target is, what the report says."""

from __future__ import annotations

import json

import pytest

from bench.daemons import Program
from bench.figures import Figure, Target, Verdict, figures
from bench.report import markdown, terminal
from bench.results import BusySample, EventSample, ProcessorTime, Results, StartSample, SteadySample
from bench.scenarios import Event
from bench.wire import Takeover

KEEPALIVED = Program("keepalived", ("keepalived", "{config}"), "keepalived 2.2.7")
VRRPD = Program("vrrpd", ("vrrpd", "{config}"), "vrrpd 0.1.0")


def failover(daemon: str, number: int, *overheads_ms: float, scenario: str = "a", lost: int = 0) -> EventSample:
    """A crash whose takeovers had these overheads."""
    found = tuple(
        Takeover(vrid, f"198.18.1.{vrid}", 0, 1_000_000, 900_000, 1_000_000 + round(overhead * 1_000_000))
        for vrid, overhead in enumerate(overheads_ms, 1)
    )
    return EventSample(scenario, daemon, number, Event.CRASH, 5_000_000, len(found) + lost, found, 300.0)


def results() -> Results:
    """A run of two daemons in which little was measured."""
    run = Results((KEEPALIVED, VRRPD), {"cpu": "a processor", "cores": 2, "governor": None}, {"seed": 1}, 0)
    run.events += [failover("keepalived", 0, 1.0), failover("keepalived", 1, 3.0)]
    run.events += [failover("vrrpd", 0, 0.5), failover("vrrpd", 1, 1.5)]
    return run


def named(found: list[Figure], name: str) -> Figure:
    """The one figure with that name."""
    (figure,) = (figure for figure in found if figure.name == name)
    return figure


def test_a_figure_has_a_ratio_a_target_and_a_verdict() -> None:
    figure = named(figures(results()), "crash p50")
    assert figure.values == {"keepalived": 2.0, "vrrpd": 1.0}
    assert figure.count == {"keepalived": 2, "vrrpd": 2}
    assert figure.ratio == 0.5
    assert str(figure.target) == "<= 0.6x"
    assert figure.verdict is Verdict.REACHED


def test_what_was_not_measured_is_no_line() -> None:
    assert {figure.name for figure in figures(results())} == {"crash p50", "crash p95", "crash max", "crash outage p50"}


def test_with_many_addresses_the_median_round_counts() -> None:
    run = results()
    run.events = [
        failover("vrrpd", 0, 1.0, 2.0, scenario="b"),
        failover("vrrpd", 1, 1.0, 90.0, scenario="b"),
        failover("vrrpd", 2, 1.0, 3.0, scenario="b"),
    ]
    assert named(figures(run), "crash max").values == {"keepalived": None, "vrrpd": 3.0}


@pytest.mark.parametrize(
    ("target", "ours", "baseline", "verdict"),
    [
        (Target(ratio=0.5), 1.0, 2.0, Verdict.REACHED),
        (Target(ratio=0.5), 1.1, 2.0, Verdict.MISSED),
        (Target(ratio=0.5), 1.1, None, Verdict.UNKNOWN),
        (Target(ratio=1), 0.0, 0.0, Verdict.REACHED),
        (Target(ratio=1), 1.0, 0.0, Verdict.MISSED),
        (Target(limit=36), 36.0, None, Verdict.REACHED),
        (Target(limit=36), 36.1, 100.0, Verdict.MISSED),
        (Target(limit=36), None, 8.0, Verdict.UNKNOWN),
    ],
)
def test_a_target_is_a_ratio_or_a_limit(
    target: Target, ours: float | None, baseline: float | None, verdict: Verdict
) -> None:
    assert target.judge(ours, baseline) is verdict


def test_the_memory_is_that_of_the_greater_side_and_the_error_that_of_the_median_round() -> None:
    run = results()
    for number, error in enumerate((0.2, 0.1, 0.3)):
        run.steady.append(SteadySample("steady", "vrrpd", number, 20.0, 3.0, 2.0, 30.0, 31.5, 2, 2, (error, error), 0))
    found = figures(run)
    assert named(found, "memory (PSS)").values["vrrpd"] == 31.5
    assert named(found, "interval error p99").values["vrrpd"] == 0.2
    assert named(found, "CPU of the master").values["vrrpd"] == 3.0
    assert named(found, "CPU of the backup").values["vrrpd"] == 2.0


def test_starts_and_false_failovers_have_their_lines() -> None:
    run = results()
    run.starts += [StartSample("a", "vrrpd", 0, 350.0, 360.0)]
    run.busy += [BusySample("busy", "vrrpd", 0, 60.0, 2, (0.1, 0.3)), BusySample("busy", "keepalived", 0, 60.0, 3, ())]
    found = figures(run)
    assert named(found, "start to BACKUP").verdict is Verdict.REACHED
    failovers = named(found, "false failovers")
    assert failovers.values == {"keepalived": 3, "vrrpd": 2}
    assert failovers.verdict is Verdict.REACHED
    assert named(found, "interval error p50").values == {"keepalived": None, "vrrpd": pytest.approx(0.2)}
    assert named(found, "interval error p99").values["vrrpd"] == pytest.approx(0.298)


def test_the_terminal_has_a_table_for_each_scenario() -> None:
    run = results()
    run.problems.append("b: 8 of 8 rounds left out for lack of time")
    run.events.append(failover("vrrpd", 2, 2.5))
    lines = terminal(figures(run), run).splitlines()
    assert lines[1:5] == [
        "(a) 1 router, 1 address, 100 ms",
        "figure            unit  keepalived  vrrpd  vrrpd/keepalived   target          rounds",
        "crash p50           ms           2  1.500              0.75  <= 0.6x  missed     2/3",
        "crash p95           ms       2.900  2.400              0.83  <= 0.8x  missed     2/3",
    ]
    assert lines[8:] == [
        "0 of 2 measured targets reached; missed: (a) crash p50: 1.500, 0.75x, expected <= 0.6x; "
        "(a) crash p95: 2.400, 0.83x, expected <= 0.8x.",
        "",
        "Problems:",
        "  b: 8 of 8 rounds left out for lack of time",
    ]


def test_the_report_has_versions_machine_tables_plots_and_problems() -> None:
    run = results()
    text = markdown(figures(run), run, [("Overhead", "overhead-a.png")])
    for line in (
        "1970-01-01 00:00 UTC. 2 of 2 measured targets reached.",
        "| keepalived | keepalived 2.2.7 |",
        "| vrrpd | vrrpd 0.1.0 |",
        "| cores | 2 |",
        "## (a) 1 router, 1 address, 100 ms",
        "| crash p50 | ms | 2 | 1 | 0.50 | <= 0.6x | reached | 2 |",
        "![Overhead](overhead-a.png)",
        "None.",
    ):
        assert line in text.splitlines()
    assert "governor" not in text


def test_the_json_has_every_sample_and_no_environment() -> None:
    run = results()
    run.events.append(failover("vrrpd", 2, 0.25, lost=1))
    document = json.loads(json.dumps(run.document()))
    last = document["events"][-1]
    assert last["overheads_ms"] == [0.25]
    assert (last["event"], last["expected"], last["outage_ms"]) == ("crash", 2, 300.0)
    assert last["takeovers"] == [[1, "198.18.1.1", 0, 1_000_000, 900_000, 1_250_000]]
    assert document["daemons"][1] == {"name": "vrrpd", "version": "vrrpd 0.1.0", "command": ["vrrpd", "{config}"]}
    assert run.events[-1].lost == 1


def test_what_the_host_gave_to_others_is_a_part_of_what_was_wanted() -> None:
    assert ProcessorTime(busy=1090, stolen=60).stolen_since(ProcessorTime(busy=1000, stolen=50)) == 0.1
    assert ProcessorTime(busy=1000, stolen=50).stolen_since(ProcessorTime(busy=1000, stolen=50)) == 0.0
    now = ProcessorTime.now()
    assert now.busy > 0
    assert now.stolen_since(now) == 0.0
