"""What is measured: the scenarios, the keepalived.conf of each, and how many rounds of what a run has.

Both routers of a scenario, whatever the daemon, read the same text but for the priority; the preferred one tracks a
check besides. Second announcements (``garp_master_delay``) are off: they have no part in a takeover and would fall into
the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from bench.wire import Timing, VirtualRouter

PRIORITIES: Final = {"r1": 200, "r2": 100}
"""r1 is preferred: it is master whenever it lives."""

INTERFACE: Final = "eth0"
CHECK_INTERVAL: Final = 1
"""Seconds."""


class Event(Enum):
    """What happens to the master. The values are the names in reports and in JSON."""

    CRASH = "crash"
    """Every process of the daemon is killed with SIGKILL; its host lives on and keeps the addresses."""
    STOP = "clean stop"
    """SIGTERM."""
    CHECK = "failed check"
    DEATH = "host death"
    """Its link is cut: nothing comes from it any more."""
    PREEMPTION = "preemption"
    """The preferred router is back."""


FAILURES: Final = (Event.CRASH, Event.STOP, Event.CHECK, Event.DEATH)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A group of virtual routers."""

    key: str
    """What ``--only`` takes."""
    title: str
    routers: tuple[VirtualRouter, ...]
    interval_ms: int

    @property
    def timing(self) -> Timing:
        """How long the backup waits."""
        return Timing(self.interval_ms, PRIORITIES["r2"])

    @property
    def addresses(self) -> tuple[str, ...]:
        """All virtual addresses."""
        return tuple(address for router in self.routers for address in router.addresses)

    @property
    def probed(self) -> str:
        """The address that the client asks for: one from the middle."""
        return self.addresses[len(self.addresses) // 2]


def address(number: int) -> str:
    """A virtual address, from the range that is set aside for benchmarks (RFC 2544)."""
    return f"198.18.1.{number}"


def _many(count: int) -> tuple[VirtualRouter, ...]:
    return tuple(VirtualRouter(number, (address(number),)) for number in range(1, count + 1))


SINGLE: Final = Scenario("a", "1 router, 1 address, 100 ms", _many(1), 100)
MANY_ROUTERS: Final = Scenario("b", "254 routers with 1 address each, 1 s", _many(254), 1000)
MANY_ADDRESSES: Final = Scenario(
    "c", "1 router with 254 addresses, 100 ms", (VirtualRouter(1, tuple(map(address, range(1, 255)))),), 100
)
FAST: Final = Scenario("d", "20 routers, 10 ms", _many(20), 10)
STEADY: Final = Scenario("steady", "nothing happens: 254 routers, 100 ms", _many(254), 100)
BUSY: Final = Scenario("busy", "all cores kept busy by others: 20 routers, 10 ms", _many(20), 10)

SCENARIOS: Final = (SINGLE, MANY_ROUTERS, MANY_ADDRESSES, FAST, STEADY, BUSY)


@dataclass(frozen=True, slots=True)
class Job:
    """A scenario and how much of it is measured."""

    scenario: Scenario
    rounds: int
    events: tuple[Event, ...] = ()
    """What happens in each round, in this order; empty where only time passes."""
    seconds: float = 0.0
    """For how long, where only time passes."""
    measures_start: bool = True
    """Whether the backup starts alone, so that its start shows on the wire; else both start at once, which is
    faster."""

    @property
    def estimate(self) -> float:
        """About how many seconds a round of one daemon takes."""
        down = self.scenario.timing.master_down_ns / 1e9
        settle = settle_time(self.scenario)
        begin = (1.0 + down) * (2 if self.measures_start else 1) + settle
        there_and_back = {
            Event.CRASH: 2 * down + 1.5 + settle,
            Event.DEATH: 2 * down + 1.5 + settle,
            Event.STOP: down + 1.5 + settle,
            Event.CHECK: down + 2 * CHECK_INTERVAL + 1.0 + settle,
        }
        return begin + sum(there_and_back[event] for event in self.events) + self.seconds + 0.5


def settle_time(scenario: Scenario) -> float:
    """Seconds for which exactly the right router must have been heard before something is done to it."""
    return max(2.5 * scenario.interval_ms / 1000, 0.2)


FULL: Final = (
    Job(SINGLE, 40, FAILURES),
    Job(MANY_ROUTERS, 6, FAILURES, measures_start=False),
    Job(MANY_ADDRESSES, 8, FAILURES),
    Job(FAST, 6, FAILURES),
    Job(STEADY, 3, seconds=20),
    Job(BUSY, 1, seconds=60),
)
QUICK: Final = (
    Job(SINGLE, 1, FAILURES),
    Job(MANY_ROUTERS, 1, (Event.STOP,), measures_start=False),
    Job(STEADY, 1, seconds=3, measures_start=False),
    Job(MANY_ADDRESSES, 1, (Event.STOP, Event.CRASH), measures_start=False),
    Job(BUSY, 1, seconds=2, measures_start=False),
    Job(FAST, 1, (Event.STOP, Event.CRASH), measures_start=False),
)
"""One round of each scenario, in less than two minutes with two daemons: 254 routers with an interval of a second would
need twenty seconds for a crash, which is why they only stop. Last what can be left out most easily: a slow machine, or
one with a third daemon, may not get that far in the time."""


def keepalived_conf(scenario: Scenario, name: str, check: str | None) -> str:
    """The configuration of one router; ``check`` is the command of its check, None for no check."""
    blocks = [
        "global_defs {",
        f"    router_id {name}",
        "    script_user root",
        "    vrrp_version 3",
        "    vrrp_garp_master_repeat 5",
        "    vrrp_garp_master_delay 0",
        "}",
    ]
    if check is not None:
        blocks += [
            "vrrp_script service {",
            f'    script "{check}"',
            f"    interval {CHECK_INTERVAL}",
            "}",
        ]
    for router in scenario.routers:
        blocks += [
            f"vrrp_instance VI_{router.vrid} {{",
            "    state BACKUP",
            f"    interface {INTERFACE}",
            f"    virtual_router_id {router.vrid}",
            f"    priority {PRIORITIES[name]}",
            f"    advert_int {scenario.interval_ms / 1000:g}",
            "    virtual_ipaddress {",
            *(f"        {address}" for address in router.addresses),
            "    }",
            *(["    track_script {", "        service", "    }"] if check is not None else []),
            "}",
        ]
    return "\n".join([*blocks, ""])
