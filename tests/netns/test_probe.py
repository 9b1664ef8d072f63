"""The probe: who answers, and how long nobody did."""

from __future__ import annotations

import re

import pytest

from vrrpd.lab import Bridge, Host, Lab, wait_until
from vrrpd.lab.probe import Probe, start_responder

pytestmark = [pytest.mark.netns, pytest.mark.alone]


@pytest.fixture
def lan(lab: Lab) -> Bridge:
    return lab.bridge("lan")


def connected(lab: Lab, lan: Bridge, number: int) -> Host:
    host = lab.host(f"r{number}")
    host.connect(lan, "eth0", f"192.0.2.{number}/24", f"2001:db8::{number}/64")
    return host


@pytest.mark.parametrize("vip", ["192.0.2.100", "2001:db8::100"])
def test_the_probe_sees_a_silence_its_end_and_who_answers_then(lab: Lab, lan: Bridge, vip: str) -> None:
    r1, r2, client = (connected(lab, lan, number) for number in (1, 2, 3))
    length = 32 if "." in vip else 128
    for router in (r1, r2):
        start_responder(router)
    r1.add_address("eth0", f"{vip}/{length}")
    probe = Probe(client, vip)
    probe.wait_for_answer(by=r1)
    assert probe.gaps == [] or all(gap.after == "r1" for gap in probe.gaps)

    lan.cut(r1)
    wait_until(lambda: probe.answering is None, what="silence")
    open_gap = probe.gaps[-1]
    assert (open_gap.before, open_gap.after, open_gap.end_ns) == ("r1", None, None)

    # A takeover without announcement: the client's neighbour entry has to be wrong for a while, so it is told anew.
    r2.add_address("eth0", f"{vip}/{length}")
    client.set_link("eth0", up=False)
    client.set_link("eth0", up=True)
    if length == 128:
        client.add_address("eth0", "2001:db8::3/64")  # the kernel forgets IPv6 addresses of a link that goes down
    probe.wait_for_answer(by=r2)

    summary = probe.stop()
    closed = next(gap for gap in summary.gaps if gap.after == "r2")
    assert closed.before == "r1"
    assert closed.start_ns == open_gap.start_ns
    assert closed.milliseconds >= 20
    assert closed.lost > 0
    assert 0 < summary.received < summary.sent


def test_a_silence_that_lasts_at_the_end_is_in_the_summary(lab: Lab, lan: Bridge) -> None:
    r1, client = connected(lab, lan, 1), connected(lab, lan, 3)
    start_responder(r1)
    probe = Probe(client, "192.0.2.1")
    probe.wait_for_answer()
    r1.reset()
    wait_until(lambda: probe.answering is None, what="silence")
    last = probe.stop().gaps[-1]
    assert (last.before, last.after, last.end_ns) == ("r1", None, None)


def test_the_probe_waits_in_vain_for_an_address_that_nobody_has(lab: Lab, lan: Bridge) -> None:
    client = connected(lab, lan, 3)
    probe = Probe(client, "192.0.2.100")
    with pytest.raises(TimeoutError, match=re.escape("for somebody to answer the r3:probe of 192.0.2.100, in vain")):
        probe.wait_for_answer(timeout=1)
    assert probe.stop().received == 0
