"""One machine of the simulation: the shipped runner, encoder, decoder and admission over a dataplane of sets.

A node can be started, stopped in good order, crashed, paused as by SIGSTOP, lose its link, have its check fail, its
weights move, its addresses removed and its configuration reloaded; its clock may run fast or slow. Packets take the
daemon's two ways: the short one for what was heard before, the long one for everything else. So do advertisements: a
MASTER that has nothing else to do leaves them to a round. Whoever wants to know what happens is a ``Witness``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from tests.simulation.lan import Lan, Packet, packet_of
from tests.simulation.plan import RouterPlan, address_of
from vrrpd.protocol.actions import Notice, StateChanged, StateName
from vrrpd.protocol.datagram import Datagram, IPAddress
from vrrpd.protocol.discard import Discard
from vrrpd.protocol.events import (
    AddressesTaken,
    Event,
    Fault,
    FaultKind,
    FaultsChanged,
    Shutdown,
    SourceChanged,
    Startup,
    WeightChanged,
)
from vrrpd.protocol.packet import decode
from vrrpd.protocol.states import State
from vrrpd.protocol.timing import Version
from vrrpd.rounds import Round, Rounds
from vrrpd.runner import Runner

LINK: Final = Fault(FaultKind.INTERFACE, "eth0", "interface eth0 is down")
CHECK: Final = Fault(FaultKind.CHECK, "web", "check web failed")
LONGEST_WAIT: Final = 0.1
"""Seconds after which a packet that waited counts as heard now, as in the daemon."""


class Witness(Protocol):
    """Who sees everything that a node does: the invariants."""

    def entered(self, router: SimulatedRouter, previous: StateName) -> None:
        """A router has another state."""

    def sent(self, router: SimulatedRouter, priority: int) -> None:
        """A router sends an advertisement."""

    def heard(self, router: SimulatedRouter, priority: int, interval: int, arrival: float) -> None:
        """A router has taken in an advertisement that was admitted; centiseconds, seconds of the node's clock."""

    def rejected(self, router: SimulatedRouter, before: State, sends: int) -> None:
        """A router has thrown a packet away; ``before`` and ``sends`` are its state and what it had sent until then."""

    def announced(self, router: SimulatedRouter, addresses: frozenset[IPAddress], whole: bool) -> None:
        """A router announces addresses: all that it has, or some that have come back or are new."""

    def touched(self, router: SimulatedRouter) -> None:
        """Something about a router has changed: addresses, faults, whether it is there at all."""

    def moved(self, router: SimulatedRouter) -> None:
        """A router may have another priority."""

    def reloaded(self, router: SimulatedRouter) -> None:
        """A router has other parameters."""

    def disturbed(self, node: Node, routers: Iterable[SimulatedRouter]) -> None:
        """A node is there or is not: started, paused, resumed, crashed, its link changed; and its routers until now."""


class Nobody:
    """A witness that looks away."""

    def entered(self, router: SimulatedRouter, previous: StateName) -> None:
        """Nothing."""

    def sent(self, router: SimulatedRouter, priority: int) -> None:
        """Nothing."""

    def heard(self, router: SimulatedRouter, priority: int, interval: int, arrival: float) -> None:
        """Nothing."""

    def rejected(self, router: SimulatedRouter, before: State, sends: int) -> None:
        """Nothing."""

    def announced(self, router: SimulatedRouter, addresses: frozenset[IPAddress], whole: bool) -> None:
        """Nothing."""

    def touched(self, router: SimulatedRouter) -> None:
        """Nothing."""

    def moved(self, router: SimulatedRouter) -> None:
        """Nothing."""

    def reloaded(self, router: SimulatedRouter) -> None:
        """Nothing."""

    def disturbed(self, node: Node, routers: Iterable[SimulatedRouter]) -> None:
        """Nothing."""


class SimulatedRouter:
    """A runner with the dataplane and the observer it needs, and a record of what it did."""

    __slots__ = (
        "_packets",
        "announced",
        "changes",
        "crashed",
        "held_until",
        "installed",
        "name",
        "node",
        "plan",
        "rejections",
        "runner",
        "sends",
        "sent",
        "taken",
        "wake",
    )

    def __init__(self, node: Node, plan: RouterPlan) -> None:
        self.node = node
        self.plan = plan
        self.name = f"{node.name}/{plan.vrid}"
        """The router's name in the transcript."""
        self.installed: set[IPAddress] = set()
        self.taken: set[IPAddress] = set()
        """What somebody else has removed and the daemon has not put back yet."""
        self.sends = 0
        self.rejections = 0
        self.sent: list[tuple[float, int]] = []
        """When which priority was sent, where a transcript is kept."""
        self.changes: list[tuple[float, StateName]] = []
        self.announced = 0
        self.crashed = False
        self.held_until = 0.0
        """Until when what it sends does not leave: it has decided ahead of time."""
        self.wake: float | None = None
        """The earliest time at which a timer of this router is in the heap."""
        self._packets: dict[bytes, Packet] = {}
        self.runner = Runner(plan.settings(), self, self, node.clock)

    @property
    def is_master(self) -> bool:
        """True while it serves; a router of a dead or stopped process serves nobody."""
        return self.runner.state is StateName.MASTER

    @property
    def alive(self) -> bool:
        """True while its process is there and it belongs to it."""
        return self.node.routers.get(self.plan.vrid) is self

    def prepare(self, message: bytes, destination: IPAddress) -> None:
        """Needs no preparation."""

    def send(self, message: bytes, destination: IPAddress) -> None:
        """Counts an advertisement and puts it on the wire, when it may leave and if there is a wire."""
        if self.node.laid_out is not None:
            self.node.laid_out.append((self, message, destination))
            return
        self.sends += 1
        packet = self._packets.get(message)
        if packet is None:
            datagram = Datagram(self.node.address(self.plan.family), destination, 255, message)
            packet = self._packets[message] = packet_of(datagram)
        if self.held_until > self.node.lan.now:
            self.node.lan.at_with(self.held_until, self.depart, packet)
        else:
            self.depart(packet)

    def depart(self, packet: Packet) -> None:
        """Puts an advertisement on the wire; a stopped process does so when it goes on."""
        node, lan = self.node, self.node.lan
        if self.crashed:
            return
        if node.paused:
            node.outbox.append((self, packet))
            return
        priority = packet.datagram.message[2]
        if lan.tracing:
            self.sent.append((lan.now, priority))
            lan.log(f"{self.name} sends priority {priority}")
        node.witness.sent(self, priority)
        if node.link:
            lan.send(node, packet)

    def install(self, only: frozenset[IPAddress] | None) -> None:
        """Adds addresses to the node."""
        addresses = self._addresses(only)
        self.installed |= addresses
        self.taken -= addresses
        self.node.witness.touched(self)

    def withdraw(self) -> None:
        """Takes addresses off the node."""
        self.installed -= self._addresses(None)
        self.taken.clear()
        self.node.witness.touched(self)

    def leave(self, lifetime: int) -> None:
        """Nobody hands over here."""
        raise AssertionError(f"{self.name} leaves its addresses to a successor")

    def announce(self, repeat: int, only: frozenset[IPAddress] | None) -> None:
        """Announces addresses."""
        self.announced += repeat
        self.node.witness.announced(self, self._addresses(only), only is None)

    def state_changed(self, runner: Runner, change: StateChanged) -> None:
        """Writes the change down."""
        lan = self.node.lan
        self.changes.append((lan.now, change.state))
        if lan.tracing:
            lan.log(f"{self.name} {change.previous.value} -> {change.state.value}: {change.reason}")
        self.node.witness.entered(self, change.previous)

    def noticed(self, runner: Runner, notice: Notice) -> None:
        """Remarks go to the transcript."""
        if self.node.lan.tracing:
            self.node.lan.log(f"{self.name} {notice.kind.value}")

    def discarded(self, runner: Runner, source: IPAddress, discard: Discard) -> None:
        """So do discards."""
        self.rejections += 1
        if self.node.lan.tracing:
            self.node.lan.log(f"{self.name} discards {discard.reason.value} from {source}")

    def _addresses(self, only: frozenset[IPAddress] | None) -> frozenset[IPAddress]:
        return frozenset(self.runner.settings.parameters.addresses) if only is None else only


class Volley:
    """The advertisements of a round, as they were when it was laid out."""

    def __init__(self, advertisements: Sequence[tuple[SimulatedRouter, bytes, IPAddress]]) -> None:
        self._advertisements = advertisements

    def send(self) -> None:
        """Sends them, whoever has joined or left since."""
        for router, message, destination in self._advertisements:
            router.send(message, destination)


class Node:
    """A machine with one interface."""

    def __init__(
        self,
        lan: Lan,
        index: int,
        plans: Sequence[RouterPlan],
        *,
        rate: float = 1.0,
        uptime: float = 0.0,
        lead: float = 0.0,
        socket: int = 1000,
        witness: Witness | None = None,
    ) -> None:
        self.lan = lan
        self.index = index
        self.name = f"n{index}"
        self.rate = rate
        """How many seconds its clock counts in one second."""
        self.lead = lead
        """How long before a takeover the daemon decides it at most; seconds."""
        self.socket = socket
        """How many packets its socket holds; what comes later is lost."""
        self.plans = {plan.vrid: plan for plan in plans}
        """The configuration file."""
        self.witness: Witness = Nobody() if witness is None else witness
        self.routers: dict[int, SimulatedRouter] = {}
        """By virtual router id; empty while the daemon does not run."""
        self.link = True
        self.check = True
        self.weight = 0
        self.paused = False
        self.faults: tuple[Fault, ...] = ()
        """What the daemon has been told is wrong."""
        self.history: list[SimulatedRouter] = []
        """Every router that ever ran here, those of dead processes included."""
        self.outbox: list[tuple[SimulatedRouter, Packet]] = []
        """What has been decided on but did not leave before the process was stopped."""
        self.crowded_out: set[int | None] = set()
        """The groups of which a packet found no room in its socket, nor was an equal one there, when it was stopped."""
        self.laid_out: list[tuple[SimulatedRouter, bytes, IPAddress]] | None = None
        """Where what is sent goes while a volley is made."""
        self._rounds = Rounds(self._volley, self._schedule)
        self._round_wakes: dict[Round, float | None] = {}
        """The earliest time at which a timer of each round is in the heap; None while it has to be asked again."""
        self._uptime = uptime
        self._inbox: list[tuple[Packet, float]] = []
        """What waits in the socket, and since when by the node's clock."""
        self._own = {family: (address_of(index, family),) for family in (4, 6)}
        lan.attach(self)

    @property
    def running(self) -> bool:
        """True while the daemon runs."""
        return bool(self.routers)

    @property
    def awake(self) -> bool:
        """True while the daemon runs and can hear and be heard."""
        return bool(self.routers) and self.link and not self.paused

    @property
    def healthy(self) -> bool:
        """True while nothing keeps the node from serving."""
        return self.awake and self.check

    def address(self, family: int) -> IPAddress:
        """The node's own address."""
        return self._own[family][0]

    def clock(self) -> float:
        """The node's own time in seconds: that of the LAN, but faster or slower and from another beginning."""
        return self._uptime + self.rate * self.lan.now

    # -- what is done to a node -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the daemon."""
        if self.running:
            return
        self.lan.log(f"{self.name} starts")
        self.paused = False
        self.faults = self._faults()
        self.routers = {plan.vrid: SimulatedRouter(self, plan) for plan in self.plans.values()}
        self.history += self.routers.values()
        for router in self.routers.values():
            self._begin(router)
        self.witness.disturbed(self, self.routers.values())

    def stop(self) -> None:
        """Stops the daemon in good order (SIGTERM)."""
        self.lan.log(f"{self.name} stops")
        self.resume()
        self._end("SIGTERM")

    def crash(self) -> None:
        """Cuts the power: nobody says goodbye, and the addresses are gone with the machine."""
        self.lan.log(f"{self.name} crashes")
        for router in self.routers.values():
            router.crashed = True
            router.installed.clear()
            router.taken.clear()
        self._end(None)

    def pause(self) -> None:
        """Stops the process (SIGSTOP): packets wait in the socket and timers in the kernel."""
        self.lan.log(f"{self.name} pauses")
        self.paused = self.running
        self.crowded_out.clear()
        self.witness.disturbed(self, self.routers.values())

    def resume(self) -> None:
        """Lets the process go on (SIGCONT): packets, timers and news of the node come in any order."""
        if not self.paused:
            return
        self.lan.log(f"{self.name} resumes")
        self.paused = False
        leaving, self.outbox = self.outbox, []
        for router, packet in leaving:
            router.depart(packet)
        waking = [self._read_inbox, self._expire_all, self._tell_faults, self._tell_weight, self._tell_taken]
        waking.append(self._read_configuration)
        self.lan.random.shuffle(waking)
        for wake in waking:
            wake()
        self.witness.disturbed(self, self.routers.values())

    def set_link(self, up: bool) -> None:
        """Carrier comes or goes."""
        self.lan.log(f"{self.name} link {'up' if up else 'down'}")
        self.link = up
        self.witness.disturbed(self, self.routers.values())
        self._news(self._tell_faults)

    def set_check(self, succeeds: bool) -> None:
        """The unweighted check changes its mind."""
        self.lan.log(f"{self.name} check {'succeeds' if succeeds else 'fails'}")
        self.check = succeeds
        self._news(self._tell_faults)

    def set_weight(self, weight: int) -> None:
        """The weighted checks change theirs."""
        self.lan.log(f"{self.name} weight {weight}")
        self.weight = weight
        self._news(self._tell_weight)

    def take_address(self, vrid: int, which: int) -> None:
        """Somebody else removes a virtual address, if it is there."""
        router = self.routers.get(vrid)
        if router is None:
            return
        addresses = router.runner.settings.parameters.addresses
        address = addresses[which % len(addresses)]
        if address in router.installed:
            self.lan.log(f"{self.name} loses {address}")
            router.installed.discard(address)
            router.taken.add(address)
            self._news(self._tell_taken)

    def configure(self, plan: RouterPlan) -> None:
        """Writes another configuration and has the daemon read it (SIGHUP)."""
        self.lan.log(f"{self.name} reloads {plan.vrid}: priority {plan.priority}, interval {plan.interval}")
        self.plans[plan.vrid] = plan
        if not self.paused:
            self._read_configuration()

    def tell_all(self) -> None:
        """Tells the daemon at once how things are."""
        if self.running and not self.paused:
            self._tell_faults()
            self._tell_weight()
            self._tell_taken()

    # -- what happens by itself -----------------------------------------------------------------------------------

    def receive(self, packet: Packet) -> None:
        """Takes a packet from the wire; it waits in the socket while the process is stopped."""
        if not self.link or not self.routers:
            return
        if self.paused:
            if len(self._inbox) < self.socket:
                self._inbox.append((packet, self.clock()))
            elif all(waiting.signature != packet.signature for waiting, _ in self._inbox):
                self.crowded_out.add(packet.vrid)
        else:
            self._take_in(packet, self.clock())

    def _take_in(self, packet: Packet, arrival: float) -> None:
        """Hands a packet to the router it is for, by the two ways that the daemon's link has."""
        router = self.routers.get(packet.vrid) if packet.vrid is not None else None
        if router is None:
            return
        runner = router.runner
        if runner.hear_again(packet.signature, arrival):
            self.witness.heard(router, packet.datagram.message[2], _interval(packet), arrival)
            return
        before, sends, rejections = runner.router.state, router.sends, router.rejections
        heard = self.clock() if router.is_master else arrival
        datagram = packet.datagram
        try:
            decoded = decode(datagram)
        except Discard as discard:
            runner.reject(datagram.source, discard)
        else:
            runner.receive(datagram, decoded, self._own[router.plan.family], packet.signature, arrival)
        if router.rejections != rejections:
            self.witness.rejected(router, before, sends)
        elif runner.state is not StateName.INIT:
            self.witness.heard(router, datagram.message[2], _interval(packet), heard)
        self._arm(router)

    def _begin(self, router: SimulatedRouter) -> None:
        """Starts one router as the daemon does: source, weight, faults, then the election."""
        router.runner.deliver(SourceChanged(self.address(router.plan.family)))
        if self.weight:
            router.runner.deliver(WeightChanged(self.weight, "check web"))
        if self.faults:
            router.runner.deliver(FaultsChanged(self.faults))
        router.runner.deliver(Startup())
        self.witness.touched(router)
        self._arm(router)

    def _end(self, farewell: str | None) -> None:
        routers = list(self.routers.values())
        if farewell is not None:
            for router in routers:
                router.runner.deliver(Shutdown(farewell))
        self.routers = {}
        self._rounds = Rounds(self._volley, self._schedule)
        self._round_wakes.clear()
        self._inbox.clear()
        self.outbox.clear()
        self.paused = False
        self.faults = ()
        for router in routers:
            self.witness.touched(router)
        self.witness.disturbed(self, routers)

    def _faults(self) -> tuple[Fault, ...]:
        return (*([] if self.link else [LINK]), *([] if self.check else [CHECK]))

    def _news(self, tell: Callable[[], None]) -> None:
        """Has the kernel tell the daemon, in a moment."""
        delay = self.lan.quality.news_delay
        if delay:
            self.lan.at(self.lan.now + self.lan.random.random() * delay, tell)
        else:
            tell()

    def _tell_faults(self) -> None:
        if self.paused or not self.running:
            return
        # Whenever an interface has changed, what admits a packet may have changed.
        for router in self.routers.values():
            router.runner.forget_familiar()
        self.faults = self._faults()
        self._deliver(FaultsChanged(self.faults))
        for router in self.routers.values():
            self.witness.touched(router)

    def _tell_weight(self) -> None:
        self._deliver(WeightChanged(self.weight, "check web"))
        for router in self.routers.values() if not self.paused else ():
            self.witness.moved(router)

    def _tell_taken(self) -> None:
        for router in self.routers.values() if not self.paused else ():
            if router.taken and router.is_master:
                lost = frozenset(router.taken)
                router.taken.clear()  # from now on it is no excuse
                router.runner.deliver(AddressesTaken(lost))
                self.witness.touched(router)
                self._arm(router)

    def _deliver(self, event: Event) -> None:
        if self.paused:
            return
        for router in self.routers.values():
            router.runner.deliver(event)
            self._arm(router)

    def _read_configuration(self) -> None:
        """Takes what has changed in the configuration in place, or by a restart of that router."""
        for vrid, plan in self.plans.items():
            router = self.routers.get(vrid)
            if router is None or router.plan == plan:
                continue
            old, router_settings = router.plan, plan.settings()
            if old.restarts(plan):
                router.runner.deliver(Shutdown("restarted with a new configuration"))
                fresh = SimulatedRouter(self, plan)
                self.history.append(fresh)
                self.routers[vrid] = fresh
                self.witness.disturbed(self, (router,))
                self._begin(fresh)
                continue
            gone = frozenset(old.addresses) - frozenset(plan.addresses)
            if router.is_master:
                router.installed -= gone
                router.taken -= gone
            router.plan = plan
            router.runner.reconfigure(router_settings, frozenset(plan.addresses) - frozenset(old.addresses))
            self.witness.reloaded(router)
            self._arm(router)

    def _read_inbox(self) -> None:
        waiting, self._inbox = self._inbox, []
        now = self.clock()
        for packet, arrival in waiting:
            self._take_in(packet, now if arrival < now - LONGEST_WAIT else arrival)

    def _arm(self, router: SimulatedRouter) -> None:
        """Sees to it that a timer is in the heap; one that is there already and comes sooner is good enough."""
        wake = self._sooner(self._wanted(router), router.wake)
        if wake is not None:
            router.wake = wake
            self.lan.at_with(wake, self._fire, router)

    def _arm_round(self, advertising: Round) -> None:
        if advertising.deadline is None:
            self._round_wakes.pop(advertising, None)
            return
        wake = self._sooner(advertising.deadline, self._round_wakes.setdefault(advertising, None))
        if wake is not None:
            self._round_wakes[advertising] = wake
            self.lan.at_with(wake, self._fire_round, advertising)

    def _schedule(self, which: Runner | Round) -> None:
        """Hears from the rounds of deadlines that have changed."""
        if isinstance(which, Round):
            self._arm_round(which)
            return
        router = which.dataplane
        assert isinstance(router, SimulatedRouter)
        self._arm(router)

    def _volley(self, advertise: Callable[[], None]) -> Volley:
        """Lays out what ``advertise`` sends."""
        laid_out: list[tuple[SimulatedRouter, bytes, IPAddress]] = []
        self.laid_out = laid_out
        try:
            advertise()
        finally:
            self.laid_out = None
        return Volley(laid_out)

    def _sooner(self, deadline: float | None, armed: float | None) -> float | None:
        """When, in the LAN's time, a timer for a deadline fires; None where none is needed."""
        if deadline is None:
            return None
        lan = self.lan
        wake = deadline if self.rate == 1.0 and not self._uptime else self._real(deadline)
        if armed is not None and armed <= wake:
            return None
        if wake <= lan.now and self.clock() < deadline:
            wake = lan.now + 1e-9  # rounded down: the time has not come yet
        lateness = lan.quality.timer_lateness
        return wake + lan.random.random() * lateness if lateness else wake

    def _real(self, clock: float) -> float:
        """The LAN's time at a time of the node's clock."""
        return (clock - self._uptime) / self.rate

    def _wanted(self, router: SimulatedRouter) -> float | None:
        """When a router is called: a takeover is decided ahead, but not by more than half a step of priority."""
        deadline = router.runner.deadline
        if deadline is not None and self.lead and router.runner.state is StateName.BACKUP:
            return deadline - min(self.lead, router.runner.router.skew_step / 2)
        return deadline

    def _fire(self, router: SimulatedRouter) -> None:
        """The timer of one router; one that was not moved as often as its deadline finds nothing to do."""
        if router.wake is not None and router.wake <= self.lan.now:
            router.wake = None
        if not self.paused and self.routers.get(router.plan.vrid) is router:
            self._expire(router)

    def _fire_round(self, advertising: Round) -> None:
        """The timer of a round, which may be of a process that is no more."""
        wake = self._round_wakes.get(advertising)
        if wake is not None and wake <= self.lan.now:
            self._round_wakes[advertising] = None
        if not self.paused and advertising in self._round_wakes:
            self._expire_round(advertising)

    def _expire_round(self, advertising: Round) -> None:
        now, deadline = self.clock(), advertising.deadline
        if deadline is not None and deadline <= now:
            advertising.expire(now)
        self._arm_round(advertising)

    def _expire(self, router: SimulatedRouter) -> None:
        now, deadline, wanted = self.clock(), router.runner.deadline, self._wanted(router)
        if deadline is not None and wanted is not None and wanted <= now:
            if deadline > now:
                router.held_until = self._real(deadline)
            router.runner.expire(max(now, deadline))
            if deadline <= now:
                self._rounds.join(router.runner)
        self._arm(router)

    def _expire_all(self) -> None:
        # What is already in the sockets came first, as in the daemon.
        self._read_inbox()
        for router in self.routers.values():
            self._expire(router)
        for advertising in list(self._round_wakes):
            self._expire_round(advertising)


def _interval(packet: Packet) -> int:
    """The interval that an admitted advertisement carries, in centiseconds."""
    message = packet.datagram.message
    if message[0] >> 4 == Version.V2:
        return message[5] * 100
    return (message[4] & 0x0F) << 8 | message[5]
