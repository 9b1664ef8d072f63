"""The soak itself, as short as it can be: it disturbs, it samples, it judges, and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.daemons import ROOT
from bench.soak.report import TOLERANCES
from tests.bench.test_quick import environment, processes_with, skip_where_unavailable

pytestmark = pytest.mark.netns

SERIES = 2 * len(TOLERANCES)


def test_twenty_seconds_are_measured_judged_and_reported(tmp_path: Path) -> None:
    output = tmp_path / "output"
    done = subprocess.run(
        [sys.executable, "-m", "bench.soak", "--minutes", "0.33", "--no-plots", "--output", str(output)],
        env=environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    skip_where_unavailable(done.returncode, done.stderr)
    report = (output / "report.md").read_text(encoding="utf-8")
    # How punctual it was is this machine's affair; that nothing grows is the daemon's.
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert report.count(" | flat |") == SERIES, report
    assert "| reload: an address more for each router |" in report
    assert "| a cable is pulled and put back |" in report
    assert "off their time by" in report
    samples = json.loads((output / "samples.json").read_text(encoding="utf-8"))
    assert {sample["node"] for sample in samples} == {"r1", "r2"}
    assert all(sample["timers"] == 20 for sample in samples[-2:])
    assert all(sample["rss"] > 5 for sample in samples)
    assert all(sample["own"] > 5 for sample in samples)
    assert report.count("memory of all its processes (PSS)") == report.count(" | not judged |") == 2
    assert not processes_with(str(tmp_path))


def test_minutes_that_make_no_sense_are_refused() -> None:
    for minutes in ("0", "-1", "soon"):
        done = subprocess.run(
            [sys.executable, "-m", "bench.soak", "--minutes", minutes],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert "expected 0.2 to 10080" in done.stderr
