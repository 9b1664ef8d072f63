"""The well-known stories as scenario files, and what happens in them, line by line.

After a change that is meant: ``python -m tests.simulation.replay --write tests/simulation/scenarios/*.txt``, and read
the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.simulation import scenario as scenario_module
from tests.simulation.replay import golden_file, golden_text, main, transcript
from tests.simulation.scenario import VERBS, ScenarioError, parse

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_the_story_goes_as_it_is_told(scenario: Path) -> None:
    lines, wrong = transcript(parse(scenario.read_text()))
    assert wrong is None
    assert golden_text(lines) == golden_file(scenario).read_text()


def test_every_transcript_belongs_to_a_story() -> None:
    assert len(SCENARIOS) >= 20
    assert sorted((Path(__file__).parent / "scenarios").glob("*.transcript")) == [
        golden_file(path) for path in SCENARIOS
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("node 0\nepisode\nat 1 explode 0\nwhole 2\n", "line 3: 'at 1 explode 0'"),
        ("node 0\nepisode\nat 3 start 0\nwhole 2\n", "line 4: 'whole 2': the episode goes on after that"),
        ("node 0\nepisode\nat 3 cut 0\nwhole 4\n", "cut has 1 numbers, expected 2"),
        ("node 0\nrouter 51 node=1\n", "line 2"),
        ("node 0\nat 1 start 0\n", "expected an episode first"),
        ("node 0\nepisode\nat 1 start 0\n", "the last episode has no whole"),
        ("", "expected at least one node and one episode"),
    ],
)
def test_a_text_that_is_no_scenario_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse(text)
    assert problem in str(error.value)


def test_the_head_of_the_module_tells_of_everything_that_can_be_done() -> None:
    told = set(re.findall(r"[\w-]+", scenario_module.__doc__ or ""))
    assert not VERBS.keys() - told


def test_a_scenario_can_be_played_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = next(path for path in SCENARIOS if path.stem == "crash_of_the_master")
    assert main([str(story)]) == 0
    printed = capsys.readouterr()
    assert "n1/51 BACKUP -> MASTER: no advertisement from 192.0.2.1 in time" in printed.out
    assert printed.err == f"{story}: all invariants hold\n"
    (tmp_path / "bad.txt").write_text("nonsense\n")
    assert main([str(tmp_path / "bad.txt")]) == 2
