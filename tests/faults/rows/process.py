"""The process dies, stands still, or is asked to end."""

from __future__ import annotations

import signal

from tests.faults.registry import Role, row
from tests.faults.stage import Stage


@row(
    "sigkill",
    "SIGKILL",
    done="The daemon is killed and says nothing; later it is started again.",
    master="The BACKUP takes over once, within its master-down interval. The dead daemon's kernel keeps the VIP and "
    "answers until the new MASTER has announced it; its next start takes the VIP off before anything else.",
    backup="Nothing but the loss of the BACKUP; it comes back as BACKUP.",
)
def sigkill(stage: Stage) -> None:
    victim = stage.victim
    victim.kill()
    if stage.role is Role.BACKUP:
        stage.hold(stage.down_interval)
        victim.start()
        stage.expect(lambda: victim.states() == ["BACKUP"], "r2 comes back as BACKUP")
        stage.hold(stage.down_interval)
        stage.expect_states(stage.r1)
        return
    stage.expect_master(stage.r2, "after SIGKILL", besides=[victim])
    victim.start()
    # Before its own master-down interval is over it has no right to the address.
    stage.expect(lambda: not victim.holds_vip(), "the next start takes off the VIP that was left behind")
    stage.must("MASTER" not in victim.states(), "the VIP that was left behind goes before the first election is over")
    stage.expect_master(stage.r1, "started again")
    stage.expect_states(stage.r2, "MASTER", "BACKUP")


@row(
    "sigstop",
    "SIGSTOP, longer than the master-down interval, then SIGCONT",
    done="The daemon is stopped until two master-down intervals have passed, and then goes on.",
    master="The BACKUP takes over once. When the stopped one goes on it is MASTER again without an election: it is the "
    "better router, and the other one gives way at its first word.",
    backup="It reads what has come meanwhile before it looks at its timer, and stays BACKUP.",
)
def sigstop(stage: Stage) -> None:
    victim = stage.victim
    victim.signal(signal.SIGSTOP)
    if stage.role is Role.MASTER:
        stage.expect_master(stage.r2, "while the MASTER is stopped", besides=[victim])
        stage.hold(stage.down_interval, stage.r2, besides=[victim])
        victim.signal(signal.SIGCONT)
        stage.expect_master(stage.r1, "when it goes on")
        stage.expect_states(stage.r2, "MASTER", "BACKUP")
    else:
        stage.hold(2 * stage.down_interval)
        victim.signal(signal.SIGCONT)
        stage.hold(stage.down_interval)
        stage.expect_states(stage.r2)
    stage.expect_states(stage.r1)


@row(
    "sigterm",
    "SIGTERM",
    done="The daemon is asked to end; later it is started again.",
    master="Exit code 0, the VIP is gone when the process is, and the BACKUP takes over after its skew time.",
    backup="Exit code 0; the MASTER does not notice.",
)
def sigterm(stage: Stage) -> None:
    victim = stage.victim
    victim.stop()
    if stage.role is Role.MASTER:
        stage.expect_master(stage.r2, "after SIGTERM")
        victim.start()
        stage.expect_master(stage.r1, "started again")
        stage.expect_states(stage.r2, "MASTER", "BACKUP")
    else:
        stage.hold(stage.down_interval)
        victim.start()
        stage.expect(lambda: victim.states() == ["BACKUP"], "r2 comes back as BACKUP")
        stage.hold(stage.down_interval)
        stage.expect_states(stage.r1)
