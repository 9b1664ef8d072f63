"""docs/rfc9568.md tells the truth: it is fresh, and no requirement is without a test or a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ledger import (
    LEVELS,
    PAGE,
    REQUIREMENTS,
    ROOT,
    WRITE_IT,
    LedgerError,
    Proof,
    Requirement,
    collect,
    proofs_of,
    read_requirements,
    render,
)

RULE = Requirement("TM-2", "MUST", "RFC 9568 6.1", "The skew.")
GROUPS = {"TM": "Timers"}


def test_the_page_of_requirements_is_fresh() -> None:
    groups, requirements = read_requirements(REQUIREMENTS.read_text())
    fresh = render(groups, requirements, collect(ROOT / "tests"))
    assert PAGE.read_text() == fresh, f"docs/rfc9568.md is stale: run {WRITE_IT}"


def test_every_requirement_has_a_test_or_a_stated_reason() -> None:
    _, requirements = read_requirements(REQUIREMENTS.read_text())
    proofs = collect(ROOT / "tests")
    bare = [rule.id for rule in requirements if rule.id not in proofs and not rule.open]
    assert not bare


def test_the_list_of_requirements_is_whole_and_well_formed() -> None:
    groups, requirements = read_requirements(REQUIREMENTS.read_text())
    assert len(requirements) == 198
    assert len({rule.id for rule in requirements}) == 198
    assert {rule.id.rpartition("-")[0] for rule in requirements} == set(groups)
    for rule in requirements:
        assert rule.level in LEVELS
        assert rule.rule.endswith(".")


def test_markers_are_found_on_functions_classes_parameters_and_files() -> None:
    source = """
pytestmark = [pytest.mark.netns, pytest.mark.requirement("TM-1")]

@pytest.mark.requirement("TM-2", "TM-3")
def test_one() -> None: ...

@pytest.mark.parametrize("case", [pytest.param(1, marks=pytest.mark.requirement("TM-4"))])
async def test_two(case: int) -> None: ...

@pytest.mark.requirement("TM-5")
class TestThree:
    @pytest.mark.requirement("TM-6")
    def test_four(self) -> None: ...
"""
    assert {found: proof.test for found, proof in proofs_of(source, "tests/test_it.py")} == {
        "TM-1": "the whole file",
        "TM-2": "test_one",
        "TM-3": "test_one",
        "TM-4": "test_two",
        "TM-5": "TestThree",
        "TM-6": "test_four",
    }


def test_a_marker_that_is_not_written_out_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_it.py").write_text("@pytest.mark.requirement(WHICH)\ndef test_it() -> None: ...\n")
    with pytest.raises(LedgerError, match=r"tests/test_it\.py: line 1: a requirement is not written out"):
        collect(folder)


def test_a_marker_for_something_that_is_no_requirement_is_an_error() -> None:
    with pytest.raises(LedgerError, match=r"tests/test_it\.py: TM-99 is not in docs/requirements\.json"):
        render(GROUPS, [RULE], {"TM-99": [Proof("tests/test_it.py", "test_it")]})


def test_the_page_shows_the_reason_only_where_no_test_is() -> None:
    rule = Requirement("TM-2", "MUST", "RFC 9568 6.1", "The skew.", open="Not built.", note="Mind this.")
    without = render(GROUPS, [rule], {})
    assert "## Timers" in without
    assert "**TM-2** (MUST, RFC 9568 6.1) The skew.\n*Mind this.*\n\n- no test: Not built.\n" in without
    with_test = render(GROUPS, [rule], {"TM-2": [Proof("tests/test_it.py", "test_it")]})
    assert "*Mind this.*\n\n- `tests/test_it.py` test_it\n" in with_test
    assert "Not built." not in with_test
