"""The mutation list fits the code; that all of it is killed is ``make mutants``."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.__main__ import ROOT, copy_tree, mutated, survivors
from tests.mutation.mutants import AGENDA, MUTANTS, PACKET, ROUNDS, ROUTER, RUNNER, SIMULATION, TIMING, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_mutant_changes_one_place_and_leaves_a_program(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text()
    assert mutant.killers
    for killer in mutant.killers:
        assert (ROOT / killer.partition("::")[0]).is_file()
    assert ast.dump(ast.parse(mutated(mutant, text))) != ast.dump(ast.parse(text))


def test_there_are_enough_mutants_of_every_file() -> None:
    files = Counter(mutant.file for mutant in MUTANTS)
    assert len(MUTANTS) >= 25
    assert set(files) == {ROUTER, TIMING, PACKET, RUNNER, ROUNDS, AGENDA}
    assert min(files.values()) >= 4
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))


def test_a_mutant_that_does_harm_is_killed_and_one_that_does_none_survives(tmp_path: Path) -> None:
    copy_tree(tmp_path)
    before = (tmp_path / ROUTER).read_text()
    harmful = next(mutant for mutant in MUTANTS if mutant.name == "who gives way keeps the addresses")
    harmless = Mutant("harmless", ROUTER, "self._answers += 1", "self._answers += True")
    assert survivors(harmful, tmp_path) == []
    assert survivors(harmless, tmp_path) == [SIMULATION]
    assert (tmp_path / ROUTER).read_text() == before
