"""Looks at the files of scripts when a configuration is loaded: there, executable, and safe to run as root.

A script that cannot be found is a warning here, since it may come later; running it is what fails closed. With
``enable_script_security`` a script of root that others could change must not run: a check carries the reason, a notify
script is dropped. Knows no file format; reads the disk and the user database, so it has no place in the event loop.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Final

from vrrpd.config.model import Check, Command, Configuration, NotifyScripts, VirtualRouterConfig
from vrrpd.config.report import CheckLocator, Locator, Place, Report, check_nowhere, nowhere, seen, seen_path
from vrrpd.config.scripts import NOTIFY_KEYWORDS

LONGEST_FIRST_LINE: Final = 256
"""Bytes of a program that the kernel looks at (BINPRM_BUF_SIZE)."""

MOST_LINKS: Final = 40
"""Symbolic links followed in one path, as in the kernel."""


def examine(
    configuration: Configuration,
    report: Report,
    locate: Locator = nowhere,
    locate_check: CheckLocator = check_nowhere,
) -> Configuration:
    """The configuration with every script looked at; ``locate_check`` says where a check's script is written."""
    secure = configuration.settings.enable_script_security
    checks = tuple(
        _examined_check(check, locate_check(index), secure, report) for index, check in enumerate(configuration.checks)
    )
    routers = tuple(
        _examined_router(index, router, secure, report, locate) for index, router in enumerate(configuration.routers)
    )
    return replace(configuration, checks=checks, routers=routers)


def _examined_check(check: Check, place: Place, secure: bool, report: Report) -> Check:
    if not isinstance(check.probe, Command):
        return check
    problem = problem_of(check.probe)
    # Also of what cannot run yet: whoever may put it there may put there what they like.
    danger = danger_of(check.probe) if secure else None
    if danger:
        report.warning(place, f"vrrp_script {seen(check.name)}: {danger}; every run is a failed check")
    elif problem:
        report.warning(place, f"vrrp_script {seen(check.name)}: {problem}; until then every run is a failed check")
    return replace(check, security_problem=danger)


def _examined_router(
    index: int, router: VirtualRouterConfig, secure: bool, report: Report, locate: Locator
) -> VirtualRouterConfig:
    notify = router.notify
    for name, keyword, command in _commands(notify):
        place = locate(index, keyword, -1) or Place()
        problem = problem_of(command)
        danger = danger_of(command) if secure else None
        if problem:
            report.warning(place, f"({router.name}) {keyword}: {problem}")
        if danger:
            report.warning(place, f"({router.name}) {keyword}: {danger}; it is not run")
            notify = replace(notify, **{name: None})
    return replace(router, notify=notify)


def _commands(notify: NotifyScripts) -> Iterator[tuple[str, str, Command]]:
    for field in fields(notify):
        command = getattr(notify, field.name)
        if command is not None:
            yield field.name, NOTIFY_KEYWORDS[field.name], command


def program_of(command: Command) -> str | None:
    """The path of the program that a command runs, None when there is none."""
    return shutil.which(command.argv[0])


def problem_of(command: Command) -> str | None:
    """Why the command cannot run as things are, None when it can."""
    program = command.argv[0]
    if command.user is not None and _user_number(command.user) is None:
        return f"user {seen(command.user)} does not exist"
    try:
        if command.group is not None and not command.group.isdecimal():
            grp.getgrnam(command.group)
    except KeyError:
        return f"group {seen(command.group or '')} does not exist"
    found = program_of(command)
    if found:
        return _problem_with_content(found)
    if "/" not in program:
        return f"{seen_path(program)} is not in PATH, expected a program"
    try:
        mode = os.stat(program).st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"{seen_path(program)}: {reason[:1].lower()}{reason[1:]}, expected a program"
    return f"{seen_path(program)} is not {'executable' if stat.S_ISREG(mode) else 'a file'}, expected a program"


def _problem_with_content(path: str) -> str | None:
    """Why the kernel would not start an executable file: its first line asks for an interpreter that is not there."""
    try:
        with open(path, "rb") as file:
            first = file.read(LONGEST_FIRST_LINE).partition(b"\n")[0]
    except OSError:
        return None  # A program that may be run but not read.
    if not first.startswith(b"#!"):
        if b"\0" in first:
            return None
        return f"{seen_path(path)} is a script without #! in its first line, expected #!/bin/bash or the like"
    if first.endswith(b"\r"):
        return f"{seen_path(path)} has lines that end in CR LF (Windows), expected LF: its interpreter is not found"
    words = first[2:].split()
    interpreter = os.fsdecode(words[0]) if words else ""
    if not os.access(interpreter, os.X_OK):
        return f"{seen_path(path)} begins with #!{seen_path(interpreter)}, expected a program that exists"
    return None


def _user_number(user: str) -> int | None:
    """The number of a user given by name or number; None for a name that nobody has."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return int(user) if user.isdecimal() else None


def danger_of(command: Command) -> str | None:
    """Why the command must not run as root, None when it may, or when it does not run as root."""
    user = os.geteuid() if command.user is None else _user_number(command.user)
    # One that is not there, or cannot be run, may be replaced by one that can before it is looked for again.
    program = program_of(command) or (command.argv[0] if "/" in command.argv[0] else None)
    if user != 0 or program is None:
        return None
    return writable_by_others(os.path.abspath(program))


def writable_by_others(path: str) -> str | None:
    """Which part of an absolute path somebody other than root could change, None when none.

    A symbolic link is as safe as the directory it stands in, and has to be root's where others can make one there; what
    it leads to is looked at too. A directory with the sticky bit that belongs to root does not let others replace what
    root has in it. What does not exist is as safe as the directory in which it would be made.
    """
    done = "/"
    rest = [part for part in path.split("/") if part]
    links = 0
    problem = _writable(done)
    while rest and problem is None:
        part = rest.pop(0)
        if part in (".", ".."):
            done = os.path.dirname(done) if part == ".." else done
            continue
        current = os.path.join(done, part)
        try:
            if stat.S_ISLNK(os.lstat(current).st_mode):
                links += 1
                if links > MOST_LINKS:
                    return f"{seen_path(path)} leads through more than {MOST_LINKS} symbolic links"
                if os.lstat(current).st_uid != 0 and _others_write(os.lstat(done)):
                    # The sticky bit keeps a link for its owner.
                    return f"{seen_path(current)} is a symbolic link of others than root (enable_script_security)"
                target = os.readlink(current)
                rest = [one for one in target.split("/") if one] + rest
                done = "/" if target.startswith("/") else done
                continue
            problem = _writable(current)
        except FileNotFoundError:
            return _open_to_others(done, current)
        except OSError as error:
            return f"{seen_path(current)} cannot be looked at: {error.strerror}"
        done = current
    return problem


def _open_to_others(directory: str, missing: str) -> str | None:
    """Says so when others than root can make what is missing in a directory of root's: the sticky bit is no help."""
    if not _others_write(os.lstat(directory)):
        return None
    return (
        f"{seen_path(missing)} does not exist, and others than root can write in {seen_path(directory)} "
        "(enable_script_security)"
    )


def _others_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != 0))


def _writable(path: str) -> str | None:
    status = os.lstat(path)
    if status.st_uid != 0:
        return f"{seen_path(path)} belongs to user {status.st_uid}, expected root (enable_script_security)"
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if _others_write(status) and not sticky:
        return f"{seen_path(path)} can be written by others than root (enable_script_security)"
    return None
