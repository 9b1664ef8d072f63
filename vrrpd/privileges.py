"""What the daemon gives up once it runs, and what the processes that run its scripts keep (capabilities(7)).

Once it runs the daemon sends, receives and sets addresses: CAP_NET_RAW and CAP_NET_ADMIN, nothing else, and nothing
that it starts later can have more. Scripts are run by others, which were started before (``scripts``).
"""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Iterator
from dataclasses import fields
from typing import Final

from vrrpd.config.model import Command, Configuration
from vrrpd.scripts import capabilities
from vrrpd.scripts.runner import ALL_RIGHTS

_log = logging.getLogger("vrrpd")

NEEDED: Final = capabilities.NET_ADMIN | capabilities.NET_RAW
"""Addresses and raw sockets need one each."""
NEEDED_FOR_SCRIPTS: Final = NEEDED | capabilities.SETUID | capabilities.SETGID | capabilities.KILL
"""To run the tools of a firewall, to become another user, and to stop what runs as one."""


def missing_capabilities() -> list[str]:
    """The names of the capabilities that a daemon needs and this process lacks."""
    return capabilities.names(NEEDED & ~capabilities.read()["CapEff"])


def rights_of_scripts(configuration: Configuration) -> int:
    """What the processes that run scripts keep: all there is where a script of root's is configured.

    Looks users up: not for the event loop once routers run.
    """
    ours = any(map(_runs_as_us, _commands(configuration)))
    return ALL_RIGHTS if ours else NEEDED_FOR_SCRIPTS


def give_up() -> None:
    """Gives up all capabilities but those needed, for good; call it while there is one thread only.

    What cannot be given up costs a warning, or for the bounding set, which matters little without new privileges, a
    word at debug level.
    """
    before = capabilities.read()
    bounded = "none can come back"
    try:
        try:
            capabilities.bound(NEEDED)
        except PermissionError:
            bounded = "the bounding set stays as it was (no CAP_SETPCAP)"
        capabilities.keep_only(NEEDED)
        capabilities.forbid_new_privileges()
    except OSError as error:
        _log.warning("cannot give up privileges that are not needed: %s; going on with them", error)
        return
    after = capabilities.read()
    _log.debug(
        "keeping the capabilities %s; given up: %d; %s",
        ", ".join(capabilities.names(after["CapPrm"])),
        (before["CapPrm"] & ~after["CapPrm"]).bit_count(),
        bounded,
    )


def _commands(configuration: Configuration) -> Iterator[Command]:
    for check in configuration.checks:
        if isinstance(check.probe, Command):
            yield check.probe
    for router in configuration.routers:
        for field in fields(router.notify):
            command = getattr(router.notify, field.name)
            if command is not None:
                yield command


def _runs_as_us(command: Command) -> bool:
    user = command.user
    if user is None:
        return True
    try:
        return pwd.getpwnam(user).pw_uid == os.geteuid()
    except KeyError:
        return user.isdecimal() and int(user) == os.geteuid()
