"""Check scripts and the native TCP check, tried at their intervals, each deciding between up and down for all users.

A check has one run at a time however many routers track it. The first result alone decides; after that it takes
``rise`` successes or ``fall`` failures in a row. It fails closed: whatever keeps a check from running is a failed run,
and its reason is in the status. Nothing here waits on the event loop's time: scripts run behind ``ScriptRunner``,
connections are non-blocking, names are looked up in a thread. Knows nothing of routers, weights and priorities.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeAlias

from vrrpd.config.model import Check, Command, TcpTarget
from vrrpd.scripts.result import ScriptResult
from vrrpd.scripts.runner import ScriptRunner

logger = logging.getLogger(__name__)

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

WAITING: Final = "waiting for the first result"
"""The reason of a check that has no result yet."""
LEAST_KILLING_TIME: Final = 1.0
"""Seconds, at least, after which a script that is over its time and still not dead counts as failed once more: what can
be killed is dead a fifth of a second after its time."""


class CheckState(Enum):
    """What is known of a checked thing."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class CheckStatus:
    """Where a check stands. Times are the event loop's clock, durations seconds."""

    name: str
    state: CheckState
    reason: str
    """Why the check is in this state: the result that decided."""
    since: float
    """When it came into this state."""
    last_result: str = ""
    last_run: float | None = None
    """When the last run that has a result began; None before the first."""
    last_duration: float | None = None
    runs: int = 0
    """Runs with a result."""
    failures: int = 0
    """Runs that failed."""
    skipped: int = 0
    """Due times that passed while a run was still going."""
    consecutive: int = 0
    """Results like the last one in a row, counted since the check was started or changed."""


@dataclass(frozen=True, slots=True)
class _Result:
    """What one run found."""

    succeeded: bool
    text: str


class CheckScheduler:
    """Tries checks at their intervals and calls ``on_change`` with the status whenever a check changes its state."""

    def __init__(self, checks: Iterable[Check], runner: ScriptRunner, on_change: Callable[[CheckStatus], None]) -> None:
        self._wanted = tuple(checks)
        self._runner = runner
        self._on_change = on_change
        self._running: dict[str, _RunningCheck] = {}

    def start(self) -> None:
        """Starts every check; the first runs begin at the event loop's next turn."""
        self.apply(self._wanted)

    def apply(self, checks: Iterable[Check]) -> None:
        """Makes these the checks there are.

        A check that is tried in the same way as before is not disturbed, not even a run that is going. One that is
        tried in another way starts anew but stays up or down until its first new result, which alone decides.
        """
        wanted = {check.name: check for check in checks}
        for name in self._running.keys() - wanted.keys():
            self._running.pop(name).cancel()
        for name, check in wanted.items():
            running = self._running.get(name)
            if running is not None and _tried_alike(running.check, check):
                running.check = check
                continue
            status = None
            if running is not None:
                running.cancel()
                status = running.status
            self._running[name] = _RunningCheck(check, self._runner, self._on_change, status)

    def status(self, name: str) -> CheckStatus:
        """The status of one check; ``KeyError`` for a name that is not among the checks."""
        return self._running[name].status

    def statuses(self) -> tuple[CheckStatus, ...]:
        """The status of every check, in the order of the configuration as far as it was kept."""
        return tuple(running.status for running in self._running.values())

    async def close(self) -> None:
        """Ends all checks and kills the runs that are going."""
        running = tuple(self._running.values())
        self._running.clear()
        for check in running:
            check.cancel()
        await asyncio.gather(*(check.task for check in running), return_exceptions=True)


class _RunningCheck:
    """One check, its task and its status."""

    def __init__(
        self, check: Check, runner: ScriptRunner, on_change: Callable[[CheckStatus], None], before: CheckStatus | None
    ) -> None:
        self.check = check
        self._runner = runner
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._lookup: asyncio.Future[list[SocketAddress]] | None = None
        self._fresh = True
        self._last_succeeded: bool | None = None
        if before is None:
            self.status = CheckStatus(check.name, CheckState.UNKNOWN, WAITING, self._loop.time())
        else:
            self.status = replace(before, consecutive=0)
        self._cancelled = False
        self.task = self._loop.create_task(self._serve(), name=f"check {check.name}")

    def cancel(self) -> None:
        """Ends the check; it reports nothing from here on, whatever its last run still does."""
        self._cancelled = True
        self.task.cancel()

    async def _serve(self) -> None:
        """Runs the check at start + n * interval for ever; a due time that a run is still going at is skipped."""
        if self.check.security_problem is not None:
            self._record(_Result(False, f"not run: {self.check.security_problem}"), self._loop.time())
            return
        due = self._loop.time()
        while True:
            await self._run_once()
            now = self._loop.time()
            steps = max(1, int((now - due) / self.check.interval) + 1)
            due += steps * self.check.interval
            self.status = replace(self.status, skipped=self.status.skipped + steps - 1)
            await asyncio.sleep(due - now)

    async def _run_once(self) -> None:
        """Runs the check once; an error of ours is a failed run too."""
        begun = self._loop.time()
        recorded = False
        pause = max(self.check.interval, LEAST_KILLING_TIME)
        again: asyncio.TimerHandle | None = None

        def time_is_over(result: ScriptResult) -> None:
            # The verdict does not wait until the script is dead; the next run does.
            nonlocal recorded, again
            recorded = True
            self._record(_Result(False, result.describe()), begun)
            again = self._loop.call_later(pause, still_there, f"{result.describe()}; it cannot be killed")

        def still_there(text: str) -> None:
            # Where `fall` is 2 or more, the other failures would wait for a run that never begins.
            nonlocal again
            self._record(_Result(False, text), begun)
            again = self._loop.call_later(pause, still_there, text)

        try:
            match self.check.probe:
                case Command() as command:
                    ended = await self._runner.run(command, timeout=self.check.timeout, on_timeout=time_is_over)
                    result = _Result(ended.succeeded, ended.describe())
                case TcpTarget() as target:
                    result = await self._connect(target)
        except Exception as error:
            logger.exception("check %s: the check itself failed", self.check.name)
            result = _Result(False, f"internal error: {error!r}")
        finally:
            if again is not None:
                again.cancel()
        if not recorded:
            self._record(result, begun)

    def _record(self, result: _Result, begun: float) -> None:
        """Counts a result and changes the state when it is the first one, or the last that was needed."""
        if self._cancelled:
            return
        now = self._loop.time()
        before = self.status
        in_a_row = before.consecutive + 1 if result.succeeded == self._last_succeeded else 1
        self._last_succeeded = result.succeeded
        verdict = CheckState.UP if result.succeeded else CheckState.DOWN
        needed = 1 if self._fresh else self.check.rise if result.succeeded else self.check.fall
        self._fresh = False
        self.status = replace(
            before,
            last_result=result.text,
            last_run=begun,
            last_duration=now - begun,
            runs=before.runs + 1,
            failures=before.failures + (not result.succeeded),
            consecutive=in_a_row,
        )
        if verdict == before.state:
            if not result.succeeded and result.text != before.reason:
                logger.warning("check %s still fails: %s", self.check.name, result.text)
            self.status = replace(self.status, reason=result.text)
            return
        if in_a_row < needed:
            logger.info("check %s: %s (%d of %d)", self.check.name, result.text, in_a_row, needed)
            return
        self.status = replace(self.status, state=verdict, reason=result.text, since=now)
        if result.succeeded:
            logger.info("check %s succeeded: %s", self.check.name, result.text)
        else:
            logger.warning("check %s failed: %s", self.check.name, result.text)
        try:
            self._on_change(self.status)
        except Exception:
            # It is the caller's error, and must not end the check.
            logger.exception("check %s: acting on its result failed", self.check.name)

    async def _connect(self, target: TcpTarget) -> _Result:
        """Tries the addresses of a target one after the other, all within the time limit, until one accepts."""
        doing = f"looking up {target.host}"
        failure = ""
        try:
            async with asyncio.timeout(self.check.timeout):
                addresses = await self._addresses(target)
                for address in addresses:
                    doing = f"waiting for {_spell(address)} to answer"
                    failure = await _try_connect(address)
                    if not failure:
                        return _Result(True, f"connected to {_spell(address)}")
        except TimeoutError:
            return _Result(False, f"timed out after {self.check.timeout:g} s {doing}")
        except socket.gaierror as error:
            return _Result(False, f"looking up {target.host}: {error.strerror}")
        except OSError as error:
            return _Result(False, f"{target}: {error.strerror or error}")
        return _Result(False, failure or f"looking up {target.host}: no addresses")

    async def _addresses(self, target: TcpTarget) -> list[SocketAddress]:
        """The addresses to connect to; one lookup at a time, so that a resolver that hangs does not collect threads."""
        try:
            address = ip_address(target.host)
        except ValueError:
            pass
        else:
            if isinstance(address, IPv6Address):
                return [(str(address).partition("%")[0], target.port, 0, _scope_number(address.scope_id))]
            return [(str(address), target.port)]
        if self._lookup is None:
            self._lookup = _look_up(target.host, target.port)
        try:
            addresses = await asyncio.shield(self._lookup)
        finally:
            if self._lookup.done():
                self._lookup = None
        return addresses


def _tried_alike(one: Check, other: Check) -> bool:
    """True when two checks differ at most in what is made of their results."""
    alike = replace(one, weight=other.weight, weight_reverse=other.weight_reverse, rise=other.rise, fall=other.fall)
    return alike == other


def _scope_number(scope: str | None) -> int:
    """The interface number of an IPv6 address's zone (RFC 4007 section 11); 0 without one."""
    if scope is None or scope.isdecimal():
        return int(scope or 0)
    try:
        return socket.if_nametoindex(scope)
    except OSError:
        raise OSError(errno.ENODEV, f"no interface {scope}") from None


def _look_up(host: str, port: int) -> asyncio.Future[list[SocketAddress]]:
    """Looks a name up in a thread of its own, which may hang for ever and does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[SocketAddress]] = loop.create_future()
    # Nobody may be waiting any more when it fails.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())

    def settle(addresses: list[SocketAddress], error: OSError | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(addresses)
        else:
            future.set_exception(error)

    def work() -> None:
        addresses: list[SocketAddress] = []
        failure: OSError | None = None
        try:
            for _, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                addresses.append(_socket_address(address))
        except OSError as error:
            failure = error
        except UnicodeError:
            failure = socket.gaierror(socket.EAI_NONAME, "not a host name")
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, addresses, failure)

    threading.Thread(target=work, name=f"lookup {host}", daemon=True).start()
    return future


def _socket_address(address: tuple[str | int | bytes, ...]) -> SocketAddress:
    """Narrows what ``getaddrinfo`` returns for AF_INET and AF_INET6."""
    host, port, *rest = address
    if rest:
        flow, scope = rest
        return str(host), int(port), int(flow), int(scope)
    return str(host), int(port)


async def _try_connect(address: SocketAddress) -> str:
    """Opens a connection and closes it; returns "" or what went wrong."""
    family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as connection:
        try:
            await asyncio.get_running_loop().sock_connect(connection, address)
            if connection.getsockname() == connection.getpeername():
                # A port of the ephemeral range that nobody listens on can be reached from itself (simultaneous open).
                return f"nobody listens at {_spell(address)}: the connection came back to itself"
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                return f"connection refused by {_spell(address)}"
            text = os.strerror(error.errno) if error.errno else str(error)
            return f"connecting to {_spell(address)}: {text}"
    return ""


def _spell(address: SocketAddress) -> str:
    return f"{address[0]} port {address[1]}"
