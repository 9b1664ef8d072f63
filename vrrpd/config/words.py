"""One line to words: quotes, escapes and braces, as keepalived.conf(5) describes them, and the way back.

Refuses to know files, blocks and keywords. Text is str throughout; bytes that are no UTF-8 (made by ``\\xHH``) travel
as surrogate escapes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

PIECE: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<double>"(?:[^"\\]|\\.)*")
    | (?P<single>'(?:[^'\\]|\\.)*')
    | (?P<escape>\\(?:x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|c.|.))
    | (?P<brace>[{}])
    | (?P<plain>[^\s"'\\{}]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|c.|.)", re.DOTALL)
CONTROL: Final = {"a": "\a", "b": "\b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
INCLUDES: Final = frozenset({"include", "includer", "includem", "includew", "includeb", "includea"})
"""Words that are something else without quotes when they begin a line."""
NEEDS_NO_QUOTES: Final = re.compile(r"[A-Za-z0-9_.:/+-]+", re.ASCII)


class Brace(Enum):
    """The two words that make blocks."""

    OPEN = "{"
    CLOSE = "}"


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its quotes and escapes resolved, or a brace of a block."""

    text: str
    brace: Brace | None = None


def split_words(line: str) -> tuple[list[Word], str | None]:
    """The words of a line, and what is wrong with it, if something is.

    A brace makes a block when it is a word of its own, or is glued to the end of one; in the middle of a word
    (``a{b}``) it is part of it.
    """
    words: list[Word] = []
    parts: list[str] = []
    literal_depth = 0
    in_word = False

    def finish() -> None:
        nonlocal in_word, literal_depth
        if in_word:
            words.append(Word(_decoded("".join(parts))))
        parts.clear()
        in_word = False
        literal_depth = 0

    position = 0
    while position < len(line):
        match = PIECE.match(line, position)
        assert match is not None, "the pattern matches any character"
        kind, text = match.lastgroup, match[0]
        # A single quote opens a string only at the start of a word: elsewhere it is an apostrophe.
        if kind == "single" and in_word:
            kind, text = "other", "'"
        position += len(text)
        if kind == "space":
            finish()
        elif kind == "brace" and not _is_literal(text, line, position, in_word, literal_depth):
            finish()
            words.append(Word(text, Brace(text)))
        elif kind == "other" and text == '"':
            return words, 'the quoted string is not closed, expected a second " on the same line'
        else:
            in_word = True
            literal_depth += {"{": 1, "}": -1}.get(text, 0) if kind == "brace" else 0
            value = _value(kind, text)
            if "\0" in value:
                return words, f"{text} makes a NUL byte, expected text"
            parts.append(value)
    finish()
    return words, None


def _is_literal(brace: str, line: str, after: int, in_word: bool, literal_depth: int) -> bool:
    if not in_word:
        return False
    if brace == "}":
        return literal_depth > 0
    return after < len(line) and not line[after].isspace()


def _value(kind: str | None, text: str) -> str:
    if kind in ("double", "single"):
        return ESCAPE.sub(_unescaped, text[1:-1])
    if kind == "escape":
        return ESCAPE.sub(_unescaped, text)
    return text


def _unescaped(match: re.Match[str]) -> str:
    body = match[1]
    if body[0] == "x" and len(body) > 1:
        return _byte(int(body[1:], 16))
    if body[0] in "01234567":
        return _byte(int(body, 8) & 0xFF)
    if body[0] == "c" and len(body) > 1:
        return chr(ord(body[1]) & 0x1F)
    return CONTROL.get(body, body)


def _byte(value: int) -> str:
    return chr(value) if value < 0x80 else chr(0xDC00 + value)


def _decoded(text: str) -> str:
    """Bytes written one by one, joined to the characters that they make."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def quote(text: str) -> str:
    """A word as it is written in a file, so that ``split_words`` gives ``text`` back whatever it holds."""
    if NEEDS_NO_QUOTES.fullmatch(text) and text not in INCLUDES:
        return text
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    # "$" is written as its number because parameters are replaced within quotes too.
    if character == "$" or ord(character) < 0x20 or character == "\x7f":
        return f"\\x{ord(character):02x}"
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character
