"""Random LANs from seeds: whatever was lost, cut, crashed or stopped, in the end one rightful MASTER serves.

This is the small budget that runs with the core's coverage; the large one is ``test_budget``. A failing seed is played
again with ``python -m tests.simulation.replay SEED``.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

import pytest

from tests.simulation.episodes import generate, size_of
from tests.simulation.hunt import play_seeds
from tests.simulation.play import play
from tests.simulation.scenario import STORMS, VERBS, parse

SEEDS = range(1, 41)
DIGEST = "import sys; from tests.simulation.test_simulation import digest; print(digest(int(sys.argv[1])))"


def digest(seed: int) -> str:
    """A hash of everything that happens in a run."""
    return hashlib.sha256("\n".join(play(generate(seed)).transcript).encode()).hexdigest()


@pytest.mark.requirement("SM-B-9", "SM-A-10", "SM-A-11", "SM-A-15", "SM-X-1", "PRE-1", "OWN-3", "V2-7", "V2-12")
def test_one_rightful_master_serves_once_the_network_is_whole() -> None:
    tally = play_seeds(SEEDS)
    assert tally.findings == []
    assert tally.episodes > 300


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    digests = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", DIGEST, "13"]
        digests.append(subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60).stdout)
    assert digests[0] == digests[1] == f"{digest(13)}\n".encode()
    assert digest(13) != digest(14)


def test_the_seeds_of_ci_do_everything_that_can_be_done() -> None:
    done = {
        operation.verb for seed in range(1, 300) for each in generate(seed).episodes for operation in each.operations
    }
    expected = {verb for verb in VERBS if verb != "storm"} | {f"storm {kind}" for kind in STORMS}
    assert done == expected


def test_scenarios_survive_being_written_and_read() -> None:
    for seed in SEEDS:
        scenario = generate(seed)
        assert parse(str(scenario)) == scenario


def test_the_lans_are_from_2_to_50_nodes_and_from_1_to_254_routers() -> None:
    sizes = [size_of(random.Random(seed)) for seed in range(1, 1001)]
    nodes, groups = (sorted(size[position] for size in sizes) for position in (0, 1))
    assert (nodes[0], groups[0]) == (2, 1)
    assert nodes[-1] >= 40
    assert groups[-1] >= 200
    assert nodes[500] <= 4
    assert [len(generate(seed).nodes) for seed in range(1, 9)] == [nodes for nodes, _, _ in sizes[:8]]
