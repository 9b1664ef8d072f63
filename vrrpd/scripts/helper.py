"""The processes that start scripts for the daemon: they fork, so the daemon never has to.

They are run alone, without their package, and import next to nothing, which keeps them small and quick to fork; the
daemon's side imports the message layout from here. A message is one packet on a Unix SOCK_SEQPACKET socket: a
marshalled tuple, both ends being the same interpreter.

All of it is one file: without its package it would have to import its other half by a bare name, which means nothing
when the daemon imports it as part of the package; and a second file is opened and read at each start of the keeper.

There are two. The keeper does nothing but fork helpers: it has the rights that scripts may need and that the daemon has
given up, so that a helper that dies can be replaced. The helper runs the scripts. When the other end of its socket
closes, the helper kills what runs and ends, and so does the keeper.

Each script gets a session and process group of its own, stdin from /dev/null, stdout and stderr into one pipe, default
signals and the environment it is given. Looking up users, searching PATH and exec itself happen in the forked child, so
that a hung directory service or file server costs that script its time limit and nobody else anything.

A script that is stopped (time limit, cancelled) gets SIGTERM, then SIGKILL, with everything in its process group, its
session and below it. A script that ends by itself may leave processes behind, as a notify script that starts a service
does: those are left alone, and reaped when they end, because the helper is their subreaper (prctl(2),
PR_SET_CHILD_SUBREAPER).

Knows nothing of checks, notifications or configuration.
"""

from __future__ import annotations

import _socket  # what socket is made of; socket itself would cost a quarter of the start
import contextlib
import ctypes
import errno
import grp
import marshal
import os
import pwd
import select
import signal
import stat
import sys
import time

TYPE_CHECKING = False  # typing itself would cost a third of the start and a megabyte
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final, NoReturn, TypeAlias

    Request: TypeAlias = (
        tuple[int, int, list[str], dict[str, str], str | None, str | None, float]  # RUN
        | tuple[int, int]  # KILL
    )
    KeeperReply: TypeAlias = tuple[int, int, int] | tuple[int, int, str]  # GONE, NO_HELPER
    Reply: TypeAlias = (
        tuple[int, int, str]  # READY
        | tuple[int, int, int]  # STARTED
        | tuple[int, int, bytes]  # OVERDUE
        | tuple[int, int, int, int | str, float, bytes]  # ENDED
    )

REQUEST_LIMIT: Final = 96 * 1024
"""Bytes of the longest message to the helper; the default socket buffer holds it twice."""

REPLY_LIMIT: Final = 16 * 1024
"""Bytes of the longest message from the helper."""

OUTPUT_LIMIT: Final = 4096
"""Bytes of output that are kept of a script: the last ones."""

KILL_GRACE: Final = 0.2
"""Seconds between SIGTERM and SIGKILL."""

RUN: Final = 1
"""Request: (RUN, number, argv, environment, user, group, time limit in seconds)."""
KILL: Final = 2
"""Request: (KILL, number). A number that is not running is ignored: it has just ended."""

FORK: Final = 3
"""Request to the keeper, with the helper's end of a socket: (FORK, number)."""
FORCE: Final = 4
"""Request to the keeper: (FORCE, number): kill that helper, which does not end by itself."""
GONE: Final = 5
"""The keeper's reply: (GONE, number, exit code, negative for a signal): that helper is dead and reaped."""
NO_HELPER: Final = 6
"""The keeper's reply: (NO_HELPER, number, reason): there is none."""

READY: Final = 1
"""Reply, once: (READY, process id of the helper, warning)."""
STARTED: Final = 2
"""Reply: (STARTED, number, process id), after fork and before anything is known of exec."""
OVERDUE: Final = 3
"""Reply: (OVERDUE, number, output): the time limit is over, the script is being killed; ENDED follows."""
ENDED: Final = 4
"""Reply, last for its number: (ENDED, number, how, value, duration in seconds, output)."""

EXITED: Final = 1
"""``how``: ended by itself; the value is its status."""
SIGNALLED: Final = 2
"""``how``: ended by a signal; the value is its number."""
TIMED_OUT: Final = 3
"""``how``: killed after its time limit; the value means nothing."""
NOT_STARTED: Final = 4
"""``how``: never ran; the value is the reason."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_CAPABILITIES: Final = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}

_REASON_LIMIT: Final = 512
_PIPE_READ: Final = 65536
_LEFT_PIPES: Final = 64
_LEFT_PIPE_BYTES: Final = 1 << 20
_REAPED_AT_ONCE: Final = 256
_EXIT_WAIT: Final = 0.1
_DESCRIPTOR_SIZE: Final = 4

_IGNORED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGPIPE,
)
"""Meant for the daemon when a whole control group gets them: the scripts of its shutdown still have to run."""
_RESET: Final = (*_IGNORED, signal.SIGCHLD, signal.SIGXFSZ)
"""What a script gets back as default: ignored signals survive exec."""


class Refused(Exception):
    """A script that must not be started, with the reason as a person reads it."""


class _Run:
    """One script that was forked: its pipes, how far its end has come, and when the next step is due."""

    __slots__ = ("deadline", "errors", "family", "how", "number", "output", "pid", "pipe", "reason", "started")

    def __init__(self, number: int, pid: int, pipe: int, errors: int, started: float, limit: float) -> None:
        self.number = number
        self.pid = pid
        self.pipe = pipe
        self.errors = errors
        self.started = started
        self.deadline: float | None = started + limit
        self.how = EXITED
        self.output = b""
        self.reason = ""
        self.family: dict[int, str] = {}


class Helper:
    """The helper's loop: requests, pipes, ended children and deadlines; nothing in it waits but poll.

    ``give_up`` takes all capabilities from the process that calls it.
    """

    def __init__(self, control: int, give_up: Callable[[], None]) -> None:
        self._control = control
        self._give_up = give_up
        self._runs: dict[int, _Run] = {}
        self._by_pid: dict[int, _Run] = {}
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], object]] = {}
        self._replies: list[bytes] = []
        self._left_pipes: dict[int, int] = {}
        self._open = True
        self._more_to_reap = False
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self._wakeup, wakeup_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._capabilities = _effective_capabilities()
        os.set_blocking(control, False)
        os.set_inheritable(control, False)
        self._libc, warning = _become_subreaper()
        signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._watch(control, self._read_request)
        self._watch(self._wakeup, self._read_wakeup)
        self._reply((READY, os.getpid(), warning))

    def serve(self) -> None:
        """Runs scripts until the daemon's end of the socket is closed, then kills what runs."""
        while self._open:
            for descriptor, events in self._poll.poll(self._patience()):
                if events & select.POLLOUT:
                    self._flush()
                handler = self._handlers.get(descriptor)
                if handler is not None and events & ~select.POLLOUT:
                    handler()
            if self._more_to_reap:
                self._reap()
            now = time.monotonic()
            for run in [run for run in self._runs.values() if run.deadline is not None and run.deadline <= now]:
                self._step(run, now)
        self._kill_all()

    def _patience(self) -> float | None:
        """Milliseconds until the next deadline."""
        if self._more_to_reap:
            return 0
        deadlines = [run.deadline for run in self._runs.values() if run.deadline is not None]
        return max(0.0, (min(deadlines) - time.monotonic()) * 1000) if deadlines else None

    # The socket to the daemon.

    def _read_request(self) -> None:
        try:
            packet = os.read(self._control, REQUEST_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._open = False
            return
        request = marshal.loads(packet)
        if request[0] == RUN:
            self._start(*request[1:])
            return
        run = self._runs.get(request[1])
        if run is not None and run.how == EXITED:
            self._terminate(run, SIGNALLED, time.monotonic())

    def _reply(self, reply: Reply) -> None:
        self._replies.append(marshal.dumps(reply))
        self._flush()

    def _flush(self) -> None:
        """Sends what the socket takes; the rest goes when it takes more."""
        try:
            while self._replies:
                os.write(self._control, self._replies[0])
                del self._replies[0]
        except BlockingIOError:
            pass
        except OSError:
            self._open = False
        self._poll.modify(self._control, select.POLLIN | (select.POLLOUT if self._replies else 0))

    # Pipes.

    def _watch(self, descriptor: int, handler: Callable[[], object]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.POLLIN)

    def _close(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self._poll.unregister(descriptor)
        os.close(descriptor)

    def _read_output(self, run: _Run) -> bool:
        """Takes what a pipe holds at most; returns whether there may be more."""
        if run.pipe < 0:
            return False
        try:
            data = os.read(run.pipe, _PIPE_READ)
        except BlockingIOError:
            return False
        if not data:
            self._close(run.pipe)
            run.pipe = -1
            return False
        run.output = (run.output + data)[-OUTPUT_LIMIT:]
        return True

    def _read_errors(self, run: _Run) -> None:
        """Hears from the child why it could not exec; the pipe closes silently when it could."""
        if run.errors < 0:
            return
        try:
            data = os.read(run.errors, _REASON_LIMIT)
        except BlockingIOError:
            return
        self._close(run.errors)
        run.errors = -1
        run.reason = data.decode("utf-8", "replace")

    def _leave_pipe(self, pipe: int) -> None:
        """Goes on emptying the pipe of a script that ended, or what it left in the background would die by SIGPIPE."""
        if len(self._left_pipes) >= _LEFT_PIPES:
            self._close_left_pipe(next(iter(self._left_pipes)))
        self._left_pipes[pipe] = _LEFT_PIPE_BYTES
        self._handlers[pipe] = lambda: self._empty_left_pipe(pipe)

    def _empty_left_pipe(self, pipe: int) -> None:
        try:
            size = len(os.read(pipe, _PIPE_READ))
        except BlockingIOError:
            return
        self._left_pipes[pipe] -= size
        if not size or self._left_pipes[pipe] <= 0:
            self._close_left_pipe(pipe)

    def _close_left_pipe(self, pipe: int) -> None:
        del self._left_pipes[pipe]
        self._close(pipe)

    # The life of a script.

    def _start(
        self,
        number: int,
        argv: list[str],
        environment: dict[str, str],
        user: str | None,
        group: str | None,
        limit: float,
    ) -> None:
        """Forks a script; what comes of exec is heard through a pipe that exec closes."""
        descriptors: list[int] = []
        try:
            descriptors += os.pipe2(os.O_CLOEXEC)
            descriptors += os.pipe2(os.O_CLOEXEC)
            pipe, pipe_writer, errors, errors_writer = descriptors
            parent = os.getpid()
            pid = os.fork()
        except OSError as error:
            for descriptor in descriptors:
                os.close(descriptor)
            self._reply((ENDED, number, NOT_STARTED, f"cannot fork: {error.strerror}", 0.0, b""))
            return
        if pid == 0:
            self._become(argv, environment, user, group, pipe_writer, errors_writer, parent)
        os.close(pipe_writer)
        os.close(errors_writer)
        os.set_blocking(pipe, False)
        os.set_blocking(errors, False)
        run = _Run(number, pid, pipe, errors, time.monotonic(), limit)
        self._runs[number] = self._by_pid[pid] = run
        self._watch(pipe, lambda: self._read_output(run))
        self._watch(errors, lambda: self._read_errors(run))
        self._reply((STARTED, number, pid))

    def _become(
        self,
        argv: list[str],
        environment: dict[str, str],
        user: str | None,
        group: str | None,
        output: int,
        errors: int,
        parent: int,
    ) -> NoReturn:
        """Turns the forked child into the script, or tells the helper why it cannot and exits."""
        reason = "unknown"
        try:
            os.close(self._control)
            signal.set_wakeup_fd(-1)
            for number in _RESET:
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            os.dup2(self._null, 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            before = os.geteuid()
            for name, value in change_user(user, group, self._capabilities).items():
                environment.setdefault(name, value)
            if os.geteuid() != before != 0:
                # From root to another user the kernel takes them away; from one such user to another it does not, and
                # an ambient one would go on to the script.
                self._give_up()
            # Changing the user clears it, so it comes after; the helper may have died before.
            if self._libc is not None:
                self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(127)
            _schedule(os.SCHED_OTHER)
            execute(argv, environment)
        except Refused as refused:
            reason = str(refused)
        except BaseException as error:
            reason = f"{argv[0] if argv else 'the command is empty'}: {error}"
        with contextlib.suppress(OSError):
            os.write(errors, reason.encode("utf-8", "replace")[:_REASON_LIMIT])
        os._exit(127)

    def _step(self, run: _Run, now: float) -> None:
        """Takes the next step against a script whose deadline is over: SIGTERM, then SIGKILL."""
        if run.how == EXITED:
            self._terminate(run, TIMED_OUT, now)
            self._read_output(run)
            self._reply((OVERDUE, run.number, run.output))
        else:
            run.deadline = None
            self._kill(run)

    def _terminate(self, run: _Run, how: int, now: float) -> None:
        """Asks a script and its group to end; remembers what is below it, which its death would hide."""
        run.how = how
        run.deadline = now + KILL_GRACE
        run.family = descendants(run.pid)
        _signal_group(run.pid, signal.SIGTERM)

    def _kill(self, run: _Run) -> None:
        """Kills a script with its process group, its session and what was or is below it.

        The script itself is not reaped yet, so its process id cannot belong to anybody else.
        """
        family = run.family | descendants(run.pid)
        _signal_group(run.pid, signal.SIGKILL)
        for pid, begun in family.items():
            if begun and start_and_session(pid)[0] == begun:
                _signal(pid, signal.SIGKILL)
        for pid in children(os.getpid()):
            if pid != run.pid and start_and_session(pid)[1] == run.pid:
                for below in (pid, *descendants(pid)):
                    _signal(below, signal.SIGKILL)

    def _read_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)
        self._reap()

    def _reap(self) -> None:
        """Reaps every child that has ended, scripts and orphans alike."""
        self._more_to_reap = True
        for _ in range(_REAPED_AT_ONCE):
            try:
                # WNOWAIT: what a script leaves in its group is killed while its process id is still its own.
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                ended = None
            if ended is None:
                self._more_to_reap = False
                return
            run = self._by_pid.get(ended.si_pid)
            if run is not None and run.how != EXITED:
                self._kill(run)
            _, status = os.waitpid(ended.si_pid, 0)
            if run is not None:
                self._end(run, os.waitstatus_to_exitcode(status))

    def _end(self, run: _Run, code: int) -> None:
        """Reports a script that has been reaped and forgets it."""
        duration = time.monotonic() - run.started
        self._read_errors(run)
        for _ in range(16):
            if not self._read_output(run):
                break
        if run.errors >= 0:
            self._close(run.errors)
        if run.pipe >= 0 and run.how == EXITED:
            self._leave_pipe(run.pipe)
        elif run.pipe >= 0:
            self._close(run.pipe)
        del self._runs[run.number], self._by_pid[run.pid]
        how, value = run.how, code
        if how == EXITED and run.reason:
            self._reply((ENDED, run.number, NOT_STARTED, run.reason, duration, b""))
            return
        if how != TIMED_OUT:
            how, value = (EXITED, code) if code >= 0 else (SIGNALLED, -code)
        self._reply((ENDED, run.number, how, value, duration, run.output))

    def _kill_all(self) -> None:
        """Kills all scripts because the daemon is gone, and reaps them if that is quick."""
        for run in self._runs.values():
            self._kill(run)
        end = time.monotonic() + _EXIT_WAIT
        left = set(self._by_pid)
        while left and time.monotonic() < end:
            left -= {pid for pid in left if os.waitpid(pid, os.WNOHANG)[0]}
            time.sleep(0.001)


def change_user(user: str | None, group: str | None, capabilities: int) -> dict[str, str]:
    """Becomes ``user`` (a name or a number) with its groups; returns the environment that goes with it.

    ``group`` replaces the user's primary group; without ``user`` only the group changes, without either nothing does.
    Asking for what the process is already needs no capability.
    """
    entry = _user_entry(user)
    uid = os.geteuid() if user is None else entry.pw_uid if entry is not None else int(user)
    if group is not None:
        gid = _group_number(group)
    elif entry is not None:
        gid = entry.pw_gid
    elif user is not None and uid != os.geteuid():
        raise Refused(f"user {user}: has no entry in the user database, so a group has to be given too")
    else:
        gid = os.getegid()
    who = f"user {user}" if user is not None else f"group {group}"
    needed = ["CAP_SETGID"] if gid != os.getegid() else []
    if uid != os.geteuid():
        # A script of another user can be stopped only with CAP_KILL, and one that cannot be stopped must not run.
        needed = ["CAP_SETGID", "CAP_SETUID", "CAP_KILL"]
    missing = [name for name in needed if not capabilities >> _CAPABILITIES[name] & 1]
    if missing:
        raise Refused(f"{who}: not permitted ({', '.join(missing)} missing)")
    try:
        if uid != os.geteuid():
            if entry is not None:
                os.initgroups(entry.pw_name, gid)
            else:
                os.setgroups([gid])
        if gid != os.getegid():
            os.setgid(gid)
        if uid != os.geteuid():
            os.setuid(uid)
    except OSError as error:
        unmapped = ": not mapped in this user namespace" if error.errno == errno.EINVAL else ""
        raise Refused(f"{who} (uid {uid}, gid {gid}): {error.strerror}{unmapped}") from None
    if entry is None:
        return {}
    return {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "SHELL": entry.pw_shell or "/bin/sh"}


def _user_entry(user: str | None) -> pwd.struct_passwd | None:
    """The user database's entry of a name or a number; None for a number that has none."""
    if user is None:
        return None
    try:
        return pwd.getpwnam(user)
    except KeyError:
        if not user.isdecimal():
            raise Refused(f"user {user}: no such user") from None
    try:
        return pwd.getpwuid(int(user))
    except (KeyError, OverflowError):
        return None


def _group_number(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        if not group.isdecimal():
            raise Refused(f"group {group}: no such group") from None
    return int(group)


def execute(argv: list[str], environment: dict[str, str]) -> NoReturn:
    """Turns this process into a program; the first word is sought in PATH unless it has a slash.

    It imports nothing, unlike ``os.execvpe``: the user may have no access to Python's own files.
    """
    if not argv or not argv[0]:
        raise Refused("the command is empty")
    program = argv[0]
    if "/" in program:
        candidates = [program]
    else:
        path = environment.get("PATH", os.defpath)
        candidates = [f"{directory}/{program}" for directory in path.split(":") if directory]
    failure: tuple[str, OSError] | None = None
    for candidate in candidates:
        try:
            os.execve(candidate, argv, environment)
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            if failure is None and ("/" in program or os.path.lexists(candidate)):
                failure = candidate, error
        except OSError as error:
            failure = candidate, error
            break
    if failure is None:
        raise Refused(f"{program}: not found in PATH ({path})")
    raise Refused(explain_exec(*failure))


def explain_exec(program: str, error: OSError) -> str:
    """Says why a program could not be executed, with what a look at the file adds to the error number."""
    text = f"{program}: {error.strerror}"
    with contextlib.suppress(OSError):
        if error.errno == errno.ENOENT and os.path.lexists(program):
            if not os.path.exists(program):
                return f"{text} (a symbolic link to {os.readlink(program)})"
            with open(program, "rb") as file:
                first = file.readline(100).decode("utf-8", "replace").strip()
            return f"{text} (the file is there; its interpreter is not{': ' + first if first.startswith('#!') else ''})"
        mode = os.stat(program).st_mode
        if stat.S_ISDIR(mode):
            return f"{program}: Is a directory"
        if error.errno == errno.EACCES:
            return f"{text} (mode {stat.S_IMODE(mode):04o}, run as uid {os.geteuid()})"
        if error.errno == errno.ENOEXEC:
            return f"{text} (a script needs a first line such as #!/bin/sh)"
    return text


def children(pid: int) -> list[int]:
    """Lists the processes whose parent is ``pid``; none where the kernel does not tell."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
    return found


def descendants(pid: int) -> dict[int, str]:
    """Finds all processes below ``pid``, with their start times, which tell them from later ones of the same number."""
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting and len(found) < 4096:
        for child in children(waiting.pop()):
            if child not in found:
                found[child] = start_and_session(child)[0]
                waiting.append(child)
    return found


def start_and_session(pid: int) -> tuple[str, int]:
    """Reads when a process was started (clock ticks, as text) and its session (proc(5)); ("", -1) when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[19].decode(), int(fields[3])
    except (OSError, IndexError, ValueError):
        return "", -1


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def _signal_group(pid: int, number: int) -> None:
    """Signals a script and its group; the group does not exist yet when the child has only just been forked."""
    _signal(pid, number)
    with contextlib.suppress(OSError):
        os.killpg(pid, number)


def _effective_capabilities() -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0


def _schedule(policy: int) -> None:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, policy, os.sched_param(0))


def _become_subreaper() -> tuple[ctypes.CDLL | None, str]:
    """Makes orphans below this process its children; returns the C library, and a warning where that fails."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        failed = libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError) as error:
        return None, f"what scripts leave behind is not reaped here: {error}"
    return libc, f"what scripts leave behind is not reaped here: {os.strerror(ctypes.get_errno())}" if failed else ""


def _settle() -> None:
    """Sheds what the daemon may have handed down: signals, scheduling, protection, directory, umask; takes a name."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN if number in _IGNORED else signal.SIG_DFL)
    # Not real-time, if the daemon is; and a batch process does not preempt the daemon that wakes it (sched(7)).
    _schedule(os.SCHED_BATCH)
    # A daemon that is spared when memory runs out does not stand in for scripts that use it up.
    with contextlib.suppress(OSError, ValueError), open("/proc/self/oom_score_adj", "r+") as file:
        if int(file.read()) < 0:
            file.write("0")
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write("vrrpd-scripts")
    os.chdir("/")
    os.umask(0o022)


class Keeper:
    """The keeper's loop: a helper for each socket that the daemon hands over, and word of its end."""

    def __init__(self, control: int) -> None:
        os.set_inheritable(control, False)
        self._control = _socket.socket(fileno=control)
        self._helpers: dict[int, int] = {}
        """Process ids of helpers by their numbers."""
        self._wakeup, self._wakeup_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # The scripts of a helper that dies become children of this process.
        _become_subreaper()
        self._listen()

    def _listen(self) -> None:
        signal.set_wakeup_fd(self._wakeup_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def serve(self) -> int | None:
        """Forks helpers until the daemon's end of the socket is closed.

        Returns the socket's descriptor in a process that is a new helper, None in the keeper when all is over.
        """
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wakeup:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wakeup, 4096)
                    self._reap()
                    continue
                message, ancillary, _, _ = self._control.recvmsg(1024, _socket.CMSG_LEN(_DESCRIPTOR_SIZE))
                if not message:
                    return None
                kind, number = marshal.loads(message)
                if kind == FORK and ancillary:
                    received = int.from_bytes(ancillary[0][2][:_DESCRIPTOR_SIZE], sys.byteorder)
                    if self._fork(number, received):
                        return received
                if kind == FORCE and number in self._helpers:
                    _signal(self._helpers[number], signal.SIGKILL)

    def _fork(self, number: int, descriptor: int) -> bool:
        """Forks a helper; returns True in it."""
        try:
            pid = os.fork()
        except OSError as error:
            os.close(descriptor)
            self._reply((NO_HELPER, number, f"cannot fork: {error.strerror}"))
            return False
        if pid == 0:
            signal.set_wakeup_fd(-1)
            self._control.close()
            os.close(self._wakeup)
            os.close(self._wakeup_writer)
            return True
        os.close(descriptor)
        self._helpers[number] = pid
        return False

    def _reap(self) -> None:
        """Reaps whatever has ended: helpers, and what they have left behind."""
        for _ in range(_REAPED_AT_ONCE):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for number, helper in list(self._helpers.items()):
                if helper == pid:
                    del self._helpers[number]
                    self._kill_scripts()
                    self._reply((GONE, number, os.waitstatus_to_exitcode(status)))
        os.kill(os.getpid(), signal.SIGCHLD)  # for the rest, after whatever else is waiting

    def _kill_scripts(self) -> None:
        """Kills the groups of the scripts that died with their helper; what scripts had left behind stays."""
        end = time.monotonic() + _EXIT_WAIT
        while time.monotonic() < end:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                time.sleep(0.001)
                continue
            if ended.si_code == os.CLD_KILLED and ended.si_status == signal.SIGKILL:
                _signal_group(ended.si_pid, signal.SIGKILL)
            os.waitpid(ended.si_pid, os.WNOHANG)

    def _reply(self, reply: KeeperReply) -> None:
        with contextlib.suppress(OSError):
            self._control.send(marshal.dumps(reply), _socket.MSG_DONTWAIT)


def main(arguments: Sequence[str]) -> None:
    """Keeps the socket whose descriptor is the first argument, with no more than the rights of the second (-1: all)."""
    if TYPE_CHECKING:
        from vrrpd.scripts import capabilities
    else:
        import capabilities
    _settle()
    rights = int(arguments[1])
    if rights >= 0:
        with contextlib.suppress(OSError):
            capabilities.keep_only(rights)
    descriptor = Keeper(int(arguments[0])).serve()
    if descriptor is not None:
        Helper(descriptor, lambda: capabilities.keep_only(0)).serve()
    # There is nothing to tidy up, and an interpreter takes ten milliseconds to do so: a backup in a namespace of the
    # same host may be about to take over.
    os._exit(0)
