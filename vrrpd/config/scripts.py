"""``vrrp_script`` blocks and the commands of scripts: text to ``Check`` and ``Command``.

A script is a program with arguments, split into words here and run by exec, never by a shell. The two shell idioms for
a TCP connection (``</dev/tcp/HOST/PORT``, bare or within ``bash -c``) become the check that needs no process.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from typing import Final

from vrrpd.config.keywords import AlwaysSo, Draft, Table, Works, fail, number, seconds, whole
from vrrpd.config.lexer import Statement
from vrrpd.config.model import Check, Command, TcpTarget
from vrrpd.config.report import Report, seen

MAXIMUM_WEIGHT: Final = 253
DEV_TCP: Final = re.compile(r"\s*<\s*/dev/tcp/([A-Za-z0-9_.:-]+)/([0-9]{1,5})\s*", re.ASCII)
ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.ASCII | re.DOTALL)
SHELL_WORDS: Final = frozenset({"|", "||", "&&", "&", ";", ">", ">>", "<", "2>&1", ">/dev/null", "2>/dev/null"})
COMMAND_EXPECTED: Final = 'a program with its arguments, such as "/usr/bin/curl -fs http://localhost/"'


NOTIFY_KEYWORDS: Final = {
    "any_change": "notify",
    "master": "notify_master",
    "backup": "notify_backup",
    "fault": "notify_fault",
    "stop": "notify_stop",
    "master_rx_lower_pri": "notify_master_rx_lower_pri",
}
"""keepalived's keyword for each field of NotifyScripts."""


def _split(script: str) -> tuple[list[str], str | None]:
    try:
        return shlex.split(script), None
    except ValueError as error:
        return [], f"{seen(script)} cannot be split into words ({str(error).lower()}), expected {COMMAND_EXPECTED}"


def command(words: list[str]) -> Command | None:
    """A command from its words: ``NAME=value`` ones in front are its environment. None when no program is left."""
    environment: list[tuple[str, str]] = []
    for position, word in enumerate(words):
        assignment = ASSIGNMENT.fullmatch(word)
        if not assignment:
            return Command(tuple(words[position:]), environment=tuple(environment))
        environment.append((assignment[1], assignment[2]))
    return None


def tcp_target(script: str, words: list[str]) -> TcpTarget | None:
    """The TCP connection that a script stands for, when it is one of the idioms."""
    match = DEV_TCP.fullmatch(script)
    if match is None and len(words) == 3 and os.path.basename(words[0]) == "bash" and words[1] == "-c":
        match = DEV_TCP.fullmatch(words[2])
    if match is None or not 1 <= int(match[2]) <= 65535:
        return None
    return TcpTarget(match[1], int(match[2]))


def _probe(statement: Statement, draft: Draft, report: Report) -> None:
    keyword = statement.keyword
    if not statement.values or statement.block is not None:
        fail(statement, draft, report, f"{keyword} has no value, expected {COMMAND_EXPECTED}")
        return
    script = statement.values[0]
    words = list(statement.values)
    if len(words) == 1:
        words, problem = _split(script)
        target = tcp_target(script, words)
        if target is not None:
            draft.set(keyword, target, statement.place)
            return
        if problem is not None:
            fail(statement, draft, report, problem)
            return
    else:
        report.warning(statement.place, f"{keyword} has {len(words)} words without quotes: taken as one command")
    parsed = _checked(statement, words, draft, report)
    if parsed is not None:
        draft.set(keyword, parsed, statement.place)


def _checked(statement: Statement, words: list[str], draft: Draft, report: Report) -> Command | None:
    parsed = command(words)
    if parsed is None or not parsed.argv[0]:
        fail(statement, draft, report, f"{statement.keyword} names no program, expected {COMMAND_EXPECTED}")
        return None
    if parsed.argv[0][0] in "<>|&;":
        what = f"{statement.keyword} is {seen(' '.join(words))}: no shell runs it"
        fail(statement, draft, report, f"{what}, expected {COMMAND_EXPECTED}, or bash -c '...'")
        return None
    shell_words = [word for word in parsed.argv[1:] if word in SHELL_WORDS]
    if shell_words:
        report.warning(
            statement.place,
            f"{statement.keyword} holds {shell_words[0]}: no shell runs it, the program gets it as an argument",
        )
    return parsed


def _tcp_check(statement: Statement, draft: Draft, report: Report) -> None:
    match statement.values:
        case (host, port_text) if host and not any(character.isspace() for character in host):
            port = whole(port_text)
            if port is not None and 1 <= port <= 65535:
                draft.set(statement.keyword, TcpTarget(host, port), statement.place)
                return
    given = seen(" ".join(statement.values))
    fail(statement, draft, report, f"tcp_check is {given}, expected a host and a port from 1 to 65535")


def user_and_group(
    statement: Statement, values: tuple[str, ...], draft: Draft, report: Report
) -> tuple[str | None, str | None]:
    """``[user [[:]group]]``; the colon asks for supplementary groups, which follow the user anyway."""
    if len(values) > 2:
        report.warning(statement.place, f"{statement.keyword}: {seen(values[2])} behind user and group is ignored")
    user = values[0] if values else None
    group = values[1].removeprefix(":") if len(values) > 1 else None
    for name in (user, group):
        if name is not None and (not name.isprintable() or any(character.isspace() for character in name)):
            fail(statement, draft, report, f"{statement.keyword} is {seen(name)}, expected the name of a user or group")
            return None, None
    return user or None, group or None


def _user(statement: Statement, draft: Draft, report: Report) -> None:
    if not statement.values or statement.block is not None:
        fail(statement, draft, report, f"{statement.keyword} has no value, expected a user and perhaps a group")
        return
    user, group = user_and_group(statement, statement.values, draft, report)
    if user is not None:
        draft.set(statement.keyword, user, statement.place)
        draft.set(f"{statement.keyword} group", group, statement.place)


def _notify(statement: Statement, draft: Draft, report: Report) -> None:
    """``notify* SCRIPT [user [[:]group]]``: the script's arguments are within its quotes."""
    if not statement.values or statement.block is not None:
        fail(statement, draft, report, f"{statement.keyword} has no value, expected {COMMAND_EXPECTED}")
        return
    words, problem = _split(statement.values[0])
    if problem is not None:
        fail(statement, draft, report, problem)
        return
    parsed = _checked(statement, words, draft, report)
    user, group = user_and_group(statement, statement.values[1:], draft, report)
    if parsed is not None:
        draft.set(statement.keyword, replace(parsed, user=user, group=group), statement.place)


def _weight(statement: Statement, draft: Draft, report: Report) -> None:
    """``weight N [reverse|noreverse]``."""
    parsed = weight_and_reverse(statement.values, MAXIMUM_WEIGHT)
    if isinstance(parsed, str) or statement.block is not None:
        problem = parsed if isinstance(parsed, str) else "weight has a block, expected a number"
        fail(statement, draft, report, problem)
        return
    draft.set(statement.keyword, parsed[0], statement.place)
    draft.set("weight reverse", parsed[1], statement.place)


def weight_and_reverse(values: tuple[str, ...], limit: int) -> tuple[int, bool] | str:
    """A weight and its direction from the words behind ``weight``, or what is wrong with them."""
    expected = f"-{limit} to {limit}, and perhaps reverse"
    if not values:
        return f"weight has no value, expected {expected}"
    weight = whole(values[0])
    if weight is None or not -limit <= weight <= limit:
        return f"weight is {seen(values[0])}, expected {expected}"
    if values[1:] not in ((), ("reverse",), ("noreverse",)):
        return f"{seen(values[1])} behind weight {weight} is not known, expected reverse or noreverse"
    return weight, values[1:] == ("reverse",)


command_with_user: Final = Works(_notify)
user: Final = Works(_user)

VRRP_SCRIPT: Final[Table] = {
    "script": Works(_probe),
    "tcp_check": Works(_tcp_check),
    "interval": seconds("0.001", "1000000"),
    "timeout": seconds("0.001", "1000000"),
    "weight": Works(_weight),
    "rise": number(1, 1_000_000),
    "fall": number(1, 1_000_000),
    "user": user,
    "init_fail": AlwaysSo("a router waits in FAULT until the first result, which decides"),
}
"""Every keyword of a ``vrrp_script`` block."""


def complete_check(draft: Draft, default_user: str | None, default_group: str | None, report: Report) -> Check:
    """The check that a ``vrrp_script`` block describes, with the defaults filled in."""
    script = draft.get("script", Command) or draft.get("script", TcpTarget)
    target = draft.get("tcp_check", TcpTarget)
    if script is not None and target is not None:
        report.error(draft.place_of("tcp_check"), "tcp_check and script are both given, expected one of them")
    probe = script or target
    if probe is None:
        if not draft.broken & {"script", "tcp_check"}:
            report.error(draft.place, f"vrrp_script {seen(draft.name)} has no script, expected script or tcp_check")
        probe = Command(("false",))
    if isinstance(probe, Command):
        user_given = draft.get("user", str)
        group = draft.get("user group", str) if user_given else default_group
        probe = replace(probe, user=user_given or default_user, group=group)
    interval = draft.get("interval", float) or 1.0
    return Check(
        name=draft.name,
        probe=probe,
        interval=interval,
        timeout=draft.get("timeout", float) or interval,
        weight=draft.get("weight", int) or 0,
        weight_reverse=draft.get("weight reverse", bool) or False,
        rise=draft.get("rise", int) or 1,
        fall=draft.get("fall", int) or 1,
    )
