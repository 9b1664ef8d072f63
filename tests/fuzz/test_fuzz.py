"""Every target with a fixed budget of mutations, any bytes at all, and proof that the engine finds what is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vrrpd
from tests.fuzz.corpus import SEEDS, WORDS
from tests.fuzz.engine import attempt, fuzz, shrunk
from tests.fuzz.targets import TARGETS, VARIABLES

ROOT = Path(vrrpd.__file__).parent.parent
BUDGET = {"packet4": 6000, "packet6": 4000, "netlink": 8000, "frame": 20000, "files": 300, "conf": 800}
"""Inputs of a target; 1200 of the others."""


def test_every_target_has_seeds_and_words() -> None:
    assert SEEDS.keys() == WORDS.keys() == TARGETS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_understood(name: str) -> None:
    understood = [TARGETS[name].run(seed) for seed in SEEDS[name]]
    assert understood.count(True) >= len(understood) // 3, understood


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_good_inputs_find_nothing(name: str) -> None:
    outcome = fuzz(TARGETS[name].run, SEEDS[name], WORDS[name], seed=1, inputs=BUDGET.get(name, 1200))
    assert outcome.finding is None, f"{outcome.finding.data!r}\n{outcome.finding.what}"
    assert outcome.understood >= len(SEEDS[name]) // 3


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=3000))
def test_any_bytes_at_all_find_nothing(name: str, data: bytes) -> None:
    finding = attempt(TARGETS[name].run, data)[1]
    assert finding is None, finding.what


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(VARIABLES),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
        | st.from_regex(r"[0-9a-f.:,/ -]{1,40}", fullmatch=True),
        max_size=8,
    )
)
def test_any_values_of_known_variables_find_nothing(variables: dict[str, str]) -> None:
    data = b"\0".join(f"{name}={value}".encode() for name, value in variables.items())
    finding = attempt(TARGETS["environment"].run, data)[1]
    assert finding is None, finding.what


def fragile(data: bytes) -> bool:
    """Breaks on a byte at a place that no seed has."""
    if len(data) > 4 and data[3] == 0xFF:
        raise IndexError
    return True


def test_the_engine_finds_what_is_there_and_shrinks_it() -> None:
    outcome = fuzz(fragile, [b"abcdefgh"], [b"word"], seed=1, inputs=5000)
    assert outcome.finding is not None
    assert "IndexError" in outcome.finding.what
    assert len(shrunk(fragile, outcome.finding.data)) == 5
    assert fuzz(fragile, [b"abcdefgh"], [b"word"], seed=1, inputs=5000).inputs == outcome.inputs


def test_the_command_runs_without_atheris_and_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "frame", "--engine", "mutation", "--seconds", "0.2", "--seed", "7"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "by plain mutation, not guided by coverage: as asked for" in done.stdout
    assert "frame: " in done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "nothing"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("fuzz: no target nothing, expected some of: packet4, ")
