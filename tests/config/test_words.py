"""Words of a line: quotes, escapes, braces, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrrpd.config.words import Brace, Word, quote, split_words


def texts(line: str) -> list[str]:
    words, problem = split_words(line)
    assert problem is None
    return [word.text for word in words]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("priority  100\t ", ["priority", "100"]),
        ('abcd" efg h jkl "mnop', ["abcd efg h jkl mnop"]),
        ('abcd "efg h jkl" mnop', ["abcd", "efg h jkl", "mnop"]),
        ("script '/bin/x a b'", ["script", "/bin/x a b"]),
        ("router_id Bob's", ["router_id", "Bob's"]),
        ("a 'b", ["a", "'b"]),
        (r"a\ b", ["a b"]),
        (r'"a\"b\\c\nd"', ['a"b\\c\nd']),
        (r"\x41\102\cA", ["AB\x01"]),
        (r"\xc3\xa9", ["é"]),
        (r"\xff", ["\udcff"]),
        ('""', [""]),
        ("a{b}", ["a{b}"]),
        ("awk{print}x", ["awk{print}x"]),
    ],
)
def test_a_line_is_split_into_words(line: str, expected: list[str]) -> None:
    assert texts(line) == expected


def test_braces_make_blocks_beside_or_glued_to_a_word() -> None:
    for line in ("group { a }", "group{ a }", "group {a}"):
        assert split_words(line)[0] == [
            Word("group"),
            Word("{", Brace.OPEN),
            Word("a"),
            Word("}", Brace.CLOSE),
        ]


def test_a_quoted_brace_is_a_word() -> None:
    assert split_words('"{"')[0] == [Word("{")]


def test_an_open_quote_is_named() -> None:
    assert split_words('script "/bin/x')[1] == 'the quoted string is not closed, expected a second " on the same line'


def test_a_nul_byte_cannot_be_made() -> None:
    assert split_words(r"a\0b")[1] == r"\0 makes a NUL byte, expected text"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_quoted_text_is_read_as_itself(text: str) -> None:
    quoted = quote(text)
    assert "\n" not in quoted
    assert texts(quoted) == [text]


@given(st.binary().filter(lambda content: 0 not in content))
def test_quoted_bytes_are_read_as_themselves(content: bytes) -> None:
    text = content.decode("utf-8", "surrogateescape")
    assert texts(quote(text))[0].encode("utf-8", "surrogateescape") == content


@given(st.text())
def test_any_line_gives_words_or_says_what_is_wrong(line: str) -> None:
    words, problem = split_words(line.replace("\ud800", ""))
    assert problem is None or "expected" in problem
    assert all(isinstance(word.text, str) for word in words)
