"""The words for what became of a script."""

from __future__ import annotations

import pytest

from vrrpd.scripts.result import Exited, Killed, Lost, NotStarted, Outcome, ScriptResult, TimedOut


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Exited(1), "exited with status 1"),
        (Killed(9), "killed by signal 9 (SIGKILL)"),
        (Killed(40), "killed by signal 40"),
        (TimedOut(1.5), "timed out after 1.5 s"),
        (NotStarted("/x: No such file or directory"), "could not be started: /x: No such file or directory"),
        (Lost("the script helper is gone"), "its end was not seen: the script helper is gone"),
    ],
)
def test_each_outcome_has_its_words(outcome: Outcome, words: str) -> None:
    assert ScriptResult(outcome).describe() == words


def test_the_last_line_of_output_is_part_of_the_description() -> None:
    result = ScriptResult(Exited(1), "connecting\nno answer from 192.0.2.1\n\n")
    assert result.describe() == "exited with status 1: no answer from 192.0.2.1"


def test_status_zero_is_the_only_success() -> None:
    failures: list[Outcome] = [Exited(1), Killed(15), TimedOut(1.0), NotStarted(""), Lost("")]
    assert ScriptResult(Exited(0)).succeeded
    assert [outcome for outcome in failures if ScriptResult(outcome).succeeded] == []


def test_output_cannot_move_the_cursor_or_fake_a_log_line() -> None:
    result = ScriptResult(Exited(1), "one\x1b[2J\x00two\rthree")
    assert result.lines == ("one [2J two", "three")


def test_a_line_without_end_is_cut() -> None:
    (line,) = ScriptResult(Exited(0), "x" * 4096).lines
    assert len(line) == 400
    assert line.endswith("x...")
