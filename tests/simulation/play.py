"""A scenario in motion: everything is done that it says, and everything is held to the invariants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tests.simulation.invariants import Referee, routers_of
from tests.simulation.lan import Lan, packet_of
from tests.simulation.node import Node
from tests.simulation.plan import GROUP, RouterPlan, address_of
from tests.simulation.scenario import Episode, Operation, Scenario, changed, quality_of
from vrrpd.protocol.datagram import Datagram
from vrrpd.protocol.packet import Advertisement, encode
from vrrpd.protocol.timing import Version

STRANGER = 200
"""The address of whoever makes storms, as if it were a node's."""
QUIET_INTERVALS = 2
"""For how many intervals of its slowest group a settled LAN is watched."""

HARMLESS = ("pause", "resume", "lose-address")
"""What is no reason for anybody else to take over from a MASTER that goes on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    episodes: int
    simulated: float
    """Seconds of the virtual clock."""
    events: int
    transcript: tuple[str, ...]
    verbs: frozenset[str]
    """What has been done at least once."""


class Play:
    """One run of one scenario."""

    def __init__(self, scenario: Scenario, *, keep_trace: bool = True) -> None:
        self.scenario = scenario
        self.lan = Lan(scenario.seed, scenario.quality, keep_trace=keep_trace)
        self.referee = Referee(self.lan)
        self.nodes = {
            node.index: Node(
                self.lan,
                node.index,
                node.routers,
                rate=node.rate,
                uptime=node.uptime,
                lead=node.lead,
                socket=node.socket,
                witness=self.referee,
            )
            for node in scenario.nodes
        }
        self.plans = {plan.vrid: plan for node in scenario.nodes for plan in node.routers}
        self.intervals: dict[int, set[int]] = {}
        """Those that somebody can have learned in this episode, by group."""
        self.until = 0.0
        """When the episode's faults end."""
        self.episodes = 0
        self.verbs: set[str] = set()

    def run(self) -> Outcome:
        """Plays all episodes; raises ``Violation``."""
        for episode in self.scenario.episodes:
            self._episode(episode)
        return Outcome(self.episodes, self.lan.now, self.lan.events, tuple(self.lan.trace), frozenset(self.verbs))

    def _episode(self, episode: Episode) -> None:
        lan, begin = self.lan, self.lan.now
        lan.log(f"-- episode {self.episodes + 1}")
        self.referee.disturb()
        self.intervals = {vrid: set() for vrid in self.plans}
        for node in self.nodes.values():
            for plan in node.plans.values():
                self.intervals[plan.vrid].add(plan.interval)
        for operation in sorted(episode.operations, key=lambda operation: operation.when):
            lan.at(begin + operation.when, partial(self._operate, operation))
        self.until = begin + episode.whole
        lan.run_until(self.until)
        lan.log("-- whole")
        self._mend(episode.lost)
        self.referee.step()
        self._settle()
        self.episodes += 1

    def _settle(self) -> None:
        """Waits until every group must have settled, and then some more."""
        lan = self.lan
        due = []
        for vrid in self.plans:
            routers = routers_of(self.nodes.values(), vrid)
            if routers and self.referee.one.promised(lan, routers):
                when = self.referee.one.time_to_settle(lan, routers, self.intervals[vrid])
                due.append((when, vrid))
        for when, vrid in sorted(due):
            lan.run_until(max(when, lan.now))
            self.referee.settle(self.nodes.values(), vrid)
        intervals = [router.plan.interval for node in self.nodes.values() for router in node.routers.values()]
        lan.run_until(lan.now + QUIET_INTERVALS * max(intervals, default=0) / 100)
        self.referee.step()

    def _mend(self, lost: tuple[int, ...]) -> None:
        """Makes everything whole; the nodes that are lost go now."""
        self.referee.stir()
        self.lan.heal()
        for index, node in self.nodes.items():
            if index in lost:
                if node.running:
                    node.crash()
                continue
            if not node.link:
                node.set_link(True)
            if not node.check:
                node.set_check(True)
            node.start()
            node.resume()
            node.tell_all()

    # -- what is done -----------------------------------------------------------------------------------------------

    def _operate(self, operation: Operation) -> None:
        verb, numbers = operation.verb, operation.numbers
        if verb not in HARMLESS:
            self.referee.stir()
        node = self.nodes.get(numbers[0]) if numbers else None
        match verb.split():
            case ["cut"]:
                self.lan.cut(f"n{numbers[0]}", f"n{numbers[1]}")
            case ["partition"]:
                self.lan.partition({f"n{number}": 1 for number in numbers})
            case ["join"]:
                self.lan.join()
            case ["quality"]:
                self.lan.set_quality(quality_of(self.lan.quality, operation.options))
            case ["storm", kind]:
                self._storm(kind, numbers[0], dict(operation.options))
            case ["reload-all"]:
                for each in self.nodes.values():
                    self._reload(each, numbers[0], operation)
            case [name] if node is not None:
                self._operate_on(node, name, operation)
            case _:
                pass  # a node that a shorter scenario does not have any more
        self.verbs.add(verb)

    def _operate_on(self, node: Node, verb: str, operation: Operation) -> None:
        numbers = operation.numbers
        match verb:
            case "start":
                node.start()
            case "stop":
                node.stop()
            case "crash":
                node.crash()
            case "pause":
                node.pause()
            case "resume":
                node.resume()
            case "link-down" | "link-up":
                node.set_link(verb == "link-up")
            case "check-fails" | "check-succeeds":
                node.set_check(verb == "check-succeeds")
            case "weight":
                node.set_weight(numbers[1])
            case "lose-address":
                node.take_address(numbers[1], numbers[2])
            case "reload":
                self._reload(node, numbers[1], operation)

    def _reload(self, node: Node, vrid: int, operation: Operation) -> None:
        plan = node.plans.get(vrid)
        if plan is not None:
            plan = changed(plan, operation.options)
            self.intervals[vrid].add(plan.interval)
            node.configure(plan)

    def _storm(self, kind: str, vrid: int, options: dict[str, str]) -> None:
        plan = self.plans.get(vrid)
        if plan is None:
            return
        count, every = int(options.get("count", "10")), float(options.get("every", "0.01"))
        for number in range(count):
            when = self.lan.now + number * every
            if when < self.until:
                self.lan.at_with(when, self._strike, (kind, plan, number))

    def _strike(self, what: tuple[str, RouterPlan, int]) -> None:
        """One packet of a storm, from somebody who is no router of ours."""
        kind, plan, number = what
        chance, group = self.lan.random, GROUP[plan.family]
        source = address_of(STRANGER, plan.family)
        priority, hop_limit, interval, version = 1, 255, plan.interval, plan.version
        match kind:
            case "zero":
                priority = 0
            case "higher":
                priority = 254
            case "flip":
                priority = 255 if number % 2 == 0 else 0
            case "hop-limit":
                priority, hop_limit = chance.choice([0, 255]), 254
            case "version":
                priority = chance.choice([0, 255])
                version = Version.V3 if version is Version.V2 else Version.V2
                interval = 100
            case "own":
                source = address_of(chance.choice(list(self.nodes)), plan.family)
            case "interval":
                interval = interval if version is Version.V2 else interval * 2
                priority = 254
                self.intervals[plan.vrid].add(interval)
        if kind == "junk" or (version is Version.V2 and plan.family == 6):
            message = bytes([version << 4 | 1, plan.vrid]) + chance.randbytes(chance.randrange(40))
        else:
            advertised = Advertisement(version, plan.vrid, priority, interval, plan.addresses)
            message = encode(advertised, source, group, checksum_form=plan.checksum_form)
        if kind == "checksum":
            message = message[:-1] + bytes((message[-1] ^ 1,))
        self.lan.send(None, packet_of(Datagram(source, group, hop_limit, message)))
        self.referee.stir()


def play(scenario: Scenario, *, keep_trace: bool = True) -> Outcome:
    """Plays a scenario to its end; raises ``Violation`` where an invariant does not hold."""
    return Play(scenario, keep_trace=keep_trace).run()
