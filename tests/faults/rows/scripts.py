"""Check and notify scripts that misbehave."""

from __future__ import annotations

from tests.faults.registry import Role, row
from tests.faults.rows.wires import back_in_service, out_of_service
from tests.faults.stage import Node, Stage

MEGABYTE = 1 << 20

CHECK_MASTER = "The check fails after its time limit: FAULT, and the BACKUP takes over. "
CHECK_BACKUP = "The check fails after its time limit: FAULT, and the MASTER does not notice. "
KILLED = "The script is killed with everything it has started; when the check succeeds again all is as before."


def misbehave(stage: Stage) -> int:
    """Let the victim's check misbehave from its next run on; returns how many processes the daemon has without it."""
    victim = stage.victim
    stage.expect(lambda: not runs_a_script(victim), f"no script runs on {victim.name} for a moment")
    processes = len(victim.daemon.pids())
    victim.trigger.touch()
    return processes


def runs_a_script(node: Node) -> bool:
    """Whether a check runs right now."""
    for pid in node.daemon.pids():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if str(node.directory / "check").encode() in file.read():
                    return True
        except OSError:
            continue
    return False


def fails_and_recovers(stage: Stage) -> None:
    """Play the whole failure of a check, and see that no process of it is left."""
    processes = misbehave(stage)
    out_of_service(stage)
    stage.victim.trigger.unlink()
    back_in_service(stage)
    stage.expect(
        lambda: len(stage.victim.daemon.pids()) <= processes,
        f"{stage.victim.name} has no more processes than before ({processes})",
    )


@row(
    "check-hangs",
    "Check that hangs",
    done="The check script sleeps for ever and ignores SIGTERM.",
    master=CHECK_MASTER + KILLED,
    backup=CHECK_BACKUP + KILLED,
    check='trap "" TERM\nwhile :; do sleep 1000; done',
)
def check_hangs(stage: Stage) -> None:
    fails_and_recovers(stage)


@row(
    "check-forks",
    "Check that forks",
    done="The check script starts twenty processes, some in sessions of their own, and waits for them for ever.",
    master=CHECK_MASTER + KILLED,
    backup=CHECK_BACKUP + KILLED,
    check="for n in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & setsid sleep 1000 & done\nwait",
)
def check_forks(stage: Stage) -> None:
    fails_and_recovers(stage)


def runs_on(stage: Stage, times: int) -> None:
    """Wait for the misbehaving check to have run some times, and see that nobody changes his state for it."""
    victim = stage.victim
    runs = victim.directory / "runs"
    stage.expect(
        lambda: runs.exists() and len(runs.read_text().splitlines()) >= times, f"the check has run {times} times"
    )
    stage.hold(stage.down_interval)
    stage.expect_states(stage.r1)
    stage.expect_states(stage.r2)


@row(
    "check-prints",
    "Check that prints megabytes",
    done="The check script writes 20 MB to its output, and succeeds.",
    master="The check stays up, the daemon's memory does not grow by it, no state changes.",
    backup="The same.",
    check='head -c 20000000 /dev/zero\necho run >>"$(dirname "$0")/runs"',
)
def check_prints(stage: Stage) -> None:
    misbehave(stage)
    before = stage.victim.memory()
    runs_on(stage, 2)
    stage.victim.trigger.unlink()
    stage.expect(
        lambda: stage.victim.memory() < before + 6 * MEGABYTE,
        f"the memory of {stage.victim.name} has grown by less than 6 MB",
    )


@row(
    "check-zombies",
    "Check that leaves zombies",
    done="The check script leaves behind thirty processes that end when it has ended, and succeeds.",
    master="They are collected, the check stays up, no state changes.",
    backup="The same.",
    check="for n in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.1 & sleep 0.05 & true) & true & done\n"
    'echo run >>"$(dirname "$0")/runs"',
)
def check_zombies(stage: Stage) -> None:
    processes = misbehave(stage)
    runs_on(stage, 2)
    stage.victim.trigger.unlink()
    stage.expect(
        lambda: len(stage.victim.daemon.pids()) <= processes,
        f"{stage.victim.name} has no more processes than before ({processes})",
    )


@row(
    "notify-hangs",
    "Notify script that hangs",
    done="Every notify script sleeps for ever; the MASTER loses its carrier and gets it back, the BACKUP stands in for "
    "the MASTER.",
    master="Takeover and return as always; SIGTERM ends daemon and scripts.",
    backup="The same.",
    settings=tuple(f'{keyword} "{{directory}}/notify"' for keyword in ("notify", "notify_master", "notify_backup")),
)
def notify_hangs(stage: Stage) -> None:
    if stage.role is Role.MASTER:
        stage.lan.unplug(stage.victim.host)
        out_of_service(stage)
        stage.lan.plug(stage.victim.host)
        back_in_service(stage)
        return
    stage.r1.stop()
    stage.expect_master(stage.r2, "standing in")
    stage.r1.start()
    stage.expect_master(stage.r1, "started again")
    stage.expect_states(stage.r2, "MASTER", "BACKUP")
