"""What leaves when something is wrong with the way out: new sockets, refusals, interfaces that are down."""

from __future__ import annotations

import shutil
import signal

import pytest

from tests.netns.daemons import Daemons, instance
from vrrpd.lab import Bridge, Host, wait_until

pytestmark = pytest.mark.netns

VIP = "192.0.2.100"


def test_a_master_goes_on_through_a_new_interface_that_came_while_it_was_stopped(
    lan: Bridge, r1: Host, daemons: Daemons
) -> None:
    """Its address is on another interface, so that nothing but the socket is lost."""
    r1.connect(lan, "eth1", "198.51.100.1/24")
    daemon = daemons.start(r1, instance("garp_master_delay 0", addresses=[f"{VIP}/24 dev eth1"]))
    daemon.wait_for_state("MASTER")
    capture = lan.capture()
    # More than one: from the second on they are sent with those of others that are due then.
    wait_until(lambda: len(capture.advertisements(51)) >= 3, what="advertisements")
    daemon.process.signal(signal.SIGSTOP)
    r1.delete_link("eth0")
    r1.connect(lan, "eth0", "192.0.2.1/24")
    daemon.process.signal(signal.SIGCONT)
    capture.clear()
    wait_until(lambda: len(capture.advertisements(51)) >= 5, what="advertisements through the new interface")
    assert daemon.router()["state"] == "MASTER"
    assert "Bad file descriptor" not in daemon.log


def test_an_address_that_the_kernel_refuses_is_not_announced(lan: Bridge, r1: Host, daemons: Daemons) -> None:
    r1.sysctl("net.ipv6.conf.eth0.disable_ipv6", 1)
    capture = lan.capture()
    daemon = daemons.start(r1, instance("virtual_ipaddress_excluded {", "2001:db8::100", "}"))
    daemon.wait_for_state("FAULT")
    # The farewell comes after everything else.
    capture.wait_for_advertisement(51, priority=0)
    assert capture.announcements("2001:db8::100") == []
    assert len(capture.announcements(VIP)) >= 1


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft (package nftables) is missing")
def test_a_peer_that_cannot_be_reached_is_told_once_and_not_at_every_advertisement(r1: Host, daemons: Daemons) -> None:
    for command in (
        ["add", "table", "ip", "gone"],
        ["add", "chain", "ip", "gone", "out", "{ type filter hook output priority 0; policy accept; }"],
        ["add", "rule", "ip", "gone", "out", "ip", "daddr", "192.0.2.9", "drop"],
    ):
        r1.run(["nft", *command])
    daemon = daemons.start(r1, instance("unicast_peer {", "192.0.2.8", "192.0.2.9", "}"))
    daemon.wait_for_state("MASTER")
    sent = daemon.router()["counters"]["advertisements_sent"]
    daemon.wait_for(lambda router: router["counters"]["advertisements_sent"] >= sent + 20, "twenty advertisements")
    assert daemon.log.count("an advertisement was not sent to 192.0.2.9: Operation not permitted") == 1
    assert daemon.log.count("an advertisement was not sent") == 1


def test_a_takeover_is_rehearsed_in_silence_where_the_loopback_interface_is_down(r1: Host, daemons: Daemons) -> None:
    r1.set_link("lo", False)
    daemon = daemons.start(r1, instance(interval=0.5))
    daemon.wait_for_state("MASTER")
    assert "WARNING" not in daemon.log
