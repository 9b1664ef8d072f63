"""Two hosts that cannot both be right: each conflict provoked for real, seen in status and once in the log, and over.

One story: a host whose routers have every quarrel there is with those of another host, until the other one goes away.
The tests look at what was seen at its height and afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.netns.daemons import Daemon, Daemons, gaps, holds_for, instance
from tests.netns.forging import Repeater, arp, forged
from vrrpd.conflicts import ConflictKind
from vrrpd.lab import Bridge, Host, Lab, wait_until
from vrrpd.lookout import ASKING_INTERVAL, LEAST_SILENCE
from vrrpd.status import text_table

pytestmark = pytest.mark.netns

PASSWORD = ["authentication {", "auth_type PASS", "auth_pass secret", "}"]
OTHER_PASSWORD = ["authentication {", "auth_type PASS", "auth_pass other", "}"]


@dataclass(frozen=True)
class Quarrel:
    """One router on each of the hosts, and what ours has to say about it."""

    name: str
    vrid: int
    ours: str
    theirs: str
    expected: frozenset[str]
    """The conflicts of our router while it goes on."""
    words: str
    """What the log says of the first of them."""


def quarrel(
    name: str,
    vrid: int,
    *expected: ConflictKind,
    words: str,
    ours: list[str] | None = None,
    theirs: list[str] | None = None,
    priorities: tuple[int, int] = (100, 200),
    versions: tuple[int, int] = (3, 3),
    intervals: tuple[float, float] = (0.2, 0.2),
    vips: tuple[list[str], list[str]] | None = None,
) -> Quarrel:
    alike = [f"192.0.2.{100 + vrid}"]
    written = [
        instance(
            *(more or []),
            name=name,
            vrid=vrid,
            priority=priorities[side],
            interval=intervals[side],
            addresses=alike if vips is None else vips[side],
        ).replace("version 3", f"version {versions[side]}")
        for side, more in enumerate((ours, theirs))
    ]
    return Quarrel(name, vrid, written[0], written[1], frozenset(kind.value for kind in expected), words)


BOTH = ConflictKind.ADDRESS_IN_USE
QUARRELS = [
    quarrel(
        "version",
        1,
        ConflictKind.OTHER_VERSION,
        BOTH,
        versions=(3, 2),
        intervals=(0.2, 1),
        words="discarded advertisement from 192.0.2.2 on eth0: version is 2, expected 3; both will be MASTER: set",
    ),
    quarrel(
        "password",
        2,
        ConflictKind.OTHER_AUTHENTICATION,
        BOTH,
        versions=(2, 2),
        intervals=(1, 1),
        ours=PASSWORD,
        theirs=OTHER_PASSWORD,
        words="authentication data (auth_pass) differs from ours; both will be MASTER: set",
    ),
    quarrel(
        "interval",
        3,
        ConflictKind.OTHER_INTERVAL,
        BOTH,
        versions=(2, 2),
        intervals=(2, 1),
        words="interval is 1 s, expected 2 s (version 2 does not learn it); both will be MASTER: set the same advert",
    ),
    quarrel(
        "mode",
        4,
        ConflictKind.OTHER_MODE,
        BOTH,
        theirs=["unicast_peer {", "192.0.2.1", "}"],
        words="sent to 192.0.2.1, expected 224.0.0.18; both will be MASTER: use multicast",
    ),
    quarrel(
        "peer",
        5,
        ConflictKind.UNKNOWN_PEER,
        BOTH,
        ours=["unicast_peer {", "192.0.2.9", "}"],
        theirs=["unicast_peer {", "192.0.2.1", "}"],
        words="source address 192.0.2.2 is not a unicast_peer; if it belongs to the group",
    ),
    quarrel(
        "unlisted",
        6,
        ConflictKind.UNLISTED_SOURCE,
        BOTH,
        ours=["accept_sources {", "192.0.2.8/29", "}"],
        words="source address 192.0.2.2 is not in accept_sources; if it belongs to the group",
    ),
    quarrel(
        "collision",
        7,
        ConflictKind.ID_COLLISION,
        vips=(["192.0.2.107"], ["192.0.2.207"]),
        words="192.0.2.2 advertises 192.0.2.207, none of which is ours (192.0.2.107); virtual_router_id collision?",
    ),
    quarrel(
        "addresses",
        8,
        ConflictKind.OTHER_ADDRESSES,
        vips=(["192.0.2.108", "192.0.2.208"], ["192.0.2.108"]),
        words="the address list of 192.0.2.2 lacks 192.0.2.208; list the same",
    ),
    quarrel(
        "checksum",
        9,
        ConflictKind.CHECKSUM_FORM,
        theirs=["v3_checksum_as_v2"],
        words="192.0.2.2 sends checksums of the form message_only, we send pseudo_header",
    ),
    quarrel(
        "equal",
        10,
        ConflictKind.EQUAL_PRIORITY,
        priorities=(100, 100),
        words="192.0.2.2 has our priority, 100: where both are masters the higher address stays",
    ),
    quarrel(
        "owner", 11, ConflictKind.SECOND_OWNER, priorities=(255, 255), words="only one router can have priority 255"
    ),
    quarrel(
        "deaf",
        12,
        ConflictKind.SECOND_MASTER,
        BOTH,
        priorities=(200, 100),
        words="192.0.2.2 also advertises, with priority 100; ours is 200; two hosts hold the addresses",
    ),
    quarrel(
        "source",
        13,
        ConflictKind.SAME_SOURCE,
        vips=(["fe80::5:13"], ["fe80::5:13"]),
        words="is ours: another router uses the same address, or our packets are looped back; give each router an",
    ),
]
STRANGER4 = instance(name="stranger4", vrid=21, interval=0.2, addresses=["192.0.2.121"])
STRANGER6 = instance(name="stranger6", vrid=22, interval=0.2, addresses=["fe80::5:22", "2001:db8::122"])
PEACE = instance(name="peace", vrid=23, interval=0.2, priority=100, addresses=["192.0.2.123"])
DEAF = "ip protocol 112 @th,8,8 12 drop"


@dataclass(frozen=True)
class Evidence:
    """What was seen."""

    height: dict[str, dict[str, Any]]
    """Our routers' status while everything goes on."""
    document: dict[str, Any]
    afterwards: dict[str, dict[str, Any]]
    log: str
    stranger: str
    """Hardware address of the other host."""
    own: str
    """The link-local address that ours advertises from."""


@pytest.fixture(scope="module")
def evidence(privileges: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    with Lab() as lab:
        yield gather(lab, tmp_path_factory.mktemp("conflicts"))


def gather(lab: Lab, directory: Path) -> Evidence:
    lan = lab.bridge("lan")
    ours, theirs = lab.host("ours"), lab.host("theirs")
    ours.connect(lan, "eth0", "192.0.2.1/24", "2001:db8::1/64")
    theirs.connect(lan, "eth0", "192.0.2.2/24", "2001:db8::2/64")
    daemons = Daemons(directory)
    theirs.run(["nft", "add table ip deaf; add chain ip deaf in { type filter hook input priority 0; }"])
    theirs.run(["nft", f"add rule ip deaf in {DEAF}"])
    theirs.add_address("eth0", "192.0.2.121/32")
    theirs.add_address("eth0", "2001:db8::122/128")
    configuration = [one.theirs for one in QUARRELS if one.name != "source"]
    other = daemons.start(theirs, "\n".join([*configuration, PEACE.replace("priority 100", "priority 200")]))
    for one in QUARRELS:
        if one.name != "source":
            other.wait_for_state("MASTER", one.name)
    other.wait_for_state("MASTER", "peace")
    daemon = daemons.start(ours, "\n".join([*(one.ours for one in QUARRELS), STRANGER4, STRANGER6, PEACE]))
    wanted = {one.name: one.expected for one in QUARRELS}
    wanted |= {"stranger4": frozenset({"address_in_use"}), "stranger6": frozenset({"address_in_use"})}
    wanted |= {"peace": frozenset()}
    own = str(ours.link_local())
    with Repeater(theirs, [forged(own, vrid=13, addresses=["fe80::5:13"])], 0.2):
        wait_for(daemon, wanted)
        document = daemon.status()
    assert other.process.stop() == 0
    theirs.remove_address("eth0", "192.0.2.121/32")
    theirs.remove_address("eth0", "2001:db8::122/128")
    wait_for(daemon, {name: frozenset() for name in wanted})
    afterwards = daemon.status()
    assert daemon.process.stop() == 0
    daemons.check()
    return Evidence(by_name(document), document, by_name(afterwards), daemon.log, theirs.mac(), own)


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {router["name"]: router for router in document["routers"]}


def kinds(router: dict[str, Any]) -> frozenset[str]:
    return frozenset(conflict["kind"] for conflict in router["conflicts"])


def wait_for(daemon: Daemon, wanted: dict[str, frozenset[str]]) -> None:
    """Waits until every router has these conflicts."""
    seen: dict[str, frozenset[str]] = {}

    def look() -> bool:
        seen.update({name: kinds(router) for name, router in by_name(daemon.status()).items()})
        time.sleep(0.1)
        return seen == wanted

    try:
        wait_until(look, 25.0, "the conflicts")
    except TimeoutError:
        wrong = {name: (set(seen[name]), set(expected)) for name, expected in wanted.items() if seen[name] != expected}
        raise AssertionError(f"seen and expected: {wrong}\n{daemon.log}") from None


@pytest.mark.parametrize("one", QUARRELS, ids=lambda one: one.name)
def test_each_quarrel_is_in_the_status_with_what_to_do(one: Quarrel, evidence: Evidence) -> None:
    router = evidence.height[one.name]
    assert kinds(router) == one.expected
    assert set(router["conflicts_begun"]) == one.expected
    for conflict in router["conflicts"]:
        assert conflict["remedy"]
        assert conflict["count"] >= 1
        assert conflict["last_seen"] < 5.0
        assert conflict["harmless"] is (conflict["kind"] == "equal_priority")
        about_an_address = conflict["kind"] == "address_in_use"
        assert conflict["with"] == (evidence.stranger if about_an_address else conflict["with"])
        assert conflict["address"] == (f"192.0.2.{100 + one.vrid}" if about_an_address else None)
        if not about_an_address:
            assert conflict["with"] == (evidence.own if one.name == "source" else "192.0.2.2")


@pytest.mark.parametrize("one", QUARRELS, ids=lambda one: one.name)
def test_each_quarrel_is_logged_once_when_it_begins_and_once_when_it_is_over(one: Quarrel, evidence: Evidence) -> None:
    lines = [line for line in evidence.log.splitlines() if f"({one.name}) " in line]
    begins = [line for line in lines if one.words in line]
    assert len(begins) == 1, lines
    assert (" INFO " in begins[0]) is (one.name == "equal")
    over = [line for line in lines if "conflict over: " in line]
    assert sorted(line.split("conflict over: ")[1].split()[0] for line in over) == sorted(one.expected), lines
    assert evidence.afterwards[one.name]["conflicts"] == []
    assert set(evidence.afterwards[one.name]["conflicts_begun"].values()) == {1}


@pytest.mark.parametrize("name", ["stranger4", "stranger6"])
def test_a_host_that_answers_for_our_address_is_found_by_its_hardware_address(name: str, evidence: Evidence) -> None:
    address = "192.0.2.121" if name == "stranger4" else "2001:db8::122"
    (conflict,) = evidence.height[name]["conflicts"]
    assert (conflict["with"], conflict["address"]) == (evidence.stranger, address)
    text = f"another host, {evidence.stranger} on eth0, says that {address} is its own while we are MASTER"
    assert conflict["detail"] == text
    assert evidence.log.count(text) == 1
    assert f"conflict over: address_in_use with {evidence.stranger} about {address}" in evidence.log


def test_a_pair_that_is_as_it_should_be_has_no_conflict_through_a_takeover(evidence: Evidence) -> None:
    assert evidence.height["peace"]["conflicts_begun"] == {}
    assert evidence.afterwards["peace"]["state"] == "MASTER"
    assert evidence.afterwards["peace"]["conflicts_begun"] == {}
    assert "(peace) conflict" not in evidence.log


def test_the_table_for_people_names_every_conflict(evidence: Evidence) -> None:
    table = text_table(evidence.document)
    assert table.count(" CONFLICT for ") == sum(
        len(router["conflicts"]) for router in evidence.height.values() if router["name"] != "equal"
    )
    assert "(equal) note for " in table
    assert "; both will be MASTER: set the same vrrp_version" in table


def watching_master(daemons: Daemons, host: Host, configuration: str = instance()) -> Daemon:
    """Starts a daemon, which becomes MASTER and listens for other holders of its addresses."""
    daemon = daemons.start(host, configuration)
    daemon.wait_for_state("MASTER")
    wait_until(lambda: daemon.status()["watches"], what="a watch")
    return daemon


def the_conflict(daemon: Daemon) -> dict[str, Any]:
    """Waits for a conflict of its router and returns it; there is no other."""
    (conflict,) = daemon.wait_for(lambda router: bool(router["conflicts"]), "the conflict")["conflicts"]
    assert isinstance(conflict, dict)
    return conflict


def test_only_a_master_listens_for_other_holders(r1: Host, r2: Host, daemons: Daemons) -> None:
    backup = watching_master(daemons, r1, instance(priority=100))
    (watch,) = backup.status()["watches"]
    assert watch == {
        "interface": "eth0", "family": "ipv4", "addresses": 2, "sightings": 0, "floods": 0, "muted": False,
    }  # fmt: skip
    master = daemons.start(r2, instance(priority=200))
    master.wait_for_state("MASTER")
    backup.wait_for_state("BACKUP")
    wait_until(lambda: not backup.status()["watches"], what="the end of the watch")
    wait_until(lambda: master.status()["watches"], what="a watch")
    assert backup.router()["conflicts_begun"] == {}
    assert master.router()["conflicts_begun"] == {}


def test_another_interface_of_this_host_that_answers_is_no_other_host(lan: Bridge, r1: Host, daemons: Daemons) -> None:
    r1.connect(lan, "eth1", "192.0.2.3/24")
    capture = lan.capture()
    daemon = daemons.start(r1, instance())
    daemon.wait_for_state("MASTER")
    eth1 = r1.mac("eth1")

    def answers() -> bool:
        return any(frame.source_mac == eth1 and frame.ethertype == 0x0806 for frame in capture.frames)

    wait_until(answers, what="an answer of eth1 for the address on eth0")
    assert holds_for(lambda: daemon.router()["conflicts"] == [], 2.5)
    assert daemon.router()["conflicts_begun"] == {}


def test_one_claim_that_nobody_stands_by_is_no_conflict(r1: Host, r2: Host, daemons: Daemons) -> None:
    daemon = watching_master(daemons, r1)
    r2.send_frame(arp(r2.mac(), "192.0.2.100", "192.0.2.100"))
    wait_until(lambda: daemon.status()["watches"][0]["sightings"] == 1, what="the sighting")
    assert holds_for(lambda: daemon.router()["conflicts"] == [], 2.5)


def test_whoever_asks_for_an_address_before_taking_it_claims_nothing(r1: Host, r2: Host, daemons: Daemons) -> None:
    daemon = watching_master(daemons, r1)
    with Repeater(r2, [arp(r2.mac(), "0.0.0.0", "192.0.2.100")], 0.1):
        wait_until(lambda: daemon.status()["watches"][0]["sightings"] >= 10, what="sightings")
    assert daemon.router()["conflicts_begun"] == {}


def test_a_storm_of_claims_is_noticed_and_then_not_listened_to(
    lan: Bridge, r1: Host, r2: Host, daemons: Daemons
) -> None:
    daemon = watching_master(daemons, r1, instance(interval=0.2))
    # Far more in a moment than it takes to be muted: the second claim of an address must still be heard.
    claims = [arp(r2.mac(), "192.0.2.100", "192.0.2.100")] * 250
    capture = lan.capture()
    with Repeater(r2, claims, 0.05):
        wait_until(lambda: daemon.status()["watches"][0]["muted"], what="the pause")
        conflict = the_conflict(daemon)
        (watch,) = daemon.status()["watches"]
        heard = watch["sightings"]
        # It goes on, unheard, for longer than a conflict of which nothing more is seen.
        assert holds_for(lambda: bool(daemon.router()["conflicts"]), LEAST_SILENCE + 2 * ASKING_INTERVAL)
        assert daemon.status()["watches"][0]["sightings"] == heard
    assert "conflict over" not in daemon.log
    assert conflict["kind"] == "address_in_use"
    assert watch["floods"] == 1
    times = [frame.time for frame, _ in capture.advertisements(vrid=51)]
    assert max(gaps(times)) < 0.6, "three missing advertisements make a second master"
    assert daemon.log.count("not listening to them for 10 s at a time") == 1


def test_another_host_with_the_address_that_we_advertise_from_is_found(r1: Host, r2: Host, daemons: Daemons) -> None:
    r2.add_address("eth0", "192.0.2.1/32")
    daemon = daemons.start(r1, instance())
    daemon.wait_for_state("MASTER")
    conflict = the_conflict(daemon)
    assert (conflict["kind"], conflict["with"], conflict["address"]) == ("same_source", r2.mac(), "192.0.2.1")
    assert "give each router an address of its own" in conflict["remedy"]
    r2.remove_address("eth0", "192.0.2.1/32")
    daemon.wait_for(lambda router: not router["conflicts"], "the end of it")


def test_a_duplicate_that_comes_later_and_says_nothing_is_found_by_the_next_round_of_questions(
    r1: Host, r2: Host, daemons: Daemons
) -> None:
    daemon = watching_master(daemons, r1, instance("garp_master_refresh 1"))
    assert holds_for(lambda: daemon.router()["conflicts"] == [], 1.5)
    r2.add_address("eth0", "192.0.2.100/32")
    conflict = the_conflict(daemon)
    assert (conflict["kind"], conflict["with"]) == ("address_in_use", r2.mac())


def test_a_backup_notices_that_two_others_are_master_and_no_handover_looks_like_it(
    lab: Lab, lan: Bridge, r1: Host, r2: Host, daemons: Daemons
) -> None:
    """Of its routers one follows both of the others, and one would preempt the worse of them."""
    r3 = lab.host("r3")
    r3.connect(lan, "eth0", "192.0.2.3/24")

    def configuration(follower: int, preempting: int) -> str:
        both = instance(name="follower", vrid=51, priority=follower, interval=0.2)
        return both + instance(name="preempting", vrid=52, priority=preempting, interval=0.2, addresses=["192.0.2.101"])

    first = daemons.start(r1, configuration(200, 200))
    second = daemons.start(r2, configuration(100, 100))
    third = daemons.start(r3, configuration(50, 150))
    for name in ("follower", "preempting"):
        first.wait_for_state("MASTER", name)
        second.wait_for_state("BACKUP", name)
        third.wait_for_state("BACKUP", name)
    assert first.process.stop() == 0
    second.wait_for_state("MASTER", "follower")
    third.wait_for_state("MASTER", "preempting")
    first = daemons.start(r1, configuration(200, 200))
    for name in ("follower", "preempting"):
        first.wait_for_state("MASTER", name)
        second.wait_for_state("BACKUP", name)
        third.wait_for_state("BACKUP", name)
    for daemon in (first, second, third):
        assert all(router["conflicts_begun"] == {} for router in daemon.status()["routers"]), daemon.log

    for host, other in ((r1, "192.0.2.2"), (r2, "192.0.2.1")):
        host.run(["nft", "add table ip deaf; add chain ip deaf in { type filter hook input priority 0; }"])
        host.run(["nft", f"add rule ip deaf in ip protocol 112 ip saddr {other} drop"])
    for name in ("follower", "preempting"):
        second.wait_for_state("MASTER", name)
        router = third.wait_for(lambda router: bool(router["conflicts"]), "the conflict", name)
        (conflict,) = router["conflicts"]
        assert (conflict["kind"], conflict["with"], router["state"]) == ("second_master", "192.0.2.2", "BACKUP")
        assert router["conflicts_begun"] == {"second_master": 1}
        told = "192.0.2.2 also advertises, with priority 100; the master is 192.0.2.1 with 200; two hosts hold"
        assert third.log.count(f"WARNING ({name}) {told}") == 1
        assert first.router(name)["state"] == "MASTER"

    for host in (r1, r2):
        host.run(["nft", "delete table ip deaf"])
    for name in ("follower", "preempting"):
        second.wait_for_state("BACKUP", name)
        third.wait_for(lambda router: not router["conflicts"], "the end of it", name)
        assert third.log.count(f"({name}) conflict over: second_master with 192.0.2.2") == 1
        assert third.router(name)["state"] == "BACKUP"
