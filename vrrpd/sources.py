"""Where the daemon's configuration comes from: a file, or the environment of an ipfailover pod.

A source can be asked again at any time (a reload). Reading blocks, so it happens at start and in a reload's thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from vrrpd.config import environment, keepalived, render
from vrrpd.config.host import HostFacts
from vrrpd.config.model import Configuration, ConfigurationError, Diagnostic
from vrrpd.config.spread import Spread
from vrrpd.config.variables import CHOICES, ENVIRONMENT

DEFAULT_FILE: Final = "/etc/keepalived/keepalived.conf"
HEADER: Final = (
    "# Written by vrrpd at its start, from OPENSHIFT_HA_* and VRRPD_*: a change here is lost and has no effect.\n"
)
"""First line of the copy that environment mode leaves; a file that begins otherwise is somebody's own."""

Loaded = tuple[Configuration, tuple[Diagnostic, ...]]

_log = logging.getLogger("vrrpd")


class Source(Protocol):
    """What the command line needs of a source."""

    def load(self) -> Loaded:
        """The configuration as it is now, and the warnings about it; raises ``ConfigurationError``."""

    def spreads(self) -> tuple[Spread, ...]:
        """Which node should hold what, where that is known."""

    def why_no_spread(self) -> str:
        """What to tell where it is not."""

    def leave_a_copy(self, configuration: Configuration) -> None:
        """Leaves the effective configuration where people look for it, if this source does so."""


class FileSource:
    """A keepalived.conf."""

    def __init__(self, path: str, *, config_id: str | None = None, strict: bool = False) -> None:
        self._path = path
        self._config_id = config_id
        self._strict = strict

    def load(self) -> Loaded:
        """See ``Source``."""
        return _judged(keepalived.load(self._path, config_id=self._config_id), self._strict)

    def spreads(self) -> tuple[Spread, ...]:
        """None: a file gives priorities by hand."""
        return ()

    def why_no_spread(self) -> str:
        """See ``Source``."""
        return (
            f"{self._path} gives each priority itself: only OPENSHIFT_HA_* in the environment spreads groups over nodes"
        )

    def leave_a_copy(self, configuration: Configuration) -> None:
        """Nothing: the file is there."""


class EnvironmentSource:
    """``OPENSHIFT_HA_*`` and ``VRRPD_*``, for the host as it is when asked."""

    def __init__(
        self, variables: Mapping[str, str], *, strict: bool = False, explicit: bool = False, copy: str = DEFAULT_FILE
    ) -> None:
        self._variables = dict(variables)
        self._explicit = explicit
        self._strict = strict
        self._copy = Path(copy)
        self._told: set[Diagnostic] = set()
        self._has_copy = False

    def load(self) -> Loaded:
        """See ``Source``; warnings are given once however often it is asked, as nobody can change the variables."""
        from vrrpd import host  # netlink, which takes a while and a file does not need

        facts = host.gather()
        configuration, warnings = environment.load(self._variables, facts)
        _judged((configuration, warnings := (*warnings, *self._other_source())), self._strict)
        self._stay_on(configuration.routers[0].interface, facts)
        if self._has_copy:
            with contextlib.suppress(OSError):
                self._write_copy(configuration)
        new = tuple(warning for warning in warnings if warning not in self._told)
        self._told.update(new)
        return configuration, new

    def _stay_on(self, interface: str, facts: HostFacts) -> None:
        """Keeps to an interface that was chosen for want of a variable: one that comes later changes nothing."""
        if interface in facts.interfaces and not self._variables.get(environment.INTERFACE, "").strip():
            self._variables[environment.INTERFACE] = interface

    def _other_source(self) -> tuple[Diagnostic, ...]:
        """A warning when there is a file, too, and nobody has said which of them counts."""
        with contextlib.suppress(OSError):
            if not self._explicit and not _is_a_copy(self._copy):
                message = f"there is {self._copy} too: the environment counts, -f {self._copy} reads the file"
                return (Diagnostic(message, ENVIRONMENT, fatal=False),)
        return ()

    def spreads(self) -> tuple[Spread, ...]:
        """See ``Source``."""
        from vrrpd import host

        return environment.spreads(self._variables, host.gather())

    def why_no_spread(self) -> str:
        """See ``Source``."""
        if self._variables.get("VRRPD_PRIORITY", "").strip():
            return "VRRPD_PRIORITY sets the priority by hand: unset it to have the groups spread"
        return (
            "the nodes are not known: give VRRPD_NODES or OPENSHIFT_HA_UNICAST_PEERS for an exactly balanced spread; "
            "without, each node's priorities come from a hash of its own address"
        )

    def leave_a_copy(self, configuration: Configuration) -> None:
        """Writes the effective configuration to its usual place, unless somebody else's file is there.

        A place that cannot be written is worth one line in the log.
        """
        try:
            if not _is_a_copy(self._copy):
                _log.warning("the effective configuration is not written: %s is somebody's own file", self._copy)
                return
            self._write_copy(configuration)
        except OSError as error:
            _log.warning("the effective configuration is not written to %s: %s", self._copy, error.strerror or error)
        else:
            self._has_copy = True
            _log.info("the effective configuration is in %s", self._copy)

    def _write_copy(self, configuration: Configuration) -> None:
        _write(self._copy, HEADER + render.to_keepalived_conf(configuration))


def bad_log_options(variables: Mapping[str, str]) -> tuple[Diagnostic, ...]:
    """A warning for each wrong variable of the log. Only for files: an environment that is read reports them itself."""
    wrong = [name for name in CHOICES if variables.get(name, "").strip() not in ("", *CHOICES[name])]
    return tuple(
        Diagnostic(
            f"{name} is {variables[name].strip()[:60]!a}, expected {' or '.join(CHOICES[name])}",
            ENVIRONMENT,
            fatal=False,
        )
        for name in wrong
    )


def _judged(loaded: Loaded, strict: bool) -> Loaded:
    _, warnings = loaded
    if strict and warnings:
        raise ConfigurationError(tuple(Diagnostic(one.message, one.file, one.line) for one in warnings))
    return loaded


def _is_a_copy(path: Path) -> bool:
    """Whether nothing is lost when this file is written: it is not there, is empty, or is an earlier copy."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline() in ("", HEADER)
    except FileNotFoundError:
        return True


def _write(path: Path, text: str) -> None:
    """Replaces a file as a whole: nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(descriptor, 0o644)
            file.write(text)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
