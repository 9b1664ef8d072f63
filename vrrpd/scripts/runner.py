"""The daemon's side of running scripts: asyncio in front, the helper process behind, nothing that blocks in between.

Keeps one helper (``helper``) running, replaces it when it dies, and turns its messages into ``ScriptResult``. Helpers
are forked by a keeper, which was started while the daemon still had all its rights. Whatever goes wrong is a result
that did not succeed, with the reason: a caller sees no exception. Knows nothing of checks or notifications.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import marshal
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType
from typing import Any, Final

from vrrpd.config.model import Command
from vrrpd.scripts import helper
from vrrpd.scripts.result import Exited, Killed, Lost, NotStarted, Outcome, ScriptResult, TimedOut, signal_name

logger = logging.getLogger(__name__)

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

START_LIMIT: Final = 5.0
"""Seconds within which a new helper has to report."""

ANSWER_LIMIT: Final = 2.0
"""Seconds after a script's time limit within which the helper has to say so; one that does not is killed."""

RESTART_INTERVAL: Final = 1.0
"""Least seconds between two starts of the helper."""

ALL_RIGHTS: Final = -1
"""Scripts get all capabilities that the daemon was started with."""

_HELPER: Final = "import sys; sys.path.append(sys.argv[1]); import helper; helper.main(sys.argv[2:])"
"""Imported, not run as a file: that takes it compiled from the cache, which saves 10 ms and 2 MB."""

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_HANDED_DOWN: Final = ("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "HOME", "USER", "LOGNAME", "SHELL")
_OF_THE_USER: Final = ("HOME", "USER", "LOGNAME", "SHELL")
_MESSAGES_AT_ONCE: Final = 64
_DEATH_LIMIT: Final = 0.5
_EXIT_LIMIT: Final = 0.5


class ScriptHelperError(Exception):
    """The helper process could not be started; the message says why."""


@dataclass(slots=True)
class _Pending:
    """A run whose result somebody waits for."""

    result: asyncio.Future[ScriptResult]
    limit: float
    on_timeout: Callable[[ScriptResult], None] | None
    watchdog: asyncio.TimerHandle | None = None


class ScriptRunner:
    """Runs scripts, any number at the same time.

    ``environment`` is what every script gets, before what its command and the caller add; None is PATH, the locale,
    the time zone, HOME and the user's names of the daemon's own environment. ``rights`` are the capabilities that the
    helper keeps, as a set of ``capabilities``.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, rights: int = ALL_RIGHTS) -> None:
        self._environment = dict(environment) if environment is not None else inherited_environment()
        self._rights = rights
        self._keeper: _Keeper | None = None
        self._helper: _HelperProcess | None = None
        self._up = asyncio.Event()
        self._numbers = count(1)
        self._restart: asyncio.TimerHandle | None = None
        self._last_start = 0.0
        self._closing = False
        self._why_down = "it was not started"
        self.restarts = 0
        """How often the helper had to be started again."""

    @property
    def helper_pid(self) -> int | None:
        """The helper's process id; None while there is none, or it has not reported yet."""
        return self._helper.pid if self._helper is not None else None

    @property
    def keeper_pid(self) -> int | None:
        """The process id of the daemon's only child; None while there is none."""
        return self._keeper.pid if self._keeper is not None else None

    @property
    def running(self) -> int:
        """How many scripts run now, those that are being killed among them."""
        return len(self._helper.pids) if self._helper is not None else 0

    def launch(self) -> None:
        """Starts keeper and helper, with the rights of this moment, and does not wait; raises ``ScriptHelperError``."""
        try:
            self._start_helper()
        except OSError as error:
            self._why_down = f"it did not start: {error}"
            raise ScriptHelperError(f"the script helper did not start: {error}") from None

    async def start(self) -> None:
        """Waits until the helper reports, started if need be; raises ``ScriptHelperError`` when it does not.

        It is then tried again, for as long as it takes.
        """
        try:
            started = self._helper or self._start_helper()
        except OSError as error:
            self._why_down = f"it cannot be started: {error}"
            self._restart_after(asyncio.get_running_loop().time() + RESTART_INTERVAL)
            raise ScriptHelperError(f"the script helper did not start: {error}; trying again") from None
        try:
            async with asyncio.timeout(START_LIMIT):
                warning = await asyncio.shield(started.ready)
        except TimeoutError:
            complaint = f"did not report within {START_LIMIT:g} s"
            started.abandon(complaint)
            raise ScriptHelperError(f"the script helper {complaint}; trying again") from None
        except ScriptHelperError as error:
            raise ScriptHelperError(f"the script helper did not start: {error}; trying again") from None
        if warning:
            logger.warning("script helper: %s", warning)

    async def close(self, grace: float) -> None:
        """Lets scripts run for at most ``grace`` more seconds, kills those that are left and ends the helper."""
        self._closing = True
        self._why_down = "the daemon is shutting down"
        if self._restart is not None:
            self._restart.cancel()
        self._up.set()
        if self._helper is not None:
            await self._helper.close(grace)
            self._helper = None
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    async def run(
        self,
        command: Command,
        *,
        timeout: float,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] = _NOTHING,
        on_timeout: Callable[[ScriptResult], None] | None = None,
    ) -> ScriptResult:
        """Runs a command with ``arguments`` appended; returns what became of it when it is dead.

        After ``timeout`` seconds ``on_timeout`` gets a first result and the script is killed with its whole process
        group. The result comes when it is dead: 0.2 s later when it ignores SIGTERM, and never before a system call
        returns that even SIGKILL does not end. Cancelling kills it as well, and does not wait for that.
        """
        number = next(self._numbers)
        request = marshal.dumps(
            (
                helper.RUN,
                number,
                [*command.argv, *arguments],
                self._merge(command, environment),
                command.user,
                command.group,
                float(timeout),
            )
        )
        if len(request) > helper.REQUEST_LIMIT:
            size = f"arguments and environment take {len(request)} bytes, at most {helper.REQUEST_LIMIT} are possible"
            return ScriptResult(NotStarted(size))
        if self._helper is None and not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._up.wait()
        if self._helper is None or self._closing:
            return ScriptResult(NotStarted(f"no script helper: {self._why_down}"))
        return await self._helper.run(number, request, timeout, on_timeout)

    def _merge(self, command: Command, environment: Mapping[str, str]) -> dict[str, str]:
        """Puts a script's environment together; the helper adds HOME and the names of a user that is switched to."""
        merged = dict(self._environment)
        if command.user is not None:
            for name in _OF_THE_USER:
                merged.pop(name, None)
        return merged | dict(command.environment) | dict(environment)

    def _start_helper(self) -> _HelperProcess:
        loop = asyncio.get_running_loop()
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        self._last_start = loop.time()
        if self._keeper is None or self._keeper.ended:
            if self._keeper is not None:
                logger.warning(
                    "the keeper of the script helper (process %d) is gone: the new one has no rights that the daemon "
                    "has given up; restart vrrpd if scripts fail",
                    self._keeper.pid,
                )
            self._keeper = _Keeper(self._rights)
        self._helper = started = _HelperProcess(self._keeper, self._lost)
        self._up.set()
        return started

    def _lost(self, lost: _HelperProcess, why: str, failed: int) -> None:
        """Starts the helper again: at once, or a second after its last start."""
        if self._helper is not lost or self._closing:
            return
        self._helper = None
        self._up.clear()
        self._why_down = f"it {why}"
        self.restarts += 1
        logger.warning(
            "the script helper (process %s) %s; scripts that failed with it: %d; starting it again",
            lost.pid,
            why,
            failed,
        )
        self._restart_after(self._last_start + RESTART_INTERVAL)

    def _restart_after(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        self._restart = loop.call_at(max(due, loop.time()), self._restart_helper)

    def _restart_helper(self) -> None:
        self._restart = None
        try:
            self._start_helper()
        except OSError as error:
            self._why_down = f"it cannot be started: {error}"
            logger.error("the script helper cannot be started: %s; trying again", error)
            self._restart_after(asyncio.get_running_loop().time() + RESTART_INTERVAL)


class _Keeper:
    """The process that forks helpers, and what it says of them; it ends when ``close`` is called or the daemon ends."""

    def __init__(self, rights: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._numbers = count(1)
        self._waiting: dict[int, Callable[[int | None, str], None]] = {}
        self.ended = False
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.setblocking(False)
            self._process = subprocess.Popen(
                # -I and -S keep the environment and site-packages out, and it starts sooner.
                [
                    *(sys.executable, "-I", "-S", "-c", _HELPER, os.path.dirname(helper.__file__)),
                    *(str(other.fileno()), str(rights)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(other.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            other.close()
        self._loop.add_reader(self._socket, self._receive)

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self, end: socket.socket, on_gone: Callable[[int | None, str], None]) -> int:
        """Has a helper forked that serves ``end``; returns its number.

        ``on_gone`` hears its exit code (negative for a signal), or None and the reason why there is none.
        """
        number = next(self._numbers)
        socket.send_fds(self._socket, [marshal.dumps((helper.FORK, number))], [end.fileno()])
        self._waiting[number] = on_gone
        return number

    def kill(self, number: int) -> None:
        """Kills a helper; nothing happens when it is dead."""
        if number in self._waiting and not self.ended:
            with contextlib.suppress(OSError):
                self._socket.send(marshal.dumps((helper.FORCE, number)))

    def close(self) -> None:
        """Lets the keeper end, and reaps it; it does as soon as it sees the socket closed."""
        self._end()
        try:
            self._process.wait(_EXIT_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(self) -> None:
        if _take(self._socket, self._handle) is not None:
            self._process.poll()
            self._end()

    def _handle(self, reply: helper.KeeperReply) -> None:
        match reply:
            case (helper.GONE, int(number), int(code)) if number in self._waiting:
                self._waiting.pop(number)(code, "")
            case (helper.NO_HELPER, int(number), str(reason)) if number in self._waiting:
                self._waiting.pop(number)(None, reason)

    def _end(self) -> None:
        """Lets go of the socket. A helper may well go on; what becomes of it is not heard any more."""
        if self.ended:
            return
        self.ended = True
        self._waiting.clear()
        self._loop.remove_reader(self._socket)
        self._socket.close()


class _HelperProcess:
    """One helper process and its socket; ``on_lost`` gets this object, what became of it and how many runs failed."""

    def __init__(self, keeper: _Keeper, on_lost: Callable[[_HelperProcess, str, int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._pending: dict[int, _Pending] = {}
        self._outgoing: deque[bytes] = deque()
        self._ended = False
        self._closing = False
        self._complaint = ""
        self._keeper = keeper
        self._dead = False
        self._status: int | None = None
        self._why_unknown = "is gone"
        self._patience: asyncio.TimerHandle | None = None
        self.pid: int | None = None
        """Known as soon as it reports."""
        self.pids: dict[int, int] = {}
        """Process ids by number of the scripts that are not dead yet, also of those that nobody waits for any more."""
        self.ready: asyncio.Future[str] = self._loop.create_future()
        """Done when the helper reports; holds its warning, or ""."""
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.setblocking(False)
            self._number = keeper.fork(other, self._gone)
        except BaseException:
            self._socket.close()
            raise
        finally:
            other.close()
        self._loop.add_reader(self._socket, self._receive)

    async def run(
        self, number: int, request: bytes, limit: float, on_timeout: Callable[[ScriptResult], None] | None
    ) -> ScriptResult:
        """Sends one request and waits for its end."""
        pending = _Pending(self._loop.create_future(), limit, on_timeout)
        pending.watchdog = self._loop.call_later(limit + ANSWER_LIMIT, self._check_alive, number)
        self._pending[number] = pending
        self._send(request)
        try:
            return await pending.result
        except asyncio.CancelledError:
            self._send(marshal.dumps((helper.KILL, number)))
            raise
        finally:
            self._pending.pop(number, None)
            pending.watchdog.cancel()

    async def close(self, grace: float) -> None:
        """Waits for what runs, at most ``grace`` seconds, then has the helper kill the rest and end."""
        waiting = [pending.result for pending in self._pending.values()]
        if waiting and grace > 0:
            await asyncio.wait(waiting, timeout=grace)
        self._closing = True
        if not self._ended:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        await asyncio.wait([self.gone], timeout=_EXIT_LIMIT)
        if not self.gone.done():
            self._give_up("did not end")
            await self.gone

    def abandon(self, complaint: str) -> None:
        """Kills a helper that is good for nothing."""
        self._give_up(complaint)

    def _send(self, message: bytes) -> None:
        if self._ended or self._closing:
            return
        self._outgoing.append(message)
        if len(self._outgoing) == 1:
            self._flush()

    def _flush(self) -> None:
        """Sends what the socket takes; there are never more messages than two for each pending run."""
        try:
            while self._outgoing:
                self._socket.send(self._outgoing[0])
                self._outgoing.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._flush)
            return
        except OSError as error:
            self._give_up(f"cannot be reached ({error.strerror})")
            return
        self._loop.remove_writer(self._socket)

    def _receive(self) -> None:
        complaint = _take(self._socket, self._handle)
        if complaint is not None:
            self._give_up(complaint)

    def _handle(self, reply: helper.Reply) -> None:
        match reply:
            case (helper.READY, int(pid), str(warning)):
                self.pid = pid
                if not self.ready.done():
                    self.ready.set_result(warning)
            case (helper.STARTED, number, int(pid)):
                self.pids[number] = pid
            case (helper.OVERDUE, number, bytes(output)):
                pending = self._pending.get(number)
                if pending is not None:
                    if pending.watchdog is not None:
                        pending.watchdog.cancel()
                    if pending.on_timeout is not None:
                        text = output.decode("utf-8", "replace")
                        pending.on_timeout(ScriptResult(TimedOut(pending.limit), text, pending.limit))
            case (helper.ENDED, number, how, value, duration, bytes(output)):
                self.pids.pop(number, None)
                pending = self._pending.pop(number, None)
                if pending is not None and not pending.result.done():
                    text = output.decode("utf-8", "replace")
                    pending.result.set_result(ScriptResult(_outcome(how, value, pending.limit), text, duration))
            case _:
                self._give_up(f"sent a message that means nothing: {reply!r:.100}")

    def _check_alive(self, number: int) -> None:
        """Kills a helper that should have said by now what became of a run; its answer may lie in the socket unread."""
        self._receive()
        if number in self._pending and not self._ended:
            self._give_up("did not answer")

    def _give_up(self, complaint: str) -> None:
        """Kills the helper, if it is not dead already, and finds out what became of it."""
        if self._ended:
            return
        self._ended = True
        self._complaint = complaint
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        if not self._closing or complaint:
            self._keeper.kill(self._number)
        if self._dead:
            self._report()
        else:
            self._patience = self._loop.call_later(_DEATH_LIMIT, self._report)

    def _gone(self, status: int | None, why: str) -> None:
        """Hears from the keeper what became of the helper; its last words may still lie in the socket."""
        self._dead, self._status = True, status
        if why:
            self._why_unknown = why
        self._receive()
        if self._ended:
            self._report()
        else:
            self._give_up(why)

    def _report(self) -> None:
        """Says what became of the helper; the socket closes a moment before the keeper knows."""
        if self._patience is not None:
            self._patience.cancel()
        if self.gone.done():
            return
        status = self._status
        if self._complaint:
            why = self._complaint
        elif status is None:
            why = self._why_unknown
        else:
            why = f"was killed by {signal_name(-status)}" if status < 0 else f"ended with status {status}"
        self._finish(why)

    def _finish(self, why: str) -> None:
        # Without the helper nobody can tell when they end; what the scripts have started goes with them.
        for pid in self.pids.values():
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        self.pids.clear()
        failed = 0
        lost = ScriptResult(Lost("the daemon is shutting down" if self._closing else f"the script helper {why}"))
        for pending in tuple(self._pending.values()):
            if not pending.result.done():
                pending.result.set_result(lost)
                failed += 1
        self._pending.clear()
        if not self.ready.done():
            self.ready.set_exception(ScriptHelperError(f"it {why}"))
            self.ready.exception()
        if not self.gone.done():
            self.gone.set_result(None)
        if not self._closing:
            self._on_lost(self, why, failed)


def _take(end: socket.socket, handle: Callable[[Any], None]) -> str | None:
    """Handles the messages that have come, but not too many at once; returns None when more may come.

    Else nothing will come any more: "" when the other end has closed, or the complaint. ``handle`` may close ``end``.
    """
    for _ in range(_MESSAGES_AT_ONCE):
        if end.fileno() < 0:
            break
        try:
            packet = end.recv(helper.REPLY_LIMIT)
        except BlockingIOError:
            break
        except OSError as error:
            return f"cannot be heard ({error.strerror})"
        if not packet:
            return ""
        handle(marshal.loads(packet))
    return None


def inherited_environment() -> dict[str, str]:
    """What scripts get of the daemon's own environment: PATH, the locale, the time zone, HOME and the user's names."""
    kept = {name: value for name, value in os.environ.items() if name in _HANDED_DOWN or name.startswith("LC_")}
    kept.setdefault("PATH", DEFAULT_PATH)
    return kept


def _outcome(how: int, value: int | str, limit: float) -> Outcome:
    match how, value:
        case helper.EXITED, int(status):
            return Exited(status)
        case helper.SIGNALLED, int(number):
            return Killed(number)
        case helper.TIMED_OUT, _:
            return TimedOut(limit)
        case helper.NOT_STARTED, str(reason):
            return NotStarted(reason)
    return Lost(f"the script helper reports {how!r}, {value!r}")
