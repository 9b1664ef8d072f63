"""The rule that lets VRRP in, made by the real iptables and nft in a namespace."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.scripts.support import scripts_running
from vrrpd.config.model import Command, FirewallRule
from vrrpd.lab import Host, Lab
from vrrpd.net.firewall import Firewall, safe_name
from vrrpd.scripts.result import ScriptResult
from vrrpd.scripts.runner import ScriptRunner

pytestmark = pytest.mark.netns

V4, V6 = frozenset({4}), frozenset({4, 6})
IN_INPUT = FirewallRule("iptables", "ipf-1", "INPUT")
IN_A_TABLE = FirewallRule("nftables", "ipf-1")
OURS = '-A INPUT -p 112 -m comment --comment "vrrpd:ipf-1" -j ACCEPT'
OTHERS = '-A INPUT -p 112 -m comment --comment "vrrpd:ipf-2" -j ACCEPT'


@pytest.fixture
def host(lab: Lab) -> Host:
    """A host on which iptables and nft work, with a rule of the administrator's in INPUT."""
    if missing := [tool for tool in ("iptables", "ip6tables", "nft") if shutil.which(tool) is None]:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install iptables nftables")
    host = lab.host("node")
    for tool in ("iptables", "ip6tables"):
        tried = host.run([tool, "-A", "INPUT", "-p", "udp", "-j", "DROP"], check=False)
        if tried.returncode:
            pytest.skip(f"{tool} does not work here: {tried.stderr.strip()}")
    tried = host.run(["nft", "add table inet theirs"], check=False)
    if tried.returncode:
        pytest.skip(f"nft does not work here: {tried.stderr.strip()}")
    return host


def on(host: Host, story: Callable[[ScriptRunner], Awaitable[None]]) -> None:
    """Runs a story with a script runner that lives on the host."""

    async def tell() -> None:
        async with scripts_running() as runner:
            await story(runner)

    host.call(lambda: asyncio.run(tell()))


def rules(host: Host, tool: str = "iptables", chain: str = "INPUT") -> list[str]:
    """The rules of a chain in order, with the protocol as a number."""
    listed = host.run([tool, "-S", chain]).stdout.replace("-p vrrp", "-p 112")
    return [line for line in listed.splitlines() if line.startswith("-A")]


def tables(host: Host) -> list[str]:
    """The tables that are not iptables' own."""
    return sorted(line for line in host.run(["nft", "list", "tables"]).stdout.splitlines() if " inet " in line)


class Counting:
    """The real runner, and a list of what it ran."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self.ran: list[str] = []

    def run(self, command: Command, *, timeout: float) -> Awaitable[ScriptResult]:
        self.ran.append(command.argv[0])
        return self._runner.run(command, timeout=timeout)


async def applied(runner: ScriptRunner, rule: FirewallRule | None, families: frozenset[int] = V4) -> Firewall:
    firewall = Firewall(runner)
    firewall.apply(rule, families)  # type: ignore[arg-type]
    await firewall.settled()
    return firewall


async def closed(firewall: Firewall) -> None:
    await firewall.close(asyncio.get_running_loop().time() + 20.0)


def test_the_rule_stands_before_the_administrators_and_is_gone_at_the_end(host: Host) -> None:
    async def story(runner: ScriptRunner) -> None:
        firewall = await applied(runner, IN_INPUT)
        assert rules(host) == [OURS, "-A INPUT -p udp -j DROP"]
        assert rules(host, "ip6tables") == ["-A INPUT -p udp -j DROP"]
        await closed(firewall)
        assert rules(host) == ["-A INPUT -p udp -j DROP"]

    on(host, story)


def test_ipv6_addresses_have_the_rule_put_into_the_ip6tables_chain_too(host: Host) -> None:
    async def story(runner: ScriptRunner) -> None:
        firewall = await applied(runner, IN_INPUT, V6)
        assert OURS in rules(host)
        assert OURS in rules(host, "ip6tables")
        await closed(firewall)
        assert OURS not in rules(host, "ip6tables")

    on(host, story)


def test_a_rule_that_a_killed_daemon_left_behind_is_found_again_and_not_doubled(host: Host) -> None:
    async def story(runner: ScriptRunner) -> None:
        await applied(runner, IN_INPUT)  # and nobody closes it
        firewall = await applied(runner, IN_INPUT)
        assert rules(host).count(OURS) == 1
        await closed(firewall)
        assert rules(host).count(OURS) == 0

    on(host, story)


@pytest.mark.parametrize(
    "before", [FirewallRule("iptables", "ipf-1", "FORWARD"), IN_A_TABLE], ids=["another chain", "another tool"]
)
def test_what_a_killed_daemon_with_other_settings_left_behind_is_removed(
    host: Host, before: FirewallRule, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(runner: ScriptRunner) -> None:
        await applied(runner, before, V6)
        # The beginning of its name is ours, but it is another one.
        other = await applied(runner, FirewallRule("iptables", "ipf-11", "FORWARD"))
        caplog.clear()
        await applied(runner, IN_INPUT, V6)
        assert rules(host).count(OURS) == 1
        assert rules(host, chain="FORWARD") == [OURS.replace("INPUT", "FORWARD").replace("ipf-1", "ipf-11")]
        assert rules(host, "ip6tables", "FORWARD") == []
        assert tables(host) == ["table inet theirs"]
        await closed(other)

    on(host, story)
    assert all("left behind by a predecessor" in message for message in caplog.messages)
    assert caplog.messages


def test_what_was_left_in_a_chain_goes_when_nftables_has_the_rule(host: Host) -> None:
    async def story(runner: ScriptRunner) -> None:
        await applied(runner, IN_INPUT, V6)
        await applied(runner, IN_A_TABLE, V6)
        assert rules(host) == rules(host, "ip6tables") == ["-A INPUT -p udp -j DROP"]
        assert tables(host) == ["table inet theirs", "table inet vrrpd_ipf-1"]

    on(host, story)


def test_a_daemon_that_ends_before_it_has_looked_removes_what_was_left_behind_all_the_same(host: Host) -> None:
    async def story(runner: ScriptRunner) -> None:
        await applied(runner, IN_INPUT, V6)
        firewall = Firewall(runner)
        firewall.apply(IN_INPUT, frozenset({4, 6}))
        await closed(firewall)
        assert rules(host) == rules(host, "ip6tables") == ["-A INPUT -p udp -j DROP"]

    on(host, story)


def test_two_configurations_never_touch_each_others_rule(host: Host) -> None:
    async def story(runner: ScriptRunner) -> None:
        first = await applied(runner, IN_INPUT)
        second = await applied(runner, FirewallRule("iptables", "ipf-2", "INPUT"))
        assert set(rules(host)) == {OURS, OTHERS, "-A INPUT -p udp -j DROP"}
        await closed(first)
        assert rules(host) == [OTHERS, "-A INPUT -p udp -j DROP"]
        await closed(second)
        assert rules(host) == ["-A INPUT -p udp -j DROP"]

    on(host, story)


def test_a_rule_of_somebody_else_that_accepts_vrrp_stays(host: Host) -> None:
    async def story(runner: ScriptRunner) -> None:
        host.run(["iptables", "-A", "INPUT", "-p", "112", "-j", "ACCEPT"])
        await closed(await applied(runner, IN_INPUT))
        assert rules(host) == ["-A INPUT -p udp -j DROP", "-A INPUT -p 112 -j ACCEPT"]

    on(host, story)


def test_rules_that_a_restored_rule_set_has_doubled_are_all_removed(host: Host) -> None:
    async def story(runner: ScriptRunner) -> None:
        firewall = await applied(runner, IN_INPUT)
        host.run(["iptables", *OURS.replace('"', "").split()])
        assert rules(host).count(OURS) == 2
        await closed(firewall)
        assert rules(host).count(OURS) == 0

    on(host, story)


def test_a_chain_that_does_not_exist_is_named_in_the_log_and_not_created(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(runner: ScriptRunner) -> None:
        firewall = await applied(runner, FirewallRule("iptables", "ipf-1", "OS_FIREWALL_ALLOW"))
        await closed(firewall)

    on(host, story)
    assert caplog.messages == [
        "firewall: there is no iptables chain OS_FIREWALL_ALLOW, and none is created: no rule is added for VRRP"
    ]
    assert host.run(["iptables", "-S", "OS_FIREWALL_ALLOW"], check=False).returncode != 0


def test_a_chain_that_has_come_by_a_reload_gets_the_rule(host: Host) -> None:
    async def story(runner: ScriptRunner) -> None:
        rule = FirewallRule("iptables", "ipf-1", "VRRP")
        firewall = await applied(runner, rule)
        host.run(["iptables", "-N", "VRRP"])
        firewall.apply(rule, frozenset({4}))
        await firewall.settled()
        assert rules(host, chain="VRRP") == [OURS.replace("INPUT", "VRRP")]
        await closed(firewall)
        assert rules(host, chain="VRRP") == []

    on(host, story)


def test_a_reload_with_another_tool_moves_the_rule(host: Host) -> None:
    async def story(runner: ScriptRunner) -> None:
        firewall = await applied(runner, IN_INPUT)
        firewall.apply(IN_A_TABLE, frozenset({4}))
        await firewall.settled()
        assert OURS not in rules(host)
        assert tables(host) == ["table inet theirs", "table inet vrrpd_ipf-1"]
        firewall.apply(None, frozenset({4}))
        await firewall.settled()
        assert tables(host) == ["table inet theirs"]

    on(host, story)


def test_nftables_gets_a_table_that_accepts_vrrp_and_goes_at_the_end(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(runner: ScriptRunner) -> None:
        await applied(runner, IN_A_TABLE)  # left behind
        firewall = await applied(runner, IN_A_TABLE)
        listed = host.run(["nft", "--numeric", "list", "table", "inet", "vrrpd_ipf-1"]).stdout
        assert [line.strip() for line in listed.splitlines()] == [
            "table inet vrrpd_ipf-1 {",
            "chain input {",
            "type filter hook input priority 0; policy accept;",
            'meta l4proto 112 accept comment "vrrpd:ipf-1"',
            "}",
            "}",
        ]
        second = await applied(runner, FirewallRule("nftables", "ipf-2"))
        await closed(firewall)
        assert tables(host) == ["table inet theirs", "table inet vrrpd_ipf-2"]
        await closed(second)
        assert tables(host) == ["table inet theirs"]

    caplog.set_level(logging.INFO)
    on(host, story)
    assert "a drop in another table counts all the same" in caplog.messages[0]


def test_without_the_tool_the_log_says_so_and_nothing_else_happens(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(_: ScriptRunner) -> None:
        runner = ScriptRunner({"PATH": "/nonexistent"})
        await runner.start()
        await closed(await applied(runner, IN_INPUT))
        await closed(await applied(runner, IN_A_TABLE))
        await runner.close(0.0)

    on(host, story)
    assert [message.partition(": no rule")[2].partition("start")[0] for message in caplog.messages] == [
        " is added to iptables chain INPUT: iptables could not be ",
        " is added to nftables table inet vrrpd_ipf-1: nft could not be ",
    ]


def test_what_the_chain_drops_is_let_in_when_it_is_vrrp_and_only_then(lab: Lab, host: Host) -> None:
    lan = lab.bridge("lan")
    sender = lab.host("sender")
    host.connect(lan, "eth0", "192.0.2.1/24")
    sender.connect(lan, "eth0", "192.0.2.2/24")
    host.run(["iptables", "-P", "INPUT", "DROP"])
    with host.inside():
        vrrp = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
        other = socket.socket(socket.AF_INET, socket.SOCK_RAW, 113)

    def send(protocol: int, payload: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as raw:
            raw.sendto(payload, ("192.0.2.1", 0))

    async def story(runner: ScriptRunner) -> None:
        sender.call(lambda: send(112, b"before"))
        firewall = await applied(runner, IN_INPUT)
        sender.call(lambda: send(113, b"another protocol"))
        sender.call(lambda: send(112, b"after"))
        vrrp.settimeout(10)
        heard, _ = vrrp.recvfrom(100)
        assert heard.endswith(b"after")
        with pytest.raises(BlockingIOError):
            other.recv(100, socket.MSG_DONTWAIT)
        await closed(firewall)

    with vrrp, other:
        on(host, story)


def test_a_daemon_adds_its_rule_once_in_all_its_lives_and_removes_it_at_the_end(
    lab: Lab, host: Host, tmp_path: Path, environment: dict[str, str]
) -> None:
    file = tmp_path / "keepalived.conf"
    file.write_text(
        "global_defs {\n firewall iptables INPUT ipf-1\n}\nvrrp_instance VI_1 {\n interface eth0\n"
        " virtual_router_id 51\n virtual_ipaddress {\n 192.0.2.100\n }\n"
        " virtual_ipaddress_excluded {\n 2001:db8::100\n }\n}\n"
    )
    host.connect(lab.bridge("lan"), "eth0", "192.0.2.1/24")
    command = [sys.executable, "-m", "vrrpd", "run", "-f", str(file)]
    first = host.start(command, env=environment, private_run=True)
    first.wait_for_log(r"ip6tables chain INPUT accepts VRRP from now on", timeout=20)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    assert (rules(host).count(OURS), rules(host, "ip6tables").count(OURS)) == (1, 1)
    second = host.start(command, env=environment, private_run=True)
    second.wait_for_log(r"ip6tables chain INPUT accepts VRRP already", timeout=20)
    assert (rules(host).count(OURS), rules(host, "ip6tables").count(OURS)) == (1, 1)
    assert second.stop() == 0
    assert (rules(host).count(OURS), rules(host, "ip6tables").count(OURS)) == (0, 0)


def test_a_start_without_a_rule_removes_what_a_killed_daemon_left_behind_and_runs_no_program_otherwise(
    host: Host, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    counting: list[Counting] = []

    async def applied_with_record(runner: ScriptRunner, rule: FirewallRule | None) -> Firewall:
        counting.append(Counting(runner))
        firewall = Firewall(counting[-1], record)
        firewall.apply(rule, frozenset({4}))
        await firewall.settled()
        return firewall

    async def story(runner: ScriptRunner) -> None:
        for rule in (IN_INPUT, IN_A_TABLE, FirewallRule("iptables", "x" * 70, "INPUT")):
            await applied_with_record(runner, rule)  # and nobody closes it
            assert record.exists()
            await applied_with_record(runner, None)
            assert rules(host) == ["-A INPUT -p udp -j DROP"]
            assert tables(host) == ["table inet theirs"]
            assert not record.exists()
        await closed(await applied_with_record(runner, None))
        assert counting[-1].ran == []
        # A rule of another name takes the place of the one that was left behind.
        await applied_with_record(runner, IN_INPUT)
        second = await applied_with_record(runner, FirewallRule("iptables", "ipf-2", "INPUT"))
        assert rules(host) == [OTHERS, "-A INPUT -p udp -j DROP"]
        await closed(second)
        assert not record.exists()

    on(host, story)


@pytest.mark.parametrize(
    "content", ["", "vrrpd:", "ipf-1", "vrrpd:a b", "vrrpd:a; reboot", "vrrpd:" + "x" * 81, "\xff"]
)
def test_a_record_that_is_no_mark_of_ours_leads_to_nothing(host: Host, tmp_path: Path, content: str) -> None:
    record = tmp_path / "record"
    record.write_text(content, encoding="latin-1")

    async def story(runner: ScriptRunner) -> None:
        counting = Counting(runner)
        firewall = Firewall(counting, record)
        firewall.apply(None, frozenset({4}))
        await firewall.settled()
        assert counting.ran == []

    on(host, story)


def test_names_that_differ_are_marked_differently() -> None:
    names = ["ipf-1", "ipf_1", "ipf 1", 'ipf"1', "ipf;1", "x" * 64, "x" * 65, "x" * 66, "ä", "ö", "v1.2"]
    marked = [safe_name(name) for name in names]
    assert len(set(marked)) == len(names)
    assert marked[0] == "ipf-1"
    assert max(map(len, marked)) <= 73
    assert all(set(mark) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") for mark in marked)
