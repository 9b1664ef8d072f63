"""Notify scripts: told of every state change of a router, strictly in order, never in the protocol's way.

Each router has a queue of its own. Of one change ``notify_<state>`` comes first, with nothing appended, then ``notify``
with ``INSTANCE``, the router's name, the state and the priority. A script that fails, hangs or is missing costs a
warning in the log and nothing else. Knows nothing of the state machine: the caller decides which changes are told.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

from vrrpd.config.model import Command, NotifyScripts
from vrrpd.scripts.runner import ScriptRunner

logger = logging.getLogger(__name__)

TIME_LIMIT: Final = 30.0
"""Seconds after which a notify script is killed."""

QUEUE_LIMIT: Final = 16
"""State changes of a router that may wait; when there are more, all but the newest are dropped."""

STOP_LIMIT: Final = 0.7
"""Seconds that a shutdown waits for notify scripts, all in all: SIGTERM to exit stays under a second."""

_KILL_LIMIT: Final = 1.0
"""Seconds after its time limit for which a script that does not die holds up the ones behind it."""

_LINES_LIMIT: Final = 20
"""Lines of a script's output that go into the log: the last ones."""


@dataclass(frozen=True, slots=True)
class _Script:
    """One script to run: its keyword, the command and what is appended."""

    keyword: str
    command: Command
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Change:
    """What has to be run for one state change; ``state`` is None for a lower-priority advertisement heard as MASTER."""

    state: str | None
    scripts: tuple[_Script, ...]


class _Queue:
    """One router's changes that wait, and the task that works on them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: deque[_Change] = deque()
        self.current: _Change | None = None
        self.script: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] | None = None


class Notifier:
    """Runs the notify scripts of all routers; ``time_limit`` is seconds for each script."""

    def __init__(self, runner: ScriptRunner, *, time_limit: float = TIME_LIMIT, queue_limit: int = QUEUE_LIMIT) -> None:
        self._runner = runner
        self._time_limit = time_limit
        self._queue_limit = queue_limit
        self._queues: dict[str, _Queue] = {}
        self._stopped = False
        self.failures = 0
        """Scripts that did not exit with status 0."""
        self.dropped = 0
        """State changes that were not told because newer ones had come."""

    @property
    def waiting(self) -> int:
        """State changes that are not told completely yet, all routers together."""
        return sum(len(queue.waiting) + (queue.current is not None) for queue in self._queues.values())

    def state_changed(self, router_name: str, scripts: NotifyScripts, state: str, priority: int) -> None:
        """Has the scripts for a new state (``MASTER``, ``BACKUP``, ``FAULT``, ``STOP``) run after all earlier ones."""
        by_state = {"MASTER": scripts.master, "BACKUP": scripts.backup, "FAULT": scripts.fault, "STOP": scripts.stop}
        own = by_state[state]
        wanted: list[_Script] = []
        if own is not None:
            wanted.append(_Script(f"notify_{state.lower()}", own))
        if scripts.any_change is not None:
            appended = ("INSTANCE", router_name, state, str(priority))
            wanted.append(_Script("notify", scripts.any_change, appended))
        if wanted:
            self._add(router_name, _Change(state, tuple(wanted)))

    def lower_priority_heard(self, router_name: str, scripts: NotifyScripts) -> None:
        """Has ``notify_master_rx_lower_pri`` run, unless it waits to be run already."""
        if scripts.master_rx_lower_pri is None:
            return
        queue = self._queues.get(router_name)
        if queue is not None and any(change.state is None for change in queue.waiting):
            return
        script = _Script("notify_master_rx_lower_pri", scripts.master_rx_lower_pri)
        self._add(router_name, _Change(None, (script,)))

    async def stop(self, deadline: float) -> None:
        """Waits for the scripts until ``deadline`` (the event loop's clock), then kills what runs; takes nothing more.

        Only the last change of each router is still told, which is STOP where it was reported. A script that runs for
        an earlier change gets half of the time, so that the last one has the other half.
        """
        self._stopped = True
        loop = asyncio.get_running_loop()
        half = loop.time() + max(0.0, deadline - loop.time()) / 2
        for queue in self._queues.values():
            self._keep_last(queue, "shutting down")
        timers = [
            loop.call_at(half, _abandon, queue, queue.current)
            for queue in self._queues.values()
            if queue.waiting and queue.current is not None
        ]
        tasks = [queue.task for queue in self._queues.values() if queue.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, deadline - loop.time()))
        for timer in timers:
            timer.cancel()
        late = [task for task in tasks if not task.done()]
        for queue in self._queues.values():
            if queue.task in late:
                keywords = ", ".join(script.keyword for script in queue.current.scripts) if queue.current else "scripts"
                logger.warning("router %s: %s did not end in time for the shutdown and is killed", queue.name, keywords)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _add(self, router_name: str, change: _Change) -> None:
        if self._stopped:
            return
        queue = self._queues.setdefault(router_name, _Queue(router_name))
        queue.waiting.append(change)
        if len(queue.waiting) > self._queue_limit:
            self._keep_last(queue, f"more than {self._queue_limit} state changes are waiting")
        if queue.task is None:
            queue.task = asyncio.get_running_loop().create_task(self._work(queue), name=f"notify {router_name}")

    def _keep_last(self, queue: _Queue, why: str) -> None:
        """Drops what waits but the last state change: what a script makes of a state must end with the true one."""
        last = next((change for change in reversed(queue.waiting) if change.state is not None), None)
        dropped = sum(change.state is not None for change in queue.waiting) - (last is not None)
        queue.waiting.clear()
        if last is not None:
            queue.waiting.append(last)
        if dropped:
            self.dropped += dropped
            state = last.state if last is not None else None
            logger.warning(
                "router %s: %s; not telling the notify scripts of %d, only of %s", queue.name, why, dropped, state
            )

    async def _work(self, queue: _Queue) -> None:
        """Tells one router's changes in order until none is left."""
        try:
            while queue.waiting:
                queue.current = queue.waiting.popleft()
                for script in queue.current.scripts:
                    queue.script = asyncio.create_task(self._run(queue.name, script))
                    await asyncio.wait([queue.script])
                    if queue.script.cancelled():
                        logger.warning("router %s: %s was killed for the shutdown", queue.name, script.keyword)
                        break
        finally:
            if queue.script is not None:
                queue.script.cancel()
            self._queues.pop(queue.name, None)

    async def _run(self, name: str, script: _Script) -> None:
        """Runs one script, puts its output into the log, and a warning when it fails."""
        where = f"router {name}: {script.keyword} {script.command.argv[0] if script.command.argv else ''}"
        try:
            # A script that not even SIGKILL ends must not silence the rest for good.
            async with asyncio.timeout(self._time_limit + _KILL_LIMIT):
                result = await self._runner.run(script.command, timeout=self._time_limit, arguments=script.arguments)
        except TimeoutError:
            self.failures += 1
            logger.warning("%s timed out after %g s and cannot be killed; going on", where, self._time_limit)
            return
        except Exception:
            self.failures += 1
            logger.exception("%s failed inside vrrpd", where)
            return
        for line in result.lines[-_LINES_LIMIT:]:
            logger.info("%s: %s", where, line)
        if not result.succeeded:
            self.failures += 1
            logger.warning("%s %s", where, result.describe())


def _abandon(queue: _Queue, change: _Change) -> None:
    """Kills what runs for a change, if it is still that one's turn."""
    if queue.current is change and queue.script is not None:
        queue.script.cancel()
