"""The link: no power, no carrier, frames lost in one direction or at random, the interface gone."""

from __future__ import annotations

from collections.abc import Callable

from tests.faults.registry import Role, row
from tests.faults.stage import ADDRESSES, Node, Stage, mac_of

LOSSY_TIME = 3.0
"""Seconds for which a third of the frames is lost: some fifteen advertisements."""


def out_of_service(stage: Stage) -> None:
    """Hold the victim to FAULT, without the VIP, for as long as its link is gone."""
    victim = stage.victim
    if stage.role is Role.MASTER:
        stage.expect_master(stage.r2, "without the MASTER's link")
    stage.expect(lambda: victim.states() == ["FAULT"], f"{victim.name} is in FAULT")
    stage.hold(stage.down_interval, stage.r2 if stage.role is Role.MASTER else stage.r1)


def back_in_service(stage: Stage) -> None:
    """Hold both to what follows when the link is whole again."""
    stage.expect_master(stage.r1, "when the link is back")
    if stage.role is Role.MASTER:
        stage.expect_states(stage.r1, "FAULT", "BACKUP", "MASTER")
        stage.expect_states(stage.r2, "MASTER", "BACKUP")
    else:
        stage.expect(lambda: stage.r2.states()[1:], "r2 leaves FAULT")
        stage.hold(stage.down_interval)
        stage.expect_states(stage.r1)
        stage.expect_states(stage.r2, "FAULT", "BACKUP")


def out_and_back(stage: Stage, take_away: Callable[[], None], give_back: Callable[[], None]) -> None:
    """Take from the victim what it cannot serve without, and give it back."""
    take_away()
    out_of_service(stage)
    give_back()
    back_in_service(stage)


FAULT_MASTER = "FAULT at once, the VIP is withdrawn, the BACKUP takes over once; back as MASTER after an election."
FAULT_BACKUP = "FAULT, and BACKUP again when it is over; it takes over nothing and the MASTER does not notice."


@row(
    "power-off",
    "Link powered off",
    done="`ip link set eth0 down`, later up again.",
    master=FAULT_MASTER,
    backup=FAULT_BACKUP,
)
def power_off(stage: Stage) -> None:
    host = stage.victim.host
    out_and_back(stage, lambda: host.set_link("eth0", up=False), lambda: host.set_link("eth0", up=True))


@row(
    "carrier",
    "Carrier lost",
    done="The other end of the cable goes down, later up again.",
    master=FAULT_MASTER,
    backup=FAULT_BACKUP,
)
def carrier(stage: Stage) -> None:
    host = stage.victim.host
    out_and_back(stage, lambda: stage.lan.unplug(host), lambda: stage.lan.plug(host))


def drop(node: Node, *rules: str) -> None:
    """Lose frames of a host by its own nftables, ARP and all."""
    chains = [f"chain {rule.split()[0]} {{\n{body(rule)}\n}}" for rule in rules]
    text = "\n".join(["table netdev faults {", *chains, "}", ""])
    file = node.directory / "faults.nft"
    file.write_text(text, encoding="ascii")
    node.host.run(["nft", "-f", str(file)])


def body(rule: str) -> str:
    """One chain: ``ingress drop`` or ``egress numgen random mod 100 < 30 drop``."""
    direction, _, action = rule.partition(" ")
    return f'type filter hook {direction} device "eth0" priority 0; policy accept;\n{action}'


def let_pass(node: Node) -> None:
    """Undo ``drop``."""
    node.host.run(["nft", "delete", "table", "netdev", "faults"])


def one_way(stage: Stage, direction: str, split: Role, two_masters: Callable[[], None], again: str) -> None:
    """Lose all frames of one direction, ``ingress`` or ``egress``, for two master-down intervals.

    A victim with the role ``split`` makes two masters of it, for which ``two_masters`` waits; with the other role
    nobody notices.
    """
    drop(stage.victim, f"{direction} drop")
    if stage.role is split:
        two_masters()
    else:
        stage.hold(2 * stage.down_interval)
    let_pass(stage.victim)
    stage.expect_master(stage.r1, again)
    stage.expect_states(stage.r1)
    stage.expect_states(stage.r2, *(["MASTER", "BACKUP"] if stage.role is split else []))


@row(
    "mute",
    "One-way loss: nothing that it sends arrives",
    done="Everything that leaves its interface is dropped (nft, netdev egress), for two master-down intervals.",
    master="The BACKUP takes over and the client reaches it. The old MASTER cannot know: it stays MASTER, and is alone "
    "again as soon as it is heard.",
    backup="Nobody notices.",
)
def mute(stage: Stage) -> None:
    def two_masters() -> None:
        stage.expect_master(stage.r2, "while the MASTER is not heard", besides=[stage.r1])
        stage.hold(stage.down_interval, stage.r2, besides=[stage.r1])

    one_way(stage, "egress", Role.MASTER, two_masters, "when it is heard again")


@row(
    "deaf",
    "One-way loss: nothing that is sent to it arrives",
    done="Everything that comes in by its interface is dropped (nft, netdev ingress), for two master-down intervals.",
    master="VRRP cannot see this: it goes on to advertise, so it stays the MASTER, and the client waits for as long as "
    "it lasts.",
    backup="It hears no MASTER and becomes one; it gives way as soon as it hears again. Meanwhile both have the VIP, "
    "and no protocol can help: the clients go where they were told to last, and the MASTER, which hears the other one, "
    "tells them anew each time.",
)
def deaf(stage: Stage) -> None:
    def two_masters() -> None:
        stage.expect(lambda: stage.r2.states() == ["MASTER"], "the deaf BACKUP becomes MASTER")
        stage.hold(stage.down_interval, besides=[stage.r2])

    one_way(stage, "ingress", Role.BACKUP, two_masters, "when it hears again")


@row(
    "loss",
    "30 % random loss",
    done="Three of ten frames are dropped in each direction (nft, `numgen random`), for three seconds.",
    master="It stays MASTER. The BACKUP may miss three advertisements in a row and take over, at most once for each "
    "master-down interval, and gives way to the next advertisement that gets through.",
    backup="The same.",
)
def loss(stage: Stage) -> None:
    some = "numgen random mod 100 < 30 drop"
    drop(stage.victim, f"ingress {some}", f"egress {some}")
    stage.hold(LOSSY_TIME, besides=[stage.r2])
    let_pass(stage.victim)
    stage.expect_master(stage.r1, "when nothing is lost any more")
    stage.expect_states(stage.r1)
    taken = stage.r2.states().count("MASTER")
    most = int(LOSSY_TIME / stage.down_interval) + 1
    stage.must(taken <= most, f"r2 has taken over at most {most} times (seen: {taken})")
    stage.must(stage.r2.states() == ["MASTER", "BACKUP"] * taken, "each time r2 has taken over it has given way again")


@row(
    "interface",
    "Interface deleted and made again",
    done="`ip link del eth0`; later a new interface of that name, with another index.",
    master=FAULT_MASTER,
    backup=FAULT_BACKUP,
)
def interface(stage: Stage) -> None:
    victim = stage.victim
    mac = mac_of(1 if victim is stage.r1 else 2)
    out_and_back(
        stage,
        lambda: victim.host.delete_link("eth0"),
        lambda: victim.host.connect(stage.lan, "eth0", f"{ADDRESSES[victim.name]}/24", mac=mac),
    )
