"""The hunt as a command: it ends when it is told, and what it finds can be played again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import replay
from tests.simulation.broken import DEFECTS
from tests.simulation.hunt import Tally, findings, play_seeds

HUNT = [sys.executable, "-m", "tests.simulation.hunt", "--seed", "1", "--jobs", "1"]


def test_a_hunt_ends_after_the_episodes_it_was_asked_for() -> None:
    hunt = subprocess.run([*HUNT, "--episodes", "10"], capture_output=True, text=True, timeout=60, check=False)
    assert hunt.returncode == 0, hunt.stderr
    assert "fault episodes on " in hunt.stdout
    assert "no findings" in hunt.stdout
    assert "from seed 1\n" in hunt.stdout


def test_ctrl_c_ends_a_hunt_with_its_summary() -> None:
    with subprocess.Popen(HUNT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as hunt:
        assert hunt.stderr is not None
        assert hunt.stderr.readline() == "hunting from seed 1 on 1 processes; Ctrl-C ends it\n"
        hunt.send_signal(signal.SIGINT)
        output, errors = hunt.communicate(timeout=60)
    assert hunt.returncode == 0, errors
    assert "no findings" in output
    assert "Traceback" not in errors


def test_a_finding_is_reported_as_a_scenario_that_fails_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert findings(Tally()) == ""
    defect = next(each for each in DEFECTS if each.invariant == "never two MASTERs")
    with defect.applied():
        tally = play_seeds(range(1, 11))
        assert tally.findings
        found = tmp_path / "found.txt"
        found.write_text(findings(tally))
        assert replay.main([str(found)]) == 1
    assert "never two MASTERs: " in capsys.readouterr().err
    assert replay.main([str(found)]) == 0
