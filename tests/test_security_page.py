"""docs/security.md claims nothing that no test shows: every test that it names is there, every claim names one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
SPOOFING = "tests/netns/test_spoofing.py"


def defined(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in functions}


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED.findall(PAGE))))
def test_a_test_that_the_page_names_is_there(path: str, name: str) -> None:
    assert name in defined(path)


def test_every_row_of_a_table_of_claims_names_its_tests() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    heads = [number for number, row in enumerate(rows) if row.endswith("| tests |")]
    assert len(heads) == 4
    for row in rows[heads[0] :]:
        assert NAMED.search(row) or row.endswith("| tests |"), row


def test_every_test_of_the_attacks_stands_on_the_page() -> None:
    named = {name for path, name in NAMED.findall(PAGE) if path == SPOOFING}
    assert named == {name for name in defined(SPOOFING) if name.startswith("test_")}
