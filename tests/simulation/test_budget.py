"""The simulation budget of CI: 12,000 fault episodes on more than 1,000 seeds, on all cores, and no finding.

It runs outside of the coverage run (marker ``budget``). More of it, on new seeds: ``make hunt``.
"""

from __future__ import annotations

import os
import time

import pytest

from tests.simulation.hunt import Tally, findings, hunt

EPISODES = 12_000
SEEDS = 1_000


def is_enough(tally: Tally) -> bool:
    """True when the budget is spent."""
    return tally.episodes >= EPISODES and tally.seeds >= SEEDS


@pytest.mark.budget
@pytest.mark.timeout(600)
@pytest.mark.requirement("SM-B-9", "SM-A-10", "SM-A-11", "SM-A-15", "SM-X-1", "PRE-1", "OWN-3", "V2-7", "V2-12")
def test_twelve_thousand_fault_episodes_on_a_thousand_seeds_find_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    begin = time.monotonic()
    tally = hunt(1, is_enough, os.cpu_count() or 1)
    with capsys.disabled():
        print(f"\nsimulation: {tally.sentence(time.monotonic() - begin)}")
    assert not tally.findings, findings(tally)
    assert tally.episodes >= EPISODES
    assert tally.seeds >= SEEDS
