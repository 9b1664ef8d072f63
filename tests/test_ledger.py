"""docs/rfc9568.md tells the truth: it is fresh, and no requirement or counter-case is without a test or a reason."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ledger import (
    BINDING,
    LEVELS,
    PAGE,
    REQUIREMENTS,
    ROOT,
    WRITE_IT,
    Kind,
    LedgerError,
    Proof,
    Proofs,
    Requirement,
    collect,
    faults,
    proofs_of,
    read_requirements,
    render,
)

RULE = Requirement("TM-2", "MUST", "RFC 9568 6.1", "The skew.")
WITH_COUNTER = replace(RULE, counter="an interval of 0")
TEST = Proof("tests/test_it.py", "test_it")
GROUPS = {"TM": "Timers"}


def test_the_page_of_requirements_is_fresh() -> None:
    groups, requirements = read_requirements(REQUIREMENTS.read_text())
    fresh = render(groups, requirements, collect(ROOT / "tests"))
    assert PAGE.read_text() == fresh, f"docs/rfc9568.md is stale: run {WRITE_IT}"


def test_every_requirement_and_every_counter_case_has_a_test_or_a_stated_reason() -> None:
    _, requirements = read_requirements(REQUIREMENTS.read_text())
    assert faults(requirements, collect(ROOT / "tests")) == []


def test_the_list_of_requirements_is_whole_and_well_formed() -> None:
    groups, requirements = read_requirements(REQUIREMENTS.read_text())
    assert len(requirements) == 198
    assert len({rule.id for rule in requirements}) == 198
    assert {rule.id.rpartition("-")[0] for rule in requirements} == set(groups)
    for rule in requirements:
        assert rule.level in LEVELS
        assert rule.rule.endswith(".")
        assert not rule.counter.endswith(".")


def test_markers_are_found_on_functions_classes_parameters_and_files() -> None:
    source = """
pytestmark = [pytest.mark.netns, pytest.mark.requirement("TM-1")]

@pytest.mark.requirement("TM-2", "TM-3")
@pytest.mark.counter_case("TM-3")
def test_one() -> None: ...

@pytest.mark.parametrize("case", [pytest.param(1, marks=pytest.mark.counter_case("TM-4"))])
async def test_two(case: int) -> None: ...

@pytest.mark.requirement("TM-5")
class TestThree:
    @pytest.mark.requirement("TM-6")
    def test_four(self) -> None: ...
"""
    assert {(found, kind.name, proof.test) for found, kind, proof in proofs_of(source, "tests/test_it.py")} == {
        ("TM-1", "KEPT", "the whole file"),
        ("TM-2", "KEPT", "test_one"),
        ("TM-3", "KEPT", "test_one"),
        ("TM-3", "COUNTER", "test_one"),
        ("TM-4", "COUNTER", "test_two"),
        ("TM-5", "KEPT", "TestThree"),
        ("TM-6", "KEPT", "test_four"),
    }


@pytest.mark.parametrize("marker", ["requirement", "counter_case"])
def test_a_marker_that_is_not_written_out_is_an_error(marker: str, tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_it.py").write_text(f"@pytest.mark.{marker}(WHICH)\ndef test_it() -> None: ...\n")
    with pytest.raises(LedgerError, match=r"tests/test_it\.py: line 1: a requirement is not written out"):
        collect(folder)


@pytest.mark.parametrize("proofs", [Proofs(kept=[TEST]), Proofs(counter=[TEST])])
def test_a_marker_for_something_that_is_no_requirement_is_an_error(proofs: Proofs) -> None:
    with pytest.raises(LedgerError, match=r"tests/test_it\.py: TM-99 is not in docs/requirements\.json"):
        faults([RULE], {"TM-99": proofs})


def test_a_counter_case_of_a_rule_that_names_none_is_an_error() -> None:
    with pytest.raises(LedgerError, match=r'tests/test_it\.py: TM-2 has no "counter" in docs/requirements\.json'):
        faults([RULE], {"TM-2": Proofs(kept=[TEST], counter=[TEST])})


@pytest.mark.parametrize("level", BINDING)
def test_a_rule_without_a_test_and_without_a_reason_is_a_fault(level: str) -> None:
    rule = replace(RULE, level=level)
    assert faults([rule], {}) == [f'TM-2 ({level}): no test, and no reason in "open"']
    assert faults([rule], {"TM-2": Proofs(kept=[TEST])}) == []
    assert faults([replace(rule, open="Not built.")], {}) == []


def test_a_counter_case_without_a_test_and_without_a_reason_is_a_fault() -> None:
    one_sided = Proofs(kept=[TEST])
    assert faults([WITH_COUNTER], {"TM-2": one_sided}) == [
        'TM-2 (MUST): no test of the counter-case, and no reason in "open"'
    ]
    assert faults([WITH_COUNTER], {"TM-2": Proofs(kept=[TEST], counter=[TEST])}) == []
    assert faults([replace(WITH_COUNTER, open="Needs a second switch.")], {"TM-2": one_sided}) == []


def test_a_counter_case_alone_does_not_prove_that_the_rule_is_kept() -> None:
    assert faults([WITH_COUNTER], {"TM-2": Proofs(counter=[TEST])}) == ['TM-2 (MUST): no test, and no reason in "open"']


def test_a_reason_that_nothing_needs_is_a_fault() -> None:
    stale = replace(RULE, open="Built; no test names it yet.")
    assert faults([stale], {"TM-2": Proofs(kept=[TEST])}) == [
        'TM-2: has all its tests, so the reason in "open" has to go'
    ]


def test_the_page_shows_the_reason_only_where_no_test_is() -> None:
    rule = Requirement("TM-2", "MUST", "RFC 9568 6.1", "The skew.", open="Not built.", note="Mind this.")
    without = render(GROUPS, [rule], {})
    assert "## Timers" in without
    assert "**TM-2** (MUST, RFC 9568 6.1) The skew.\n*Mind this.*\n\n- no test: Not built.\n" in without
    with_test = render(GROUPS, [rule], {"TM-2": Proofs(kept=[TEST])})
    assert "*Mind this.*\n\n- `tests/test_it.py` test_it\n" in with_test
    assert "Not built." not in with_test


def test_the_page_lists_the_tests_of_the_counter_case_apart() -> None:
    other = Proof("tests/test_it.py", "test_not_it")
    both = render(GROUPS, [WITH_COUNTER], {"TM-2": Proofs(kept=[TEST], counter=[other])})
    assert (
        "- `tests/test_it.py` test_it\n\nCounter-case: an interval of 0.\n\n- `tests/test_it.py` test_not_it\n" in both
    )
    rule = replace(WITH_COUNTER, open="Needs a second switch.")
    one_sided = render(GROUPS, [rule], {"TM-2": Proofs(kept=[TEST])})
    assert "Counter-case: an interval of 0.\n\n- no test of the counter-case: Needs a second switch.\n" in one_sided


def test_the_head_of_the_page_counts_both_kinds() -> None:
    rules = [
        WITH_COUNTER,
        replace(WITH_COUNTER, id="TM-3", open="Needs a second switch."),
        replace(RULE, id="TM-4", level="MUST NOT", open="Not built."),
        replace(RULE, id="TM-5", level="MAY"),
    ]
    proofs = {"TM-2": Proofs([TEST], [TEST]), "TM-3": Proofs([TEST]), "TM-5": Proofs([TEST])}
    page = render(GROUPS, rules, proofs)
    assert "| MUST, MUST NOT | 3 | 2 | 1 | 2 | 1 | 1 |" in page
    assert "| the others | 1 | 1 | 0 | 0 | 0 | 0 |" in page
    assert "| all | 4 | 3 | 1 | 2 | 1 | 1 |" in page


def test_every_kind_of_marker_is_registered() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    registered = configuration["tool"]["pytest"]["ini_options"]["markers"]
    for kind in Kind:
        assert any(marker.startswith(f"{kind.value}(*ids): ") for marker in registered)
