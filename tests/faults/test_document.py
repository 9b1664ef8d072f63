"""docs/faults.md tells of the rows that there are, and its table is made of the figures alone."""

from __future__ import annotations

import json

import pytest

import tests.faults.rows  # noqa: F401 (fills the list)
from tests.faults.document import BEGIN, END, PAGE, Report, generated, outage, written
from tests.faults.registry import ROWS, Role
from tests.faults.stage import Result

MACHINE = {"load_at_start": 0.1, "kernel": "6.1", "cores": 2, "cpu": "a processor"}


def result(row: str, role: Role, outage_ms: float | None, *unmet: str, program: str = "vrrpd") -> Result:
    return Result(row, role, program, outage_ms, unmet, 5.0)


def report(*results: Result, load: float = 0.1) -> Report:
    programs = {"vrrpd": "vrrpd 0.1.0", "keepalived": "keepalived 2.2.7"}
    return Report(results, programs, {**MACHINE, "load_at_start": load}, "2026-01-31", 3)


def test_the_page_has_every_row_of_the_list_and_no_other() -> None:
    page = PAGE.read_text(encoding="utf-8")
    told = [line for line in page.splitlines() if line.startswith("**") and "(`" in line]
    assert [line.partition("(`")[2].partition("`)")[0] for line in told] == list(ROWS)
    for row in ROWS.values():
        assert f"| {row.title} |" in page, row.key
        assert row.done in page, row.key
        assert row.master in page, row.key


def test_the_table_has_the_median_of_what_was_measured() -> None:
    plays = [result("sigkill", Role.MASTER, outage_ms) for outage_ms in (800.4, 700.2, 710.6)]
    assert "| SIGKILL | 711 ms | - | - | - |" in generated(report(*plays)).splitlines()


def test_silences_that_have_not_ended_are_not_left_out_of_the_median() -> None:
    assert outage([result("sigkill", Role.MASTER, None)] * 2 + [result("sigkill", Role.MASTER, 5.0)]) == "not over"
    assert outage([result("sigkill", Role.MASTER, 0.0)]) == "none"


def test_what_did_not_hold_is_told_below_the_table() -> None:
    play = result("sigterm", Role.BACKUP, 0.0, "first", "second", "third", program="keepalived")
    lines = generated(report(play)).splitlines()
    assert "| SIGTERM | - | - | - | none (1) |" in lines
    assert "1. SIGTERM, BACKUP, keepalived, 1 of 1: first; second" in lines


def test_a_report_that_was_saved_gives_the_same_page() -> None:
    saved = report(result("sigterm", Role.BACKUP, 0.0, "first", program="keepalived"), result("arp", Role.MASTER, 5.0))
    assert generated(Report.from_json(json.loads(json.dumps(saved.to_json())))) == generated(saved)


def test_a_busy_machine_is_told() -> None:
    assert "load 2.5 at the start" in generated(report(load=2.5))
    assert "load" not in generated(report(load=0.9)).partition("| Fault")[0]


def test_only_what_is_between_the_marks_is_written() -> None:
    page = f"before\n{BEGIN}\nfigures of yesterday\n{END}\nafter\n"
    new = written(page, report())
    assert new.startswith(f"before\n{BEGIN}\n\nMeasured 2026-01-31")
    assert new.endswith(f"{END}\nafter\n")
    assert "figures of yesterday" not in new
    with pytest.raises(ValueError, match="no marks"):
        written("no marks here", report())
