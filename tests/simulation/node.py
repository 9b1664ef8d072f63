"""One machine of the simulation: the shipped runner, encoder, decoder and admission over a dataplane of sets.

A node can be started, stopped in good order, crashed, paused as by SIGSTOP, lose its link and have its check fail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from tests.simulation.lan import Lan
from vrrpd.protocol.actions import Notice, StateChanged, StateName
from vrrpd.protocol.admission import AdmissionPolicy
from vrrpd.protocol.datagram import Datagram, IPAddress
from vrrpd.protocol.discard import Discard
from vrrpd.protocol.events import (
    Event,
    Fault,
    FaultKind,
    FaultsChanged,
    Shutdown,
    SourceChanged,
    Startup,
    WeightChanged,
)
from vrrpd.protocol.packet import ChecksumForm, decode
from vrrpd.protocol.parameters import RouterParameters
from vrrpd.protocol.timing import Version, master_down_interval
from vrrpd.runner import Runner, RunnerSettings

LINK = Fault(FaultKind.INTERFACE, "eth0", "interface eth0 is down")
CHECK = Fault(FaultKind.CHECK, "web", "check web failed")
GROUP: dict[int, IPAddress] = {4: IPv4Address("224.0.0.18"), 6: IPv6Address("ff02::12")}


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """One virtual router of one node, as it is configured."""

    vrid: int
    priority: int
    interval: int = 100
    """Centiseconds."""
    preempt: bool = True
    preempt_delay: float = 0.0
    version: Version = Version.V3
    family: int = 4
    checksum_form: ChecksumForm = ChecksumForm.PSEUDO_HEADER

    @property
    def preempts(self) -> bool:
        """True where a lower priority is not left alone; an owner never leaves it alone."""
        return self.preempt or self.priority == 255

    def master_down_interval(self, interval: int) -> float:
        """How long this router waits for a master that advertises each ``interval`` centiseconds; seconds."""
        return master_down_interval(self.version, self.priority, interval)

    def settings(self) -> RunnerSettings:
        """What the shipped runner is told."""
        first, second = (
            (IPv4Address(f"198.51.100.{self.vrid}"), IPv4Address(f"203.0.113.{self.vrid}"))
            if self.family == 4
            else (IPv6Address(f"fe80::{self.vrid}:1"), IPv6Address(f"2001:db8:{self.vrid}::1"))
        )
        parameters = RouterParameters(
            vrid=self.vrid,
            version=self.version,
            priority=self.priority,
            max_advertise_interval=self.interval,
            addresses=(first, second),
            preempt=self.preempt,
            preempt_delay=self.preempt_delay,
        )
        group = GROUP[self.family]
        admission = AdmissionPolicy(self.version, self.interval, group)
        return RunnerSettings(f"VI_{self.vrid}", parameters, admission, (group,), self.checksum_form)


class SimulatedRouter:
    """A runner with the dataplane and the observer it needs, and a record of what it did."""

    def __init__(self, node: Node, plan: RouterPlan) -> None:
        self.node = node
        self.plan = plan
        self.installed: set[IPAddress] = set()
        self.sent: list[tuple[float, int]] = []
        """When which priority was sent."""
        self.changes: list[tuple[float, StateName]] = []
        self.announced = 0
        self.wake: float | None = None
        """The earliest time at which a timer of this router is in the heap."""
        self.runner = Runner(plan.settings(), self, self, node.lan.clock)

    @property
    def name(self) -> str:
        """The router's name in the transcript."""
        return f"{self.node.name}/{self.plan.vrid}"

    @property
    def is_master(self) -> bool:
        """True while it serves; a router of a dead or stopped process serves nobody."""
        return self.runner.state is StateName.MASTER

    def prepare(self, message: bytes, destination: IPAddress) -> None:
        pass

    def send(self, message: bytes, destination: IPAddress) -> None:
        """Counts an advertisement and puts it on the wire, if there is a wire."""
        self.sent.append((self.node.lan.now, message[2]))
        self.node.lan.log(f"{self.name} sends priority {message[2]}")
        if self.node.link:
            self.node.lan.send(self.node, Datagram(self.node.address, destination, 255, message))

    def install(self, only: frozenset[IPAddress] | None) -> None:
        """Adds addresses to the node."""
        self.installed |= self._addresses(only)

    def withdraw(self) -> None:
        """Takes addresses off the node."""
        self.installed -= self._addresses(None)

    def announce(self, repeat: int, only: frozenset[IPAddress] | None) -> None:
        """Announces addresses, which must be there by then."""
        assert self._addresses(only) <= self.installed, f"{self.name} announces what it does not have"
        self.announced += repeat

    def state_changed(self, runner: Runner, change: StateChanged) -> None:
        """Writes the change down."""
        self.changes.append((self.node.lan.now, change.state))
        self.node.lan.log(f"{self.name} {change.previous.value} -> {change.state.value}: {change.reason}")

    def noticed(self, runner: Runner, notice: Notice) -> None:
        """Remarks go to the transcript."""
        self.node.lan.log(f"{self.name} {notice.kind.value}")

    def discarded(self, runner: Runner, source: IPAddress, discard: Discard) -> None:
        """So do discards."""
        self.node.lan.log(f"{self.name} discards {discard.reason.value} from {source}")

    def _addresses(self, only: frozenset[IPAddress] | None) -> frozenset[IPAddress]:
        return frozenset(self.runner.settings.parameters.addresses) if only is None else only


class Node:
    """A machine with one interface."""

    def __init__(self, lan: Lan, name: str, address: IPAddress, plans: Sequence[RouterPlan]) -> None:
        self.lan = lan
        self.name = name
        self.address = address
        self.plans = tuple(plans)
        self.routers: dict[int, SimulatedRouter] = {}
        """By virtual router id; empty while the daemon does not run."""
        self.link = True
        self.check = True
        self.weight = 0
        self.paused = False
        self.history: list[SimulatedRouter] = []
        """Every router that ever ran here, those of dead processes included."""
        self._inbox: list[Datagram] = []
        lan.attach(self)

    @property
    def running(self) -> bool:
        """True while the daemon runs."""
        return bool(self.routers)

    @property
    def healthy(self) -> bool:
        """True while nothing keeps the node from serving."""
        return self.running and self.link and self.check and not self.paused

    # -- what is done to a node -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the daemon."""
        if self.running:
            return
        self.lan.log(f"{self.name} starts")
        self.paused = False
        self.routers = {plan.vrid: SimulatedRouter(self, plan) for plan in self.plans}
        self.history += self.routers.values()
        for router in self.routers.values():
            router.runner.deliver(SourceChanged(self.address))
            router.runner.deliver(FaultsChanged(self._faults()))
            router.runner.deliver(WeightChanged(self.weight, "check web"))
            router.runner.deliver(Startup())
            self._arm(router)

    def stop(self) -> None:
        """Stops the daemon in good order (SIGTERM)."""
        self.lan.log(f"{self.name} stops")
        self.resume()
        for router in self.routers.values():
            router.runner.deliver(Shutdown("SIGTERM"))
        self.routers = {}

    def crash(self) -> None:
        """Cuts the power: nobody says goodbye, and the addresses are gone with the machine."""
        self.lan.log(f"{self.name} crashes")
        for router in self.routers.values():
            router.installed.clear()
        self.routers = {}
        self._inbox.clear()
        self.paused = False

    def pause(self) -> None:
        """Stops the process (SIGSTOP): packets wait in the socket and timers in the kernel."""
        self.lan.log(f"{self.name} pauses")
        self.paused = self.running

    def resume(self) -> None:
        """Lets the process go on (SIGCONT): packets, timers and news of the node come in any order."""
        if not self.paused:
            return
        self.lan.log(f"{self.name} resumes")
        self.paused = False
        waking = [self._read_inbox, self._expire_all, self._tell_faults, self._tell_weight]
        self.lan.random.shuffle(waking)
        for wake in waking:
            wake()

    def set_link(self, up: bool) -> None:
        """Carrier comes or goes."""
        self.lan.log(f"{self.name} link {'up' if up else 'down'}")
        self.link = up
        self._tell_faults()

    def set_check(self, succeeds: bool) -> None:
        """The unweighted check changes its mind."""
        self.lan.log(f"{self.name} check {'succeeds' if succeeds else 'fails'}")
        self.check = succeeds
        self._tell_faults()

    def set_weight(self, weight: int) -> None:
        """The weighted checks change theirs."""
        self.lan.log(f"{self.name} weight {weight}")
        self.weight = weight
        self._tell_weight()

    # -- what happens by itself -----------------------------------------------------------------------------------

    def receive(self, datagram: Datagram) -> None:
        """Takes a packet: decoded and handed to the router it is for, as the daemon does it."""
        if not self.link or not self.running:
            return
        if self.paused:
            self._inbox.append(datagram)
            return
        try:
            decoded = decode(datagram)
        except Discard as discard:
            router = self.routers.get(datagram.message[1]) if len(datagram.message) > 1 else None
            if router is not None:
                router.runner.reject(datagram.source, discard)
            return
        router = self.routers.get(decoded.advertisement.vrid)
        if router is not None:
            router.runner.receive(datagram, decoded, (self.address,))
            self._arm(router)

    def _faults(self) -> tuple[Fault, ...]:
        return (*([] if self.link else [LINK]), *([] if self.check else [CHECK]))

    def _tell_faults(self) -> None:
        self._deliver(FaultsChanged(self._faults()))

    def _tell_weight(self) -> None:
        self._deliver(WeightChanged(self.weight, "check web"))

    def _deliver(self, event: Event) -> None:
        if self.paused:
            return
        for router in self.routers.values():
            router.runner.deliver(event)
            self._arm(router)

    def _read_inbox(self) -> None:
        waiting, self._inbox = self._inbox, []
        for datagram in waiting:
            self.receive(datagram)

    def _arm(self, router: SimulatedRouter) -> None:
        """Sees to it that a timer is in the heap; one that is there already and comes sooner is good enough."""
        deadline = router.runner.deadline
        if deadline is None or (router.wake is not None and router.wake <= deadline):
            return
        lateness = self.lan.quality.timer_lateness
        router.wake = deadline + (self.lan.random.uniform(0.0, lateness) if lateness else 0.0)
        self.lan.at(router.wake, lambda: self._fire(router))

    def _fire(self, router: SimulatedRouter) -> None:
        router.wake = None
        if self.paused or self.routers.get(router.plan.vrid) is not router:
            return
        router.runner.expire()
        self._arm(router)

    def _expire_all(self) -> None:
        for router in self.routers.values():
            router.runner.expire()
            self._arm(router)
