"""The rule that lets VRRP in (IP protocol 112, and nothing else) while the daemon runs; iptables or nftables makes it.

The rule carries the configuration's name: it is found again after a crash instead of being doubled, and of several
daemons on a node none touches another's. iptables: a rule at the head of an existing chain, for each family in use.
nftables: a table of its own for each configuration, put in place and removed as a whole. The programs run in the
background by way of ``CommandRunner``; what they cannot do is a line in the log and nothing more. A file remembers the
mark for as long as a rule may be there: so a start that wants no rule, or one of another name, finds what a killed
predecessor left, and one that has nothing to find runs no program. Knows nothing of routers and states.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import shlex
from collections.abc import Awaitable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol, TypeAlias, assert_never

from vrrpd.config.model import Command, Family, FirewallRule

_log = logging.getLogger(__name__)

VRRP_PROTOCOL: Final = 112
"""RFC 9568 section 5.1.1.4."""
TIME_LIMIT: Final = 5.0
"""Seconds after which one run of iptables or nft is killed."""
LOCK_WAIT: Final = 2
"""Seconds that iptables waits for another iptables to finish."""
MAXIMUM_DOUBLES: Final = 8
"""Rules with our mark that are looked for at the end: one, unless somebody has restored a saved rule set."""
NAME_LENGTH: Final = 64
_PREFIX: Final = "vrrpd:"
_MARK: Final = re.compile(r"vrrpd:[A-Za-z0-9_.-]{1,80}")

LIST_MARKED: Final = '"$1" -w 2 -S | grep -F -e "$2"'
"""Shell, with the tool and the mark as its arguments: a node's whole rule set is more than we would like to read."""


class CommandResult(Protocol):
    """What became of a program."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What it has printed."""

    @property
    def succeeded(self) -> bool:
        """Exit status 0."""

    def describe(self) -> str:
        """Says what went wrong."""


class CommandRunner(Protocol):
    """Runs a program without blocking anybody and without raising."""

    def run(self, command: Command, *, timeout: float) -> Awaitable[CommandResult]:
        """Returns what became of the program, which is killed after ``timeout`` seconds."""


@dataclass(frozen=True, slots=True)
class _ChainRule:
    """A rule in a chain of iptables or ip6tables."""

    tool: str
    chain: str
    mark: str

    @property
    def match(self) -> tuple[str, ...]:
        return ("-p", str(VRRP_PROTOCOL), "-m", "comment", "--comment", self.mark, "-j", "ACCEPT")

    def __str__(self) -> str:
        return f"{self.tool} chain {self.chain}"


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of nftables that holds our rule and nothing else."""

    name: str
    mark: str

    def __str__(self) -> str:
        return f"nftables table inet {self.name}"


_Entry: TypeAlias = _ChainRule | _Table


class Firewall:
    """Keeps the firewall as it was last asked for; one program runs at a time, in the background."""

    def __init__(self, runner: CommandRunner, record: Path | None = None) -> None:
        self._runner = runner
        self._record = record
        self._remembered = _read(record)
        self._wanted: tuple[_Entry, ...] = ()
        self._present: list[_Entry] = []
        """What is there, or may be there."""
        self._searched: set[str] = set()
        """The marks whose leftovers have been looked for."""
        self._task: asyncio.Task[None] | None = None
        self._mark: str | None = None
        self._again = False

    def apply(self, rule: FirewallRule | None, families: frozenset[Family]) -> None:
        """Has this rule put in place for these address families, and what was asked for before removed."""
        self._wanted = tuple(_entries(rule, families))
        if rule is not None:
            self._mark = _mark(rule)
        if not self._wanted and not self._present and self._remembered is None and self._task is None:
            return
        self._again = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="firewall")

    async def settled(self) -> None:
        """Waits until everything asked for has been tried."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def close(self, deadline: float) -> None:
        """Removes the rule; gives up at ``deadline`` (the event loop's clock)."""
        self.apply(None, frozenset())
        if self._task is None:
            return
        loop = asyncio.get_running_loop()
        await asyncio.wait([self._task], timeout=max(0.0, deadline - loop.time()))
        if self._task is not None:
            left = ", ".join(map(str, self._present))
            _log.warning("firewall: the rule in %s could not be removed in time; the next start finds it", left)
            self._task.cancel()

    async def _work(self) -> None:
        try:
            while self._again:
                self._again = False
                wanted = self._wanted
                for mark in dict.fromkeys((self._remembered, self._mark)):
                    if mark is not None and mark not in self._searched:
                        self._searched.add(mark)
                        await self._find_leftovers(mark, wanted)
                if wanted:
                    self._remember(wanted[0].mark)
                for entry in [entry for entry in self._present if entry not in wanted]:
                    await self._remove(entry)
                    self._present.remove(entry)
                for entry in [entry for entry in wanted if entry not in self._present]:
                    # Before, not after: a program that is killed half-way may have done its work.
                    self._present.append(entry)
                    if not await self._add(entry):
                        self._present.remove(entry)
                if not self._present:
                    self._remember(None)
        finally:
            self._task = None

    def _remember(self, mark: str | None) -> None:
        """Keeps a mark for the next start, or forgets it. A place that cannot be written costs no more than that."""
        if mark == self._remembered or self._record is None:
            return
        self._remembered = mark
        with contextlib.suppress(OSError):
            if mark is None:
                self._record.unlink()
            else:
                self._record.write_text(mark)

    async def _find_leftovers(self, mark: str, wanted: tuple[_Entry, ...]) -> None:
        """Finds what a killed predecessor had put elsewhere: its settings may have been others."""
        found: list[_Entry] = []
        for tool in ("iptables", "ip6tables"):
            listed = await self._run("sh", "-c", LIST_MARKED, "sh", tool, mark)
            found += [_ChainRule(tool, chain, mark) for chain in _chains(listed.lines, mark)]
        table = _Table(_table_name(mark), mark)
        # Not asked for where it is put in place anew anyway.
        if table not in wanted and (await self._run("nft", f"list table inet {table.name}")).succeeded:
            found.append(table)
        for entry in found:
            if entry not in wanted and entry not in self._present:
                _log.warning("firewall: removing the rule from %s: left behind by a predecessor", entry)
                self._present.append(entry)

    async def _add(self, entry: _Entry) -> bool:
        """Puts an entry in place; returns False when it certainly is not there."""
        match entry:
            case _ChainRule():
                return await self._add_to_chain(entry)
            case _Table():
                return await self._add_table(entry)
            case _:
                assert_never(entry)

    async def _remove(self, entry: _Entry) -> None:
        match entry:
            case _ChainRule():
                await self._remove_from_chain(entry)
            case _Table(name):
                result = await self._run("nft", f"delete table inet {name}")
                if not result.succeeded:
                    _log.warning("firewall: %s is not removed: nft %s", entry, result.describe())
            case _:
                assert_never(entry)

    async def _add_to_chain(self, rule: _ChainRule) -> bool:
        missing = await self._iptables(rule, "-S", rule.chain, "1")
        if not missing.succeeded:
            # INPUT is always there: what cannot list it cannot run at all.
            works = await self._iptables(rule, "-S", "INPUT", "1")
            if works.succeeded:
                _log.warning("firewall: there is no %s, and none is created: no rule is added for VRRP", rule)
            else:
                _log.warning("firewall: no rule is added to %s: %s %s", rule, rule.tool, works.describe())
            return False
        if (await self._iptables(rule, "-C", rule.chain, *rule.match)).succeeded:
            _log.info("firewall: %s accepts VRRP already, by a rule marked %s", rule, rule.mark)
            return True
        added = await self._iptables(rule, "-I", rule.chain, "1", *rule.match)
        if not added.succeeded:
            _log.warning("firewall: no rule is added to %s: %s %s", rule, rule.tool, added.describe())
            return False
        _log.info("firewall: %s accepts VRRP from now on, by a rule marked %s", rule, rule.mark)
        return True

    async def _remove_from_chain(self, rule: _ChainRule) -> None:
        for count in range(MAXIMUM_DOUBLES):
            result = await self._iptables(rule, "-D", rule.chain, *rule.match)
            if not result.succeeded:
                # The last one is expected to fail: there is nothing left.
                if count == 0:
                    _log.warning("firewall: the rule is not removed from %s: %s %s", rule, rule.tool, result.describe())
                return

    async def _add_table(self, table: _Table) -> bool:
        # One transaction. The first line makes the second possible, which removes what a killed process left behind.
        name = table.name
        result = await self._run(
            "nft",
            f"add table inet {name}; delete table inet {name}; add table inet {name}; "
            f"add chain inet {name} input {{ type filter hook input priority filter; policy accept; }}; "
            f'add rule inet {name} input meta l4proto {VRRP_PROTOCOL} accept comment "{table.mark}"',
        )
        if not result.succeeded:
            _log.warning("firewall: no rule is added to %s: nft %s", table, result.describe())
            return False
        _log.info(
            "firewall: %s accepts VRRP from now on; a drop in another table counts all the same, it is for the "
            "administrator to change",
            table,
        )
        return True

    async def _iptables(self, rule: _ChainRule, *arguments: str) -> CommandResult:
        return await self._run(rule.tool, "-w", str(LOCK_WAIT), *arguments)

    async def _run(self, *argv: str) -> CommandResult:
        return await self._runner.run(Command(argv), timeout=TIME_LIMIT)


def _entries(rule: FirewallRule | None, families: frozenset[Family]) -> list[_Entry]:
    """What has to be in the firewall for a rule."""
    if rule is None:
        return []
    mark = _mark(rule)
    if rule.chain is None:
        return [_Table(_table_name(mark), mark)]
    tools = {4: "iptables", 6: "ip6tables"}
    return [_ChainRule(tools[family], rule.chain, mark) for family in sorted(families)]


def _mark(rule: FirewallRule) -> str:
    return f"{_PREFIX}{safe_name(rule.name)}"


def _read(record: Path | None) -> str | None:
    """The mark that a predecessor has written down; None for anything that is no mark of this program."""
    if record is None:
        return None
    try:
        mark = record.read_text()
    except (OSError, ValueError):
        return None
    return mark if _MARK.fullmatch(mark) else None


def _table_name(mark: str) -> str:
    return mark.replace(":", "_", 1)


def _chains(lines: tuple[str, ...], mark: str) -> list[str]:
    """The chains with a rule of this very mark, from what iptables -S prints."""
    chains = []
    for line in lines:
        try:
            match shlex.split(line):
                case ["-A", chain, *rest] if ("--comment", mark) in pairwise(rest):
                    chains.append(chain)
        except ValueError:  # a quote of somebody else's comment
            continue
    return list(dict.fromkeys(chains))


def safe_name(name: str) -> str:
    """A configuration's name as nftables takes it; names that differ stay different."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:NAME_LENGTH]
    return safe if safe == name else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
