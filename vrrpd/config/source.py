"""Files to lines: comments, continuation, ``include``, ``@id`` prefixes and ``$PARAMETER`` substitution.

What keepalived.conf(5) calls the advanced configuration, except sequences (``~SEQ``), lists (``~LST``) and
``${_RANDOM}``, which are errors with their line. Time and memory are bounded whatever the bytes: size of files, depth
and number of includes, and characters handled by substitution. Refuses to know words, blocks and keywords.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from vrrpd.config.report import Place, Report, seen, seen_path
from vrrpd.config.words import INCLUDES, split_words

MAXIMUM_BYTES: Final = 1024 * 1024
"""Of all files of one configuration together."""
MAXIMUM_FILES: Final = 1000
MAXIMUM_INCLUDE_DEPTH: Final = 16
MAXIMUM_WILDCARD_COMPONENTS: Final = 3
"""Path components of an include that may hold ``*``, ``?`` or ``[``: each one multiplies the directories to read."""
MAXIMUM_NESTING: Final = 16
"""How deep one multi-line parameter may stand in another."""
SUBSTITUTION_BUDGET: Final = 8 * 1024 * 1024
"""Characters that substitution may handle in one configuration (a line of n characters costs n for each parameter)."""
COST_OF_ONE_SUBSTITUTION: Final = 100
"""Characters charged besides, so that a parameter made of itself ends soon."""

DEFINITION: Final = re.compile(r"\s*\$([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.ASCII | re.DOTALL)
CONDITION: Final = re.compile(r"\s*@(\^?)(\S*)(.*)", re.DOTALL)
REPLACEABLE: Final = re.compile(r'\\.|"|\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([^{}"]*)\})', re.ASCII | re.DOTALL)
COMMENT_OR_QUOTE: Final = re.compile(r'\\.|["!#]', re.DOTALL)
UNDECODABLE: Final = re.compile("[\ud800-\udfff]")

PREDEFINED: Final = frozenset({"_PWD", "_INSTANCE", "_RANDOM", "_ENV", "_HASH", "_BANG"})
INCLUDES_THAT_MUST_MATCH: Final = frozenset({"includem", "includew", "includeb", "includea"})


@dataclass(frozen=True, slots=True)
class Line:
    """One line after all of that: no comment, no parameter left, never empty."""

    text: str
    place: Place


class _GiveUpError(Exception):
    """A bound was reached: it has been reported, and reading on would only repeat it."""


class Source:
    """Reads one configuration, from its main file or text, into lines."""

    def __init__(self, report: Report, config_id: str, environment: Mapping[str, str]) -> None:
        self._report = report
        self._config_id = config_id
        self._environment = environment
        self._parameters: dict[str, str] = {}
        self._bytes_left = MAXIMUM_BYTES
        self._files_left = MAXIMUM_FILES
        self._budget = SUBSTITUTION_BUDGET

    def lines_of_file(self, path: str) -> Iterator[Line]:
        """The lines of a file and of all that it includes."""
        try:
            yield from self._file(path, Place(path), (), pipe_allowed=True)
        except _GiveUpError:
            return

    def lines_of_text(self, text: str, file: str) -> Iterator[Line]:
        """The lines of a text that is treated as the content of ``file``."""
        self._report.file_opened(file)
        try:
            yield from self._lines(text, file, (os.path.realpath(file),))
        except _GiveUpError:
            return

    def _file(self, path: str, asked_at: Place, opened: tuple[str, ...], pipe_allowed: bool = False) -> Iterator[Line]:
        real = os.path.realpath(path)
        if real in opened:
            self._report.error(
                asked_at, f"include of {seen_path(path)} goes in a circle, expected a file not yet being read"
            )
            return
        self._files_left -= 1
        if self._files_left < 0:
            self._give_up(asked_at, f"more than {MAXIMUM_FILES} files are included")
        self._report.file_opened(path)
        content = self._content(path, asked_at, pipe_allowed)
        if content is not None:
            yield from self._lines(content.decode("utf-8", "surrogateescape"), path, (*opened, real))

    def _content(self, path: str, asked_at: Place, pipe_allowed: bool) -> bytes | None:
        try:
            # Looked at before it is opened: opening a FIFO without a writer, or some devices, would wait.
            mode = os.stat(path).st_mode
            if not stat.S_ISREG(mode) and not (pipe_allowed and stat.S_ISFIFO(mode)):
                self._report.error(asked_at, f"{_subject(path, asked_at)}not a regular file, expected a text file")
                return None
            with open(path, "rb") as file:
                content = file.read(self._bytes_left + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            if isinstance(error, PermissionError):
                # Root without CAP_DAC_OVERRIDE, as at a reload, is held to the permissions like everybody else.
                reason += f", expected a file that user id {os.geteuid()} may read by its owner and mode"
            self._report.error(asked_at, f"{_subject(path, asked_at)}cannot be read: {reason}")
            return None
        self._charge_bytes(len(content), asked_at)
        return content

    def _charge_bytes(self, count: int, place: Place) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            self._give_up(place, f"the configuration is larger than {MAXIMUM_BYTES} bytes")

    def _give_up(self, place: Place, message: str) -> None:
        self._report.error(place, f"{message}: reading stopped here")
        raise _GiveUpError

    def _lines(self, text: str, file: str, opened: tuple[str, ...]) -> Iterator[Line]:
        if len(text) > MAXIMUM_BYTES:
            self._give_up(Place(file), f"the configuration is larger than {MAXIMUM_BYTES} bytes")
        for logical, place in self._logical_lines(text.removeprefix("\ufeff"), file):
            yield from self._processed(logical, place, opened, 0)

    def _logical_lines(self, text: str, file: str) -> Iterator[tuple[str, Place]]:
        """Physical lines without comments, joined where one ends in a backslash.

        Lines of a definition with nothing behind its ``=`` stay lines: that is a parameter of several lines.
        """
        parts: list[str] = []
        first = 0
        for number, physical in enumerate(text.split("\n"), 1):
            place = Place(file, number)
            if not parts:
                first = number
            whole = physical.removesuffix("\r")
            part, continued = strip_comment(whole)
            if not continued and part and len(part) < len(whole) and not (part[-1].isspace() or part[-1] in "{}"):
                # keepalived cuts such a password, and nobody notices until the other router does.
                message = f"{whole[len(part)]} begins a comment in the middle of a word, expected a blank or quotes"
                self._report.warning(place, message)
            if UNDECODABLE.search(part):
                self._report.error(place, f"{seen(part.strip())} is not UTF-8, expected UTF-8 text outside of comments")
                part = ""
            if "\0" in part:
                self._report.error(place, "the line holds a NUL byte, expected text")
                part = ""
            parts.append(part)
            if not continued:
                yield _joined(parts), Place(file, first)
                parts = []
        if parts:
            yield _joined(parts), Place(file, first)

    def _processed(self, text: str, place: Place, opened: tuple[str, ...], depth: int) -> Iterator[Line]:
        if depth > MAXIMUM_NESTING:
            self._give_up(place, f"parameters are nested more than {MAXIMUM_NESTING} deep")
        text = text.strip()
        if "$" not in text and not text.startswith("@"):
            yield from self._finished(text, place, opened)
            return
        resume = 0
        while True:
            condition = CONDITION.fullmatch(text) if resume == 0 else None
            if condition:
                negated, wanted, text = condition[1], condition[2], condition[3].strip()
                if (wanted == self._config_id) == bool(negated):
                    return
                continue
            definition = DEFINITION.fullmatch(text) if resume == 0 else None
            if definition:
                self._define(definition[1], definition[2].strip(), place)
                return
            replaced = self._replaced_once(text, place, resume)
            if replaced is None:
                break
            text, resume = replaced
            if "\n" in text:
                for line in text.split("\n"):
                    yield from self._processed(line, place, opened, depth + 1)
                return
        yield from self._finished(text.strip(), place, opened)

    def _finished(self, text: str, place: Place, opened: tuple[str, ...]) -> Iterator[Line]:
        if not text:
            return
        if text.startswith("~"):
            name = re.split(r"[\s(]", text, maxsplit=1)[0]
            self._report.error(place, f"{seen(name)} is not supported, expected the lines it stands for, written out")
            return
        keyword = text.split(maxsplit=1)[0]
        if keyword in INCLUDES:
            yield from self._included(keyword, text, place, opened)
            return
        yield Line(text, place)

    def _define(self, name: str, value: str, place: Place) -> None:
        if name in PREDEFINED:
            self._report.error(place, f"${name} is predefined, expected another name")
            return
        self._parameters[name] = value

    def _replaced_once(self, text: str, place: Place, resume: int) -> tuple[str, int] | None:
        """The text with its next parameter replaced, and where to go on in it; None when there is none.

        An undefined parameter stays as it is, as in keepalived: scripts may hold a ``$``.
        """
        quoted = False
        for match in REPLACEABLE.finditer(text):
            if match[0] == '"':
                quoted = not quoted
            if match[0][0] != "$" or match.start() < resume:
                continue
            braced = match[2] is not None
            name = (match[2] if braced else match[1]).strip()
            value, again = self._value(name, place, braced, quoted)
            if value is None:
                continue
            self._budget -= len(text) + len(value) + COST_OF_ONE_SUBSTITUTION
            if self._budget < 0:
                self._give_up(place, f"${{{name}}} makes the configuration too large, or contains itself")
            # A value that is itself text of the configuration is looked through again, one from outside is not.
            return text[: match.start()] + value + text[match.end() :], match.start() + (0 if again else len(value))
        return None

    def _value(self, name: str, place: Place, braced: bool, quoted: bool) -> tuple[str | None, bool]:
        """What a parameter stands for (None: leave it), and whether the result is looked through again."""
        value = self._parameters.get(name)
        if value is not None:
            return value, True
        words = name.split()
        match words:
            case ["_PWD"]:
                return os.path.dirname(os.path.abspath(place.file)), False
            case ["_INSTANCE"]:
                return self._config_id, False
            case ["_HASH"]:
                return "#", False
            case ["_BANG"]:
                return "!", False
            case ["_ENV", variable]:
                found = self._environment.get(variable)
                if found is None:
                    self._report.error(place, f"environment variable {seen(variable)} is not set, expected a value")
                    return "", False
                if "\n" in found or "\0" in found or UNDECODABLE.search(found):
                    self._report.error(place, f"environment variable {seen(variable)} is not one line of UTF-8 text")
                    return "", False
                return found, False
            case ["_RANDOM", *_]:
                self._report.error(place, "${_RANDOM} is not supported, expected a fixed value")
                return "", False
        if not braced and quoted:
            return None, False
        shown = f"${{{name}}}" if braced else f"${name}"
        if braced and not quoted:
            self._report.error(place, f"{shown} is not defined, expected a line ${name}=VALUE before it")
        else:
            self._report.warning(place, f"{shown} is not defined and stays as it is")
        return None, False

    def _included(self, keyword: str, text: str, place: Place, opened: tuple[str, ...]) -> Iterator[Line]:
        words, problem = split_words(text)
        if problem is not None or len(words) != 2:
            self._report.error(
                place, f"{keyword} has {len(words) - 1} values, expected the name of one file or pattern"
            )
            return
        if len(opened) >= MAXIMUM_INCLUDE_DEPTH:
            self._report.error(place, f"{keyword} is nested more than {MAXIMUM_INCLUDE_DEPTH} files deep")
            return
        pattern = words[1].text
        if "\0" in pattern or UNDECODABLE.search(pattern):
            self._report.error(place, f"{keyword} of {seen_path(pattern)}, expected the name of a file")
            return
        if re.search(r"\{[^}]*,", pattern):
            self._report.error(
                place, f"{keyword} of {seen_path(pattern)}: braces are not supported, expected one line for each"
            )
            return
        if sum(glob.has_magic(part) for part in pattern.split("/")) > MAXIMUM_WILDCARD_COMPONENTS:
            limit = MAXIMUM_WILDCARD_COMPONENTS
            self._report.error(
                place, f"{keyword} of {seen_path(pattern)}, expected wildcards in at most {limit} path components"
            )
            return
        path = os.path.join(os.path.dirname(place.file), pattern)
        found = sorted(islice(glob.iglob(path), MAXIMUM_FILES + 1)) if glob.has_magic(pattern) else [path]
        if not glob.has_magic(pattern) and not os.path.lexists(path):
            found = []
        if not found:
            message = f"{keyword} of {seen_path(pattern)} matches no file"
            if keyword in INCLUDES_THAT_MUST_MATCH:
                self._report.error(place, message)
            else:
                self._report.warning(place, message)
        for one in found:
            yield from self._file(one, place, opened)


def _subject(path: str, asked_at: Place) -> str:
    """The file that a message is about, unless the message begins with it anyway."""
    return "" if path == asked_at.file else f"{seen_path(path)}: "


def strip_comment(text: str) -> tuple[str, bool]:
    """A physical line up to its comment, and whether a backslash at its end continues it.

    A comment begins at ``!`` or ``#`` anywhere outside double quotes; a backslash in front takes its meaning away.
    """
    quoted = False
    for match in COMMENT_OR_QUOTE.finditer(text):
        if match[0] == '"':
            quoted = not quoted
        elif match[0] in "!#" and not quoted:
            return text[: match.start()], False
    backslashes = len(text) - len(text.rstrip("\\"))
    if backslashes % 2:
        return text[:-1], True
    return text, False


def _joined(parts: list[str]) -> str:
    definition = DEFINITION.fullmatch(CONDITION.sub(r"\3", parts[0], count=1))
    if len(parts) > 1 and definition and not definition[2].strip():
        return parts[0] + "\n".join(parts[1:])
    return "".join(parts)
