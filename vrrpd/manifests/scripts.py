"""Check and notify scripts on their way into a ConfigMap: local files read, and where the pod finds them.

A flag may also name a script that is in the pod already, as it had to with ``oc adm ipfailover``: a path below one of
the directories that are mounted there is never looked for on this machine.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from vrrpd.config.report import NOWHERE, Report, seen, seen_path
from vrrpd.manifests.words import is_config_map_key

DIRECTORY: Final = "/etc/keepalive"
"""Where the ConfigMap is mounted, as in the manuals."""
ELSEWHERE_IN_THE_POD: Final = ("/host", "/hosts")
"""The node's own file system."""
LARGEST: Final = 1024 * 1024
"""Bytes of all scripts: Kubernetes takes no larger ConfigMap."""


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A file of the ConfigMap."""

    key: str
    content: bytes

    @property
    def text(self) -> str | None:
        """The content as text, None where it has to travel as binary data."""
        try:
            text = self.content.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return None if "\0" in text else text


class Scripts:
    """The scripts of one request."""

    def __init__(self, report: Report, config_map_given: bool) -> None:
        self._report = report
        self._config_map_given = config_map_given
        self._files: dict[str, tuple[str, ScriptFile]] = {}
        self._there: list[str] = []

    @property
    def files(self) -> tuple[ScriptFile, ...]:
        """What the ConfigMap has to hold, in the order of the keys."""
        return tuple(script for _, (_, script) in sorted(self._files.items()))

    @property
    def config_map_is_theirs(self) -> bool:
        """Whether the ConfigMap exists already: then it is mounted and not printed."""
        return bool(self._there)

    def path_in_pod(self, flag: str, value: str) -> str:
        """Where the pod finds the script that a flag names; reads it where it is a local file. Empty for no script."""
        if not value:
            return ""
        path = PurePosixPath(os.path.normpath(value))
        if path.is_relative_to(DIRECTORY):
            self._there.append(flag)
            if not self._config_map_given:
                self._error(
                    f"{flag} is {seen_path(value)}, a path in the pod, expected --config-map too, which names the "
                    f"ConfigMap that has it (or a local file, whose content is printed as a ConfigMap)"
                )
            return value
        if any(path.is_relative_to(directory) for directory in ELSEWHERE_IN_THE_POD):
            return value
        content = self._content(flag, value)
        if content is None:
            return ""
        self._add(flag, value, ScriptFile(path.name, content))
        return f"{DIRECTORY}/{path.name}"

    def check(self) -> None:
        """Reports what is wrong with the scripts taken together."""
        if self._there and self._files:
            local = next(iter(self._files.values()))[0]
            self._error(
                f"{self._there[0]} is a script of an existing ConfigMap but {seen_path(local)} is a local file, "
                f"expected both to be local files, or both below {DIRECTORY}"
            )
        size = sum(len(script.content) for script in self.files)
        if size > LARGEST:
            self._error(f"the scripts have {size} bytes together, expected at most {LARGEST}, which a ConfigMap holds")

    def _add(self, flag: str, value: str, script: ScriptFile) -> None:
        if not is_config_map_key(script.key):
            self._error(
                f"{flag}: the file is called {seen(script.key)}, expected letters, digits, -, _ and . (for a ConfigMap)"
            )
            return
        known = self._files.get(script.key)
        if known is not None and known[1].content != script.content:
            self._error(
                f"{flag}: {seen_path(value)} and {seen_path(known[0])} have the same name in the ConfigMap, expected "
                "different ones"
            )
        self._files[script.key] = (value, script)
        problem = problem_of(script.content)
        if problem and known is None:
            self._report.warning(NOWHERE, f"{flag}: {seen_path(value)} {problem}")

    def _content(self, flag: str, value: str) -> bytes | None:
        try:
            # A pipe or a device would be waited for, or never end.
            if not stat.S_ISREG(os.stat(value).st_mode):
                self._error(f"{flag} is {seen_path(value)}, which is not a file, expected a script")
                return None
            with open(value, "rb") as file:
                return file.read(LARGEST + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            places = " or ".join((DIRECTORY, *ELSEWHERE_IN_THE_POD))
            self._error(
                f"{flag} is {seen_path(value)}: {reason[:1].lower()}{reason[1:]}, expected a script on this machine, "
                f"or a path in the pod below {places}"
            )
            return None

    def _error(self, message: str) -> None:
        self._report.error(NOWHERE, message)


def problem_of(content: bytes) -> str | None:
    """Why the kernel of the pod would not start such a file, None when nothing speaks against it."""
    first = content.partition(b"\n")[0]
    if content.startswith(b"\x7fELF"):
        return None
    if not first.startswith(b"#!"):
        return "does not begin with #!, expected #!/bin/bash or the like: the pod cannot run it"
    if first.endswith(b"\r"):
        return "has lines that end in CR LF (Windows), expected LF: the pod does not find its interpreter"
    return None
