"""Scenarios: who is on the LAN, how bad it is, and what is done to whom and when; as values and as plain text.

The text is one line for each thing, ``#`` begins a comment, times are seconds from the beginning of the episode:

    lan seed=7 delay=0.0001..0.002 lateness=0.001 news=0.002
    node 0
    node 1 rate=0.9 uptime=3600 lead=0.0005 socket=20
    router 51 node=0 priority=150 interval=100 nopreempt preempt_delay=3 version=2 family=4 vips=2 checksum=message_only
    episode
    at 0.5 start 0
    at 4.25 quality loss=0.5 duplication=0.2 reordering=0.1 reordering_delay=0.02
    at 4.5 cut 0 1          what n0 sends does not reach n1 any more
    at 5 partition 0 2      n0 and n2 hear each other, and the others do, but not across
    at 6 pause 1
    at 7 reload 0 51 priority=90 interval=50
    at 8 storm zero 51 count=300 every=0.001
    whole 10 except=1

What can be done, N being a node and V a group:

    start N, stop N, crash N, pause N, resume N     a stop says goodbye, a crash does not; a pause is SIGSTOP
    link-down N, link-up N, check-fails N, check-succeeds N
    weight N W                                      the node's weighted checks add W to its priorities
    lose-address N V K                              somebody else removes the group's address number K
    reload N V OPTION=..., reload-all V OPTION=...  as in ``router``, on one node or on all
    storm KIND V count=10 every=0.01                of a stranger's packets; KIND is one of ``STORMS``
    cut N N, partition N..., join                   the second no longer hears the first; those named hear each other
                                                    only; everybody hears everybody again
    quality NAME=...                                a field of ``Quality``: loss, duplication, reordering, ...

``whole`` ends an episode: the network is mended, everybody is started, resumed and healthy again, except those who are
then taken off for good (until another episode starts them). What follows until all is quiet is not written down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from tests.simulation.lan import Quality
from tests.simulation.plan import RouterPlan
from vrrpd.protocol.packet import ChecksumForm
from vrrpd.protocol.timing import Version


class ScenarioError(Exception):
    """A text that is no scenario; ``str()`` names the line."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that is done: when in its episode, what, to which nodes or group, and how."""

    when: float
    verb: str
    numbers: tuple[int, ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return " ".join([f"at {self.when:.12g}", self.verb, *map(str, self.numbers), *map(_option, self.options)])


@dataclass(frozen=True, slots=True)
class Episode:
    """Faults, and the moment when everything is mended."""

    operations: tuple[Operation, ...]
    whole: float
    lost: tuple[int, ...] = ()
    """Nodes that are off when everything else is mended."""

    def __str__(self) -> str:
        gone = f" except={','.join(map(str, self.lost))}" if self.lost else ""
        return "\n".join(["episode", *map(str, self.operations), f"whole {self.whole:.12g}{gone}"])


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One machine."""

    index: int
    rate: float = 1.0
    uptime: float = 0.0
    lead: float = 0.0
    socket: int = 1000
    routers: tuple[RouterPlan, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run from beginning to end."""

    seed: int
    quality: Quality
    nodes: tuple[NodePlan, ...]
    episodes: tuple[Episode, ...]

    def __str__(self) -> str:
        quality = self.quality
        lines = [
            f"lan seed={self.seed} delay={quality.minimum_delay:.12g}..{quality.maximum_delay:.12g}"
            f" lateness={quality.timer_lateness:.12g} news={quality.news_delay:.12g}"
        ]
        for node in self.nodes:
            rate = "" if node.rate == 1.0 else f" rate={node.rate:.12g}"
            uptime = "" if node.uptime == 0.0 else f" uptime={node.uptime:.12g}"
            lead = "" if node.lead == 0.0 else f" lead={node.lead:.12g}"
            socket = "" if node.socket == 1000 else f" socket={node.socket}"
            lines.append(f"node {node.index}{rate}{uptime}{lead}{socket}")
        lines += [f"router {plan.vrid} node={node.index}{_plan(plan)}" for node in self.nodes for plan in node.routers]
        return "\n".join([*lines, *map(str, self.episodes)]) + "\n"


VERBS: Final[dict[str, int]] = {
    "start": 1, "stop": 1, "crash": 1, "pause": 1, "resume": 1, "link-down": 1, "link-up": 1, "check-fails": 1,
    "check-succeeds": 1, "weight": 2, "lose-address": 3, "reload": 2, "reload-all": 1, "storm": 1, "cut": 2,
    "partition": -1, "join": 0, "quality": 0,
}  # fmt: skip
"""What can be done, and how many numbers it takes; -1 for one or more."""
STORMS: Final = ("zero", "lower", "higher", "flip", "junk", "checksum", "hop-limit", "version", "own", "interval")


def changed(plan: RouterPlan, options: tuple[tuple[str, str], ...]) -> RouterPlan:
    """A router's configuration with some options changed."""
    for name, value in options:
        plan = replace(plan, **{_FIELDS.get(name, name): _convert(name, value)})
    return plan


def quality_of(quality: Quality, options: tuple[tuple[str, str], ...]) -> Quality:
    """A network's quality with some options changed."""
    for name, value in options:
        quality = replace(quality, **{name: float(value)})
    return quality


def parse(text: str) -> Scenario:
    """Reads a scenario; raises ``ScenarioError``."""
    reader = _Reader()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            reader.take(words)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ScenarioError(f"line {number}: {line.strip()!r}: {error}") from error
    return reader.scenario()


class _Reader:
    """A scenario so far."""

    def __init__(self) -> None:
        self.seed = 1
        self.quality = Quality()
        self.nodes: dict[int, NodePlan] = {}
        self.episodes: list[Episode] = []
        self.operations: list[Operation] | None = None

    def take(self, words: list[str]) -> None:
        """Takes one line."""
        match words:
            case ["lan", *rest]:
                self._lan(rest)
            case ["node", index, *rest]:
                self.nodes[int(index)] = self._node(int(index), dict(_options(rest)))
            case ["router", vrid, *rest]:
                self._router(int(vrid), rest)
            case ["episode"]:
                if self.operations is not None:
                    raise ValueError("the episode before has no whole")
                self.operations = []
            case ["at", when, verb, *rest]:
                self._within().append(_operation(float(when), verb, rest))
            case ["whole", when, *rest]:
                ((_, lost),) = _options(rest) or (("except", ""),)
                gone = tuple(int(index) for index in lost.split(",") if index)
                if any(operation.when > float(when) for operation in self._within()):
                    raise ValueError("the episode goes on after that")
                self.episodes.append(Episode(tuple(self._within()), float(when), gone))
                self.operations = None
            case _:
                raise ValueError("expected lan, node, router, episode, at or whole")

    def scenario(self) -> Scenario:
        """All that was read."""
        if self.operations is not None:
            raise ScenarioError("the last episode has no whole")
        if not self.nodes or not self.episodes:
            raise ScenarioError("expected at least one node and one episode")
        return Scenario(self.seed, self.quality, tuple(self.nodes.values()), tuple(self.episodes))

    def _within(self) -> list[Operation]:
        if self.operations is None:
            raise ValueError("expected an episode first")
        return self.operations

    def _lan(self, words: list[str]) -> None:
        for name, value in _options(words):
            match name:
                case "seed":
                    self.seed = int(value)
                case "delay":
                    low, _, high = value.partition("..")
                    self.quality = replace(self.quality, minimum_delay=float(low), maximum_delay=float(high or low))
                case "lateness":
                    self.quality = replace(self.quality, timer_lateness=float(value))
                case "news":
                    self.quality = replace(self.quality, news_delay=float(value))
                case _:
                    raise ValueError(f"{name}, expected seed, delay, lateness or news")

    @staticmethod
    def _node(index: int, options: dict[str, str]) -> NodePlan:
        if unknown := set(options) - {"rate", "uptime", "lead", "socket"}:
            raise ValueError(f"{', '.join(sorted(unknown))}, expected rate, uptime, lead or socket")
        floats = {name: float(value) for name, value in options.items() if name != "socket"}
        return replace(NodePlan(index, **floats), socket=int(options.get("socket", "1000")))  # type: ignore[arg-type]

    def _router(self, vrid: int, words: list[str]) -> None:
        options = tuple(_options([{"nopreempt": "preempt=0", "moments": "moments=1"}.get(w, w) for w in words]))
        index = int(dict(options)["node"])
        rest = tuple(option for option in options if option[0] != "node")
        plan = changed(RouterPlan(vrid, 100), rest)
        node = self.nodes[index]
        self.nodes[index] = replace(node, routers=(*node.routers, plan))


_FIELDS: Final = {"checksum": "checksum_form"}
_CONVERTERS: Final[dict[str, Callable[[str], Any]]] = {
    "priority": int,
    "interval": int,
    "vips": int,
    "family": int,
    "preempt": lambda value: bool(int(value)),
    "moments": lambda value: bool(int(value)),
    "preempt_delay": float,
    "version": lambda value: Version(int(value)),
    "checksum": ChecksumForm,
}


def _convert(name: str, value: str) -> Any:
    return _CONVERTERS[name](value)


def _operation(when: float, verb: str, rest: list[str]) -> Operation:
    if verb == "storm" and rest and rest[0] in STORMS:
        verb, rest = f"storm {rest[0]}", rest[1:]
    numbers = tuple(int(word) for word in rest if "=" not in word)
    wanted = VERBS[verb.split()[0]]
    if len(numbers) != wanted and (wanted >= 0 or not numbers):
        raise ValueError(f"{verb} has {len(numbers)} numbers, expected {wanted if wanted >= 0 else '1 or more'}")
    return Operation(when, verb, numbers, tuple(_options([word for word in rest if "=" in word])))


def _options(words: list[str]) -> list[tuple[str, str]]:
    options = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{word}, expected NAME=VALUE")
        options.append((name, value))
    return options


def _option(option: tuple[str, str]) -> str:
    return "=".join(option)


def _plan(plan: RouterPlan) -> str:
    """What differs from a plain router."""
    plain, words = RouterPlan(plan.vrid, 100), [f" priority={plan.priority}"]
    for item in fields(plan):
        value = getattr(plan, item.name)
        if item.name in ("vrid", "priority") or value == getattr(plain, item.name):
            continue
        match item.name:
            case "preempt":
                words.append(" nopreempt")
            case "moments":
                words.append(" moments")
            case "checksum_form":
                words.append(f" checksum={value.value}")
            case name:
                words.append(f" {name}={value:.12g}")
    return "".join(words)
