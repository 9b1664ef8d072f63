"""How a table of keywords is written and read: what a block understands is one declarative table.

A table maps a keyword to its treatment: it works (with the handler that reads its values), it asks for what is always
done, it has no effect here, it is refused, or it belongs to keepalived's load balancer. Values are parsed by the small
readers below; they store what they read in a ``Draft``, with the line it came from. No keyword is named in this file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Final, TypeAlias, TypeVar, assert_never

from vrrpd.config.lexer import Statement
from vrrpd.config.model import IPAddress
from vrrpd.config.report import Place, Report, seen

T = TypeVar("T")

INTEGER: Final = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
DECIMAL: Final = re.compile(r"(?:[0-9]{1,10}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})", re.ASCII)
LONGEST_GUESS: Final = 40
"""Characters of a keyword for which a likely spelling is sought."""
BOOLEANS: Final = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a block of entries, and its line."""

    value: object
    place: Place


class Draft:
    """What a block said, keyword by keyword, before defaults and rules make a value of the model of it."""

    def __init__(self, place: Place, name: str = "") -> None:
        self.place = place
        self.name = name
        self.broken: set[str] = set()
        """Keywords with a reported error: what follows from them is not worth another message."""
        self._values: dict[str, object] = {}
        self._places: dict[str, Place] = {}
        self._items: dict[str, list[Item]] = {}

    def set(self, keyword: str, value: object, place: Place) -> None:
        """Store the value of a keyword; the last one counts."""
        self._values[keyword] = value
        self._places[keyword] = place

    def add(self, keyword: str, value: object, place: Place) -> None:
        """Store one entry of a keyword's block."""
        self._items.setdefault(keyword, []).append(Item(value, place))

    def get(self, keyword: str, kind: type[T]) -> T | None:
        """The value of a keyword, None where it was not given (or was wrong)."""
        value = self._values.get(keyword)
        return value if isinstance(value, kind) else None

    def items(self, keyword: str, kind: type[T]) -> list[tuple[T, Place]]:
        """The entries of a keyword's block, in order."""
        return [(item.value, item.place) for item in self._items.get(keyword, []) if isinstance(item.value, kind)]

    def given(self, keyword: str) -> bool:
        """Whether the keyword was there, right or wrong."""
        return keyword in self._places

    def seen_at(self, keyword: str, place: Place) -> None:
        """Remember that the keyword was there."""
        self._places[keyword] = place

    def place_of(self, keyword: str, entry: int = -1) -> Place:
        """The line of a keyword or of an entry in its block; the block's own line where it was not given."""
        items = self._items.get(keyword, [])
        if 0 <= entry < len(items):
            return items[entry].place
        return self._places.get(keyword, self.place)


Handler: TypeAlias = Callable[[Statement, Draft, Report], None]


@dataclass(frozen=True, slots=True)
class Works:
    """Read and honoured. ``repeatable``: each one adds to those before, instead of taking their place."""

    read: Handler
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class AlwaysSo:
    """Accepted without a word: vrrpd does what it asks for whether it is there or not."""

    why: str


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Accepted with a warning: leaving it out harms nobody on the network."""

    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An error: running without it would show the network something else than the file asks for."""

    why: str


@dataclass(frozen=True, slots=True)
class OtherHalf:
    """Of keepalived's load balancer and its checkers: skipped, with one warning for all of them."""


Treatment: TypeAlias = Works | AlwaysSo | NoEffect | Refused | OtherHalf
Table: TypeAlias = Mapping[str, Treatment]


class Skipped:
    """Statements of the other half, gathered for their one warning."""

    def __init__(self) -> None:
        self._statements: list[Statement] = []

    def add(self, statement: Statement) -> None:
        """Remember one."""
        self._statements.append(statement)

    def tell(self, report: Report) -> None:
        """Warn, once for all of them."""
        if not self._statements:
            return
        first = self._statements[0]
        more = len(self._statements) - 1
        rest = f" and {more} more statement{'s' if more > 1 else ''} belong" if more else " belongs"
        report.warning(first.place, f"{first.keyword}{rest} to keepalived's load balancer: skipped, vrrpd is VRRP only")


def read_block(
    statements: Sequence[Statement], draft: Draft, table: Table, where: str, report: Report, skipped: Skipped
) -> None:
    """Treat each statement of a block as its table says; ``where`` names the block in messages."""
    for statement in statements:
        keyword, place = statement.keyword, statement.place
        treatment = table.get(keyword)
        match treatment:
            case None:
                what = "block" if statement.block is not None else "keyword"
                guess = _nearest(keyword, table) if not report.full else None
                hint = f", expected {guess} perhaps" if guess else ""
                report.warning(place, f"unknown {what} {seen(keyword)} in {where} is ignored{hint}")
            case Works(read, repeatable):
                if not repeatable and draft.given(keyword):
                    report.warning(
                        place, f"{keyword} was already given at {draft.place_of(keyword)}: the last one counts"
                    )
                draft.seen_at(keyword, place)
                read(statement, draft, report)
            case AlwaysSo():
                draft.seen_at(keyword, place)
            case NoEffect(why):
                report.warning(place, f"{keyword} has no effect: {why}")
            case Refused(why):
                draft.broken.add(keyword)
                report.error(place, f"{keyword} is not supported: {why}")
            case OtherHalf():
                skipped.add(statement)
            case _:
                assert_never(treatment)


def _nearest(keyword: str, table: Table) -> str | None:
    """The known keyword that somebody may have meant."""
    if len(keyword) > LONGEST_GUESS:
        return None
    return next(iter(get_close_matches(keyword, table, n=1, cutoff=0.8)), None)


def fail(statement: Statement, draft: Draft, report: Report, message: str) -> None:
    """Report an error and remember that the keyword is broken."""
    draft.broken.add(statement.keyword)
    report.error(statement.place, message)


def only_value(statement: Statement, draft: Draft, report: Report, expected: str) -> str | None:
    """The single value of a statement that has neither more values nor a block."""
    keyword = statement.keyword
    if statement.block is not None:
        fail(statement, draft, report, f"{keyword} has a block, expected {expected}")
        return None
    if not statement.values:
        fail(statement, draft, report, f"{keyword} has no value, expected {expected}")
        return None
    if len(statement.values) > 1:
        report.warning(statement.place, f"{keyword} has more than one value: {seen(statement.values[1])} is ignored")
    return statement.values[0]


def number(low: int, high: int) -> Works:
    """A whole number from ``low`` to ``high``."""
    expected = f"{low} to {high}"

    def read(statement: Statement, draft: Draft, report: Report) -> None:
        text = only_value(statement, draft, report, expected)
        if text is None:
            return
        value = whole(text)
        if value is None or not low <= value <= high:
            fail(statement, draft, report, f"{statement.keyword} is {seen(text)}, expected {expected}")
            return
        draft.set(statement.keyword, value, statement.place)

    return Works(read)


def seconds(low: str, high: str) -> Works:
    """A time in seconds with fractions down to a microsecond, stored as float."""
    expected = f"{low} to {high} seconds"

    def read(statement: Statement, draft: Draft, report: Report) -> None:
        text = only_value(statement, draft, report, expected)
        if text is None:
            return
        value = decimal(text)
        if value is None or not Decimal(low) <= value <= Decimal(high):
            fail(statement, draft, report, f"{statement.keyword} is {seen(text)}, expected {expected}")
            return
        draft.set(statement.keyword, float(round(value, 6)), statement.place)

    return Works(read)


def flag(value: bool = True, stored_as: str = "") -> Works:
    """A keyword that says something by being there, or says the opposite with off, no or false behind it."""
    expected = "on or off (or nothing, for on)"

    def read(statement: Statement, draft: Draft, report: Report) -> None:
        said = True
        if statement.values or statement.block is not None:
            text = only_value(statement, draft, report, expected)
            if text is None:
                return
            if text not in BOOLEANS:
                fail(statement, draft, report, f"{statement.keyword} is {seen(text)}, expected {expected}")
                return
            said = BOOLEANS[text]
        draft.set(stored_as or statement.keyword, value if said else not value, statement.place)

    return Works(read)


def choice(values: Mapping[str, object]) -> Works:
    """One of some words."""
    expected = " or ".join(values)

    def read(statement: Statement, draft: Draft, report: Report) -> None:
        text = only_value(statement, draft, report, expected)
        if text is None:
            return
        if text not in values:
            fail(statement, draft, report, f"{statement.keyword} is {seen(text)}, expected {expected}")
            return
        draft.set(statement.keyword, values[text], statement.place)

    return Works(read)


def text(expected: str, wrong: Callable[[str], bool] = lambda _: False) -> Works:
    """Any one word that is not ``wrong``."""

    def read(statement: Statement, draft: Draft, report: Report) -> None:
        value = only_value(statement, draft, report, expected)
        if value is None:
            return
        if wrong(value):
            fail(statement, draft, report, f"{statement.keyword} is {seen(value)}, expected {expected}")
            return
        draft.set(statement.keyword, value, statement.place)

    return Works(read)


def address(expected: str, stored_as: str = "") -> Works:
    """An IP address without prefix length or zone."""

    def read(statement: Statement, draft: Draft, report: Report) -> None:
        word = only_value(statement, draft, report, expected)
        if word is None:
            return
        value = ip(word)
        if value is None:
            fail(statement, draft, report, f"{statement.keyword} is {seen(word)}, expected {expected}")
            return
        draft.set(stored_as or statement.keyword, value, statement.place)

    return Works(read)


def entries(parse: Callable[[Statement, Report], object | None], expected: str) -> Works:
    """A block with one entry on each line; ``parse`` reports what is wrong with one and returns None for it."""

    def read(statement: Statement, draft: Draft, report: Report) -> None:
        keyword = statement.keyword
        if statement.block is None:
            fail(statement, draft, report, f"{keyword} has no block, expected {{ ... }} with {expected}")
            return
        if statement.values:
            report.warning(
                statement.place, f"{keyword} has a value before its block: {seen(statement.values[0])} is ignored"
            )
        for entry in statement.block:
            value = parse(entry, report)
            if value is None:
                draft.broken.add(keyword)
            else:
                draft.add(keyword, value, entry.place)

    return Works(read, repeatable=True)


def not_printable(word: str) -> bool:
    """Whether a word cannot serve as a name: empty, or with control characters."""
    return not word or not word.isprintable()


def whole(text: str) -> int | None:
    """A whole number in ASCII digits, None for anything else."""
    return int(text) if INTEGER.fullmatch(text) else None


def decimal(text: str) -> Decimal | None:
    """A plain decimal number without sign or exponent, None for anything else."""
    return Decimal(text) if DECIMAL.fullmatch(text) else None


def ip(text: str) -> IPAddress | None:
    """An IP address without zone, None for anything else."""
    try:
        return ip_address(text) if "%" not in text else None
    except ValueError:
        return None
