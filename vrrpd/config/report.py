"""Problems found in a configuration, gathered so that all of them can be told at once.

Knows what a person is shown (place, what was seen, what was expected) and nothing of any file format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from vrrpd.config.model import ConfigurationError, Diagnostic

MAXIMUM_DIAGNOSTICS: Final = 1000
"""Errors, and warnings, that are told; more help nobody and are counted."""

LONGEST_QUOTE: Final = 60
"""Characters of a wrong word that a message repeats."""

LONGEST_PATH: Final = 4096
"""PATH_MAX."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written; line 0 stands for the file as a whole, an empty file for nowhere."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


def seen_path(path: str) -> str:
    """A path as a message shows it: whole, since its end is what tells files apart."""
    return seen(path, LONGEST_PATH)


NOWHERE: Final = Place()

Locator: TypeAlias = Callable[[int, str, int], Place | None]
"""Says where a keyword of a router stands: index of the router, keyword, index of the entry in its block.

None means that this keyword has been reported as wrong already: nothing that follows from it is worth a message.
"""


def nowhere(router: int, keyword: str, entry: int) -> Place:
    """The locator of a source that has no lines."""
    return NOWHERE


def seen(text: str, longest: int = LONGEST_QUOTE) -> str:
    """A word as a message shows it: as it is when harmless, else quoted, and cut when long."""
    cut = text if len(text) <= longest else text[:longest] + "..."
    harmless = cut.isprintable() and cut != "" and " " not in cut
    return cut if harmless else ascii(cut)


CheckLocator: TypeAlias = Callable[[int], Place]
"""Says where the check of an index is defined."""


def check_nowhere(check: int) -> Place:
    """The locator of checks of a source that has no lines."""
    return NOWHERE


class Report:
    """Collects diagnostics; errors do not stop the search for more of them."""

    def __init__(self) -> None:
        self._found: dict[bool, dict[Diagnostic, None]] = {True: {}, False: {}}
        self._left_out = {True: 0, False: 0}
        self._files: dict[str, int] = {}
        self.fatal = False

    def error(self, place: Place, message: str) -> None:
        """Note something that forbids the configuration."""
        self.fatal = True
        self._add(Diagnostic(message, place.file, place.line, fatal=True))

    def warning(self, place: Place, message: str) -> None:
        """Note something that a person should know, though the configuration can run."""
        self._add(Diagnostic(message, place.file, place.line, fatal=False))

    def file_opened(self, file: str) -> None:
        """Remember the order in which files are read: diagnostics are told in it."""
        self._files.setdefault(file, len(self._files))

    def _add(self, diagnostic: Diagnostic) -> None:
        # Errors and warnings have room of their own: a thousand warnings must not hide the one error.
        found = self._found[diagnostic.fatal]
        if diagnostic in found:
            return
        if len(found) >= MAXIMUM_DIAGNOSTICS:
            self._left_out[diagnostic.fatal] += 1
            return
        found[diagnostic] = None

    @property
    def full(self) -> bool:
        """Whether further warnings are only counted."""
        return len(self._found[False]) >= MAXIMUM_DIAGNOSTICS

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything found, by file and line."""
        order = self._files
        found = [*self._found[True], *self._found[False]]
        found.sort(key=lambda one: (order.get(one.file, len(order)), one.line))
        for fatal, what in ((True, "errors"), (False, "warnings")):
            if self._left_out[fatal]:
                found.append(Diagnostic(f"{self._left_out[fatal]} more {what} are not shown", fatal=fatal))
        return tuple(found)

    def raise_if_fatal(self) -> None:
        """Raise ConfigurationError with every diagnostic when one of them is an error."""
        if self.fatal:
            raise ConfigurationError(self.diagnostics)
