"""A daemon that is killed at any moment of its start, again and again: the next one puts everything right."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.netns.daemons import Daemons, instance
from tests.netns.machines import machine_on
from tests.netns.test_addresses import own
from tests.netns.test_firewall import rules
from vrrpd.lab import Host, wait_until

pytestmark = pytest.mark.netns

SEED = 112
DEATHS = 8
FIREWALL = "global_defs {\n firewall iptables INPUT vips\n}\n"
ROUTERS = "".join(
    instance(name=f"VI_{number}", vrid=number, addresses=[f"192.0.2.{100 + number}/24", f"198.51.100.{number}"])
    for number in range(1, 6)
) + instance(name="VI_6", vrid=6, addresses=["2001:db8::100/64"])
OWN = [("192.0.2.1", 24), ("2001:db8::1", 64)]
SERVED = {
    *OWN,
    *((f"192.0.2.{100 + number}", 24) for number in range(1, 6)),
    *((f"198.51.100.{number}", 32) for number in range(1, 6)),
    ("2001:db8::100", 64),
}


@pytest.mark.parametrize("firewall", [FIREWALL, ""], ids=["with its rule", "without a rule in the end"])
def test_after_eight_deaths_a_start_has_what_it_should_and_a_stop_leaves_nothing(
    r1: Host, daemons: Daemons, tmp_path: Path, firewall: str
) -> None:
    if shutil.which("iptables") is None:
        pytest.skip("needs iptables: apt-get install iptables")
    machine = machine_on(r1, daemons, tmp_path)
    moments = random.Random(SEED)
    for _ in range(DEATHS):
        daemon = machine.start(FIREWALL + ROUTERS)
        with pytest.raises(TimeoutError):
            daemon.process.wait(moments.uniform(0.05, 1.2))
        daemon.process.kill()
        assert daemon.process.wait() == -signal.SIGKILL
    # One that lives long enough to leave everything behind that there is.
    daemon = machine.start(FIREWALL + ROUTERS)
    wait_until(lambda: set(own(r1)) == SERVED, 15.0, "all addresses")
    daemon.process.wait_for_log("accepts VRRP (from now on|already)", 15.0)
    daemon.process.kill()
    assert daemon.process.wait() == -signal.SIGKILL
    assert len([rule for rule in rules(r1) if "vrrpd" in rule]) == 1

    last = machine.start(firewall + ROUTERS)
    for number in range(1, 7):
        last.wait_for_state("MASTER", f"VI_{number}")
    wait_until(lambda: set(own(r1)) == SERVED, 15.0, "all addresses again")
    assert len(own(r1)) == len(SERVED)
    expected = 1 if firewall else 0
    wait_until(lambda: len([rule for rule in rules(r1) if "vrrpd" in rule]) == expected, 15.0, "the rule")
    if firewall:
        last.process.wait_for_log("accepts VRRP already", 15.0)
    assert last.process.stop() == 0
    assert own(r1) == OWN
    assert rules(r1) == []
    assert machine.left() == []
