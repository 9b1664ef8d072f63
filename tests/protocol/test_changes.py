"""What changes while a router runs, story by story: its priority, its addresses, its configuration.

Times are seconds on a clock that the tests keep. The router under test has priority 100 and advertises each second
unless a test says otherwise.
"""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from tests.protocol.builders import (
    HIGHER,
    OTHER_VIP,
    VIP,
    advertisement,
    backup_of,
    master_of,
    parameters,
    received,
    serving,
    started,
    without_notices,
)
from vrrpd.protocol.actions import (
    Announce,
    InstallAddresses,
    Notice,
    NoticeKind,
    SendAdvertisement,
    StateName,
)
from vrrpd.protocol.events import (
    AddressesTaken,
    AdvertisementReceived,
    Reconfigured,
    SourceChanged,
    Startup,
    TimerExpired,
    WeightChanged,
)
from vrrpd.protocol.parameters import AnnouncementTimes
from vrrpd.protocol.router import VirtualRouter
from vrrpd.protocol.timing import Version

# -- priority ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("OWN-5", "OWN-1", "K-WEIGHT")
@pytest.mark.counter_case("OWN-1", "OWN-5")
@pytest.mark.parametrize(
    ("configured", "weight", "effective"),
    [(100, 20, 120), (100, -20, 80), (100, -253, 1), (100, 253, 254), (254, 1, 254), (1, -1, 1), (255, -253, 255)],
)
def test_weights_move_the_priority_within_1_to_254_and_never_that_of_an_owner(
    configured: int, weight: int, effective: int
) -> None:
    router = started(parameters(configured))
    router.handle(WeightChanged(weight, "check web"), 1.0)
    assert router.priority == effective


@pytest.mark.requirement("TM-8", "K-WEIGHT", "K-SKEWP")
def test_a_changed_priority_moves_the_running_timer_by_the_difference_of_the_skew() -> None:
    router = started()
    (notice,) = router.handle(WeightChanged(50, "check web succeeded"), 1.0)
    assert notice == Notice(NoticeKind.PRIORITY_CHANGED, "effective priority 100 -> 150: check web succeeded")
    assert router.deadline == pytest.approx(3.414062, abs=1e-9)
    router.handle(WeightChanged(0, "check web failed"), 2.0)
    assert router.deadline == pytest.approx(3.609375, abs=1e-9)


@pytest.mark.requirement("TX-3")
@pytest.mark.counter_case("TX-3")
def test_a_master_advertises_its_changed_priority_with_the_next_advertisement() -> None:
    router = serving()
    assert without_notices(router.handle(WeightChanged(-40, "check web failed"), 0.5)) == []
    assert router.deadline == 1.0
    assert router.handle(TimerExpired(), 1.0) == [SendAdvertisement(60)]


def test_a_weight_that_changes_nothing_is_not_remarked() -> None:
    router = started(parameters(254))
    assert router.handle(WeightChanged(30, "check web"), 1.0) == []


def test_a_backup_whose_priority_rises_preempts_at_the_next_chance() -> None:
    router = started()
    router.handle(received(150), 1.0)
    router.handle(WeightChanged(100, "check web"), 1.5)
    router.handle(received(150), 2.0)
    assert router.deadline == pytest.approx(4.21875, abs=1e-6)


# -- addresses and configuration --------------------------------------------------------------------------------------


@pytest.mark.requirement("K-VIPDEL")
def test_addresses_that_somebody_removed_are_put_back_without_a_flap() -> None:
    router = serving(parameters(addresses=(VIP, OTHER_VIP)))
    taken = frozenset({OTHER_VIP})
    before = router.state
    install, announce, notice = router.handle(AddressesTaken(taken), 0.5)
    assert (install, announce) == (InstallAddresses(taken), Announce(5, taken))
    assert notice == Notice(NoticeKind.ADDRESSES_TAKEN, "somebody removed 192.0.2.101: put back")
    assert router.state is before


@pytest.mark.requirement("SM-B-5")
def test_a_backup_does_not_care_for_addresses_that_are_gone() -> None:
    assert started().handle(AddressesTaken(frozenset({VIP})), 0.5) == []


def test_the_source_address_decides_the_next_tie() -> None:
    router = serving()
    assert router.handle(SourceChanged(IPv4Address("192.0.2.9")), 0.1) == []
    assert router.source == IPv4Address("192.0.2.9")
    router.handle(received(100, HIGHER), 0.2)
    assert router.state.name is StateName.MASTER


@pytest.mark.requirement("SHUT-5", "K-RELOAD")
def test_a_master_takes_new_parameters_in_place_and_says_so_at_once() -> None:
    router = serving(parameters(addresses=(VIP,)))
    new = parameters(120, interval=50, addresses=(OTHER_VIP,))
    event = Reconfigured(new, added=frozenset({OTHER_VIP}))
    assert router.handle(event, 0.25) == [
        SendAdvertisement(120),
        InstallAddresses(frozenset({OTHER_VIP})),
        Announce(5, frozenset({OTHER_VIP})),
    ]
    assert router.deadline == 0.75
    assert router.handle(Reconfigured(new), 0.5) == [SendAdvertisement(120)]


def test_a_reload_turns_refreshes_on_and_off() -> None:
    router = serving()
    refreshing = parameters(announcements=AnnouncementTimes(master_delay=0.0, refresh=10.0))
    router.handle(Reconfigured(refreshing), 0.5)
    assert master_of(router).refresh == 10.5
    router.handle(Reconfigured(refreshing), 2.0)
    assert master_of(router).refresh == 10.5
    sooner = parameters(announcements=AnnouncementTimes(master_delay=0.0, refresh=1.0))
    router.handle(Reconfigured(sooner), 3.0)
    assert master_of(router).refresh == 4.0
    router.handle(Reconfigured(parameters()), 3.5)
    assert master_of(router).refresh is None


@pytest.mark.requirement("SHUT-5")
def test_a_backup_that_heard_nobody_waits_by_its_new_interval_from_where_it_was() -> None:
    router = started()
    assert router.handle(Reconfigured(parameters(interval=200)), 1.0) == []
    assert router.deadline == pytest.approx(7.21875, abs=1e-9)
    assert backup_of(router).master_adver_interval == 200


def test_a_backup_keeps_the_interval_that_it_learned_when_its_own_changes() -> None:
    router = started()
    router.handle(received(200, interval=300), 1.0)
    router.handle(Reconfigured(parameters(interval=50)), 2.0)
    assert backup_of(router).master_adver_interval == 300
    assert router.deadline == pytest.approx(11.828125, abs=1e-9)


def test_a_version_2_backup_takes_its_new_interval_whoever_was_heard() -> None:
    router = started(parameters(version=Version.V2))
    router.handle(AdvertisementReceived(HIGHER, advertisement(200, version=Version.V2)), 1.0)
    router.handle(Reconfigured(parameters(version=Version.V2, interval=200)), 1.0)
    assert router.deadline == pytest.approx(7.609375, abs=1e-9)


def test_a_router_that_was_not_started_takes_new_parameters_in_silence() -> None:
    router = VirtualRouter(parameters())
    assert router.handle(Reconfigured(parameters(150)), 0.0) == []
    router.handle(Startup(), 0.0)
    assert router.deadline == 3.414062
