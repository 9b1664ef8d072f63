"""Writes plain data as YAML and JSON: mappings, lists, strings, numbers, truth values; nothing else is needed here.

YAML is written so that readers of version 1.1 (kubectl and oc are such) and of 1.2 read the same: a string is left bare
only when no reader could take it for something else. Knows nothing of Kubernetes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

Value: TypeAlias = "str | int | bool | Mapping[str, Value] | Sequence[Value]"

_BARE: Final = re.compile(r"[A-Za-z/](?:[A-Za-z0-9_./@-]|:(?=[A-Za-z0-9]))*", re.ASCII)
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1 takes for a truth value or nothing, in whatever case."""
_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_STEP: Final = "  "


class Quoted(str):
    """A string that is quoted in YAML even where it need not be, as people expect of environment variables."""

    __slots__ = ()


class Octal(int):
    """A number that YAML 1.1 shows in octal (0755), as people write file modes; JSON has it in decimal."""

    __slots__ = ()


def to_yaml(documents: Iterable[Mapping[str, Value]], comments: Sequence[str] = ()) -> str:
    """The documents one after another, each with its ``---``, after lines of comment (without their ``#``)."""
    lines = [f"# {line}".rstrip() for line in comments]
    for document in documents:
        lines += ["---", *_mapping(document, "")]
    return "\n".join(lines) + "\n"


def to_json(value: Value) -> str:
    """One JSON document."""
    return json.dumps(value, indent=2) + "\n"


def _mapping(mapping: Mapping[str, Value], indent: str) -> Iterator[str]:
    for key, value in mapping.items():
        yield from _entry(f"{indent}{_scalar(key)}:", value, indent, in_sequence=False)


def _sequence(items: Sequence[Value], indent: str) -> Iterator[str]:
    for item in items:
        yield from _entry(f"{indent}-", item, indent, in_sequence=True)


def _entry(head: str, value: Value, indent: str, *, in_sequence: bool) -> Iterator[str]:
    """One value behind its key, or behind the dash of a list; ``indent`` is where the key or the dash begins."""
    match value:
        case str() if _is_text(value):
            yield from _literal(head, value, indent + _STEP)
        case str() | int():
            yield f"{head} {_scalar(value)}"
        case Mapping() if value:
            lines = list(_mapping(value, indent + _STEP))
            if in_sequence:
                # The first key stands beside the dash: both take two columns.
                yield f"{head} {lines.pop(0).removeprefix(indent + _STEP)}"
            else:
                yield head
            yield from lines
        case Mapping():
            yield f"{head} {{}}"
        case _ if value and in_sequence:
            raise NotImplementedError("a list in a list")
        case _ if value:
            yield head
            yield from _sequence(value, indent)
        case _:
            yield f"{head} []"


def _scalar(value: str | int) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Octal():
            return f"0{value:o}"
        case int():
            return str(value)
        case Quoted():
            return _quoted(value)
        case _:
            return value if _BARE.fullmatch(value) and value.lower() not in _WORDS else _quoted(value)


def _quoted(text: str) -> str:
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    """A character within double quotes. Unlike in JSON one beyond 16 bits is one escape, not two surrogates."""
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_text(text: str) -> bool:
    """Whether a string can be shown line by line: a carriage return, for one, would not survive there."""
    return "\n" in text and all(character in "\n\t" or character.isprintable() for character in text)


def _literal(head: str, text: str, indent: str) -> Iterator[str]:
    """A text of several lines as it is."""
    # The indentation is said where readers could not guess it: they take it from the first line that is not empty,
    # and refuse a tab there.
    said = len(_STEP) if text[0] in " \t\n" else ""
    body = text.removesuffix("\n")
    # What a text ends in decides what is kept of its end: nothing, one line end, all of them.
    keep = "-" if body == text else "" if body.strip("\n") and not body.endswith("\n") else "+"
    yield f"{head} |{said}{keep}"
    for line in body.split("\n"):
        yield indent + line if line else ""
