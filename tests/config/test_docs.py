"""docs/configuration.md names every keyword and treats it as the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vrrpd.config.global_defs import GLOBAL_DEFS
from vrrpd.config.instances import AUTHENTICATION, VRRP_INSTANCE
from vrrpd.config.keepalived import FileContent
from vrrpd.config.keywords import AlwaysSo, NoEffect, OtherHalf, Refused, Table, Treatment, Works
from vrrpd.config.scripts import VRRP_SCRIPT

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
ROW = re.compile(r"\| `(\w+)` \| ([a-z ]+) \| (.*) \|")


def documented(heading: str) -> dict[str, tuple[str, str]]:
    """Treatment and remark of each keyword in the first table under a heading."""
    text = PAGE.read_text()
    section = text[text.index(f"\n{heading}\n") :]
    table = section[section.index("\n| keyword") + 1 :].split("\n\n", 1)[0]
    rows = [ROW.fullmatch(line) for line in table.splitlines()[2:]]
    assert all(rows), "every row has a keyword, a treatment and a remark"
    return {row[1]: (row[2], row[3]) for row in rows if row}


def in_words(treatment: Treatment, remark: str) -> tuple[str, str]:
    match treatment:
        case Works():
            assert remark, "what a keyword does is said"
            return "works", remark
        case AlwaysSo(why):
            return "always so", why
        case NoEffect(why):
            return "no effect", why
        case Refused(why):
            return "refused", why
        case OtherHalf():
            return "skipped", ""


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("## At the top of the file", FileContent().top()),
        ("## `global_defs`", GLOBAL_DEFS),
        ("## `vrrp_script`", VRRP_SCRIPT),
        ("## `vrrp_instance`", VRRP_INSTANCE),
        ("### `authentication`", AUTHENTICATION),
    ],
)
def test_the_page_and_the_code_agree_on_every_keyword(heading: str, table: Table) -> None:
    page = documented(heading)
    assert page.keys() == table.keys()
    assert page == {keyword: in_words(treatment, page[keyword][1]) for keyword, treatment in table.items()}
