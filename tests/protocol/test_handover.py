"""A MASTER that hands over to a successor on its own host, and the successor that goes on for it."""

from __future__ import annotations

import pytest

from tests.protocol.builders import CHECK_FAILED, LOWER, OURS, master_of, parameters, received, serving, started
from vrrpd.protocol.actions import (
    Announce,
    InstallAddresses,
    LeaveAddresses,
    SendAdvertisement,
    StateChanged,
    StateName,
    WithdrawAddresses,
)
from vrrpd.protocol.events import FaultsChanged, HandOver, SourceChanged, Startup, TimerExpired
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.timing import Version, handover_lifetime, master_down_interval, unnoticed_silence

INIT, MASTER, FAULT = StateName.INIT, StateName.MASTER, StateName.FAULT


def successor(*, resume_until: float, at: float, faulty: bool = False) -> tuple[VirtualRouter, list[object]]:
    """A router that was started for a predecessor, and what it did about that."""
    router = VirtualRouter(parameters())
    router.handle(SourceChanged(OURS), at)
    if faulty:
        router.handle(FaultsChanged((CHECK_FAILED,)), at)
    return router, list(router.handle(Startup(resume_until), at))


def test_a_master_hands_over_with_an_advertisement_like_any_other_and_leaves_its_addresses_for_two_seconds() -> None:
    router = serving(parameters(100, interval=100))
    assert router.handover_lifetime == 2
    assert router.handle(HandOver("SIGTERM"), 0.5) == [
        SendAdvertisement(100),
        LeaveAddresses(2),
        StateChanged(MASTER, INIT, "SIGTERM"),
    ]
    assert router.deadline is None


def test_an_interval_that_is_too_short_for_whole_seconds_makes_it_a_shutdown() -> None:
    router = serving(parameters(100, interval=66))
    assert router.handover_lifetime == 0
    assert router.handle(HandOver("SIGTERM"), 0.5) == [
        SendAdvertisement(0),
        WithdrawAddresses(),
        StateChanged(MASTER, INIT, "SIGTERM"),
    ]


def test_only_a_master_has_anything_to_hand_over() -> None:
    assert started().handover_lifetime == 0
    assert VirtualRouter(parameters()).handover_lifetime == 0


@pytest.mark.parametrize(
    ("interval", "down_advertisements", "lifetime"),
    [
        (1, 3, 0),
        (66, 3, 0),
        (67, 3, 1),
        (100, 3, 2),
        (150, 3, 3),
        (200, 3, 5),
        (100, 1, 0),
        (100, 2, 1),
        (4095, 3, 121),
    ],
)
def test_the_kernel_takes_the_addresses_off_before_the_quickest_backup_takes_over(
    interval: int, down_advertisements: int, lifetime: int
) -> None:
    assert handover_lifetime(interval, down_advertisements) == lifetime
    # The kernel may be a second late.
    quickest = master_down_interval(Version.V3, 254, interval, down_advertisements)
    assert lifetime == 0 or lifetime + 1.0 < quickest
    assert unnoticed_silence(interval, down_advertisements) < quickest


def test_a_successor_in_time_goes_on_as_master_with_everything_that_becoming_one_means() -> None:
    router, actions = successor(resume_until=10.0, at=9.9)
    assert actions == [
        SendAdvertisement(100),
        InstallAddresses(),
        Announce(5),
        StateChanged(INIT, MASTER, "started in time to go on for its predecessor"),
    ]
    assert master_of(router).adver_timer == pytest.approx(10.9)
    assert router.handle(TimerExpired(), 10.9) == [SendAdvertisement(100)]


def test_a_successor_that_comes_too_late_clears_up_and_waits_like_everybody_else() -> None:
    router, actions = successor(resume_until=10.0, at=10.0)
    assert actions == [WithdrawAddresses(), StateChanged(INIT, StateName.BACKUP, "started")]
    assert router.deadline == pytest.approx(13.609375)


def test_a_successor_that_cannot_serve_says_goodbye_for_its_predecessor() -> None:
    _, actions = successor(resume_until=10.0, at=9.0, faulty=True)
    assert actions == [
        SendAdvertisement(0),
        WithdrawAddresses(),
        StateChanged(INIT, FAULT, "check web failed: exit status 1"),
    ]


def test_a_successor_that_comes_too_late_and_cannot_serve_disturbs_nobody() -> None:
    _, actions = successor(resume_until=10.0, at=11.0, faulty=True)
    assert actions == [WithdrawAddresses(), StateChanged(INIT, FAULT, "check web failed: exit status 1")]


def test_a_successor_gives_way_to_a_better_router_that_took_over_in_between() -> None:
    router, _ = successor(resume_until=10.0, at=9.0)
    actions = router.handle(received(200, LOWER), 9.1)
    assert actions[0] == WithdrawAddresses()
    assert router.state.name is StateName.BACKUP
