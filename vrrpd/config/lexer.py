"""Lines to statements and blocks: the shape of a keepalived.conf, without the meaning of any keyword."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vrrpd.config.report import Place, Report, seen
from vrrpd.config.source import UNDECODABLE, Line
from vrrpd.config.words import Brace, Word, split_words

MAXIMUM_DEPTH: Final = 16
"""Blocks within blocks; keepalived's own files need 4."""

BYTES_ALLOWED: Final = frozenset({"auth_pass"})
"""Statements whose words may be bytes that are no UTF-8."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A keyword with its values and, where braces follow, its block."""

    words: tuple[str, ...]
    place: Place
    block: tuple[Statement, ...] | None = None

    @property
    def keyword(self) -> str:
        """The first word."""
        return self.words[0]

    @property
    def values(self) -> tuple[str, ...]:
        """The words behind the keyword."""
        return self.words[1:]


class _Open:
    """A block that is still being read."""

    def __init__(self, words: tuple[str, ...], place: Place) -> None:
        self.words = words
        self.place = place
        self.statements: list[Statement] = []

    def closed(self) -> Statement:
        return Statement(self.words, self.place, tuple(self.statements))


def statements(lines: Iterable[Line], report: Report) -> tuple[Statement, ...]:
    """The statements of a configuration; what does not fit the shape is reported and left out."""
    root = _Open((), Place())
    stack = [root]
    for line in lines:
        words, problem = split_words(line.text)
        if problem is not None:
            report.error(line.place, problem)
            continue
        head: list[Word] = []
        for word in words:
            match word.brace:
                case None:
                    head.append(word)
                case Brace.OPEN:
                    opened = _opened(head, stack[-1], line.place, report)
                    if len(stack) > MAXIMUM_DEPTH:
                        report.error(
                            line.place, f"blocks are nested more than {MAXIMUM_DEPTH} deep: reading stopped here"
                        )
                        return tuple(root.statements)
                    stack.append(opened)
                    head = []
                case Brace.CLOSE:
                    _add(head, stack[-1], line.place, report)
                    head = []
                    if len(stack) == 1:
                        report.error(line.place, "} closes no block, expected a { before it")
                    else:
                        block = stack.pop()
                        stack[-1].statements.append(block.closed())
        _add(head, stack[-1], line.place, report)
    while len(stack) > 1:
        block = stack.pop()
        report.error(block.place, f"the block of {seen(' '.join(block.words))} is not closed, expected a }} after it")
        stack[-1].statements.append(block.closed())
    return tuple(root.statements)


def _opened(head: list[Word], parent: _Open, place: Place, report: Report) -> _Open:
    if head:
        return _Open(_texts(head, place, report), place)
    # The brace stands on a line of its own: it belongs to the statement before it.
    if parent.statements and parent.statements[-1].block is None:
        before = parent.statements.pop()
        return _Open(before.words, before.place)
    report.error(place, "{ opens a block without a name, expected a keyword before it")
    return _Open(("{",), place)


def _add(head: list[Word], parent: _Open, place: Place, report: Report) -> None:
    if head:
        parent.statements.append(Statement(_texts(head, place, report), place))


def _texts(head: list[Word], place: Place, report: Report) -> tuple[str, ...]:
    texts = tuple(word.text for word in head)
    if texts[0] not in BYTES_ALLOWED:
        for text in texts:
            if UNDECODABLE.search(text):
                report.error(place, f"{seen(text)} is not UTF-8, expected UTF-8 text")
                return tuple(UNDECODABLE.sub("?", one) for one in texts)
    return texts
