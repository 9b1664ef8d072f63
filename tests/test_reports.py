"""What is told when more happens than can be told: changes of state always, remarks as far as there is room."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest

from tests.config.reading import router
from vrrpd.checks import CheckStatus
from vrrpd.conflicts import ConflictKind
from vrrpd.journal import Journal
from vrrpd.lookout import Lookout
from vrrpd.net.dataplane import LinuxDataplane
from vrrpd.net.interfaces import InterfaceTable
from vrrpd.notify import Notifier
from vrrpd.protocol.actions import Notice, NoticeKind, StateChanged, StateName
from vrrpd.protocol.discard import Discard, DiscardReason
from vrrpd.reports import LEFT_OUT_INTERVAL, MOST_WAITING, Reports
from vrrpd.scripts.runner import ScriptRunner
from vrrpd.unit import RouterUnit, Surroundings

REMARK = Notice(NoticeKind.PREEMPTING, "a remark")
OTHER_FAULTS = Notice(NoticeKind.FAULTS_CHANGED, "other faults")
TOLD_AT_ONCE = 8


def no_check(name: str) -> CheckStatus:
    raise KeyError(name)


class House:
    """One router that nobody drives, and everything that tells of it; the clock is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        table = InterfaceTable()
        self.dataplane = LinuxDataplane(table, self.clock)
        self.journal = Journal(self.clock)
        self.lookout = Lookout(self.clock, table, lambda: [self.unit], lambda: False)
        self.reports = Reports(
            self.journal, Notifier(ScriptRunner()), self.lookout, lambda runner: self.unit, self.clock
        )
        surroundings = Surroundings(
            table=table,
            dataplane=self.dataplane,
            observer=self.reports,
            clock=self.clock,
            check_status=no_check,
            is_virtual=lambda address: False,
            deaf=lambda interface, family: None,
            on_refused=lambda unit: None,
        )
        self.unit = RouterUnit(router(), surroundings)

    def clock(self) -> float:
        return self.now

    def close(self) -> None:
        self.lookout.close()
        self.dataplane.close()

    def remark(self, times: int, notice: Notice = REMARK) -> None:
        for _ in range(times):
            self.reports.noticed(self.unit.runner, notice)

    def tell_all(self) -> None:
        while self.reports:
            self.reports.tell(TOLD_AT_ONCE)


@pytest.fixture
async def house(caplog: pytest.LogCaptureFixture) -> AsyncIterator[House]:
    caplog.set_level(logging.INFO)
    built = House()
    yield built
    built.close()


async def test_a_flood_of_remarks_is_counted_once_it_is_over_and_keeps_no_change_of_state_from_being_told(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.remark(MOST_WAITING + 500)
    house.reports.state_changed(house.unit.runner, StateChanged(StateName.MASTER, StateName.BACKUP, "a better one"))
    house.remark(7)
    house.remark(1, OTHER_FAULTS)
    assert len(house.reports) == MOST_WAITING + 2
    house.reports.tell(TOLD_AT_ONCE)
    assert "left out" not in caplog.text
    house.tell_all()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        *["(VI_1) a remark"] * MOST_WAITING,
        "(VI_1) Entering BACKUP STATE (was MASTER): a better one",
        "(VI_1) other faults",
        "507 remarks were left out of the log: more happens than can be told",
    ]
    house.remark(1)
    house.tell_all()
    assert caplog.records[-1].getMessage() == "(VI_1) a remark"


async def test_a_flood_without_an_end_is_counted_once_a_minute(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def go_on(seconds: int) -> list[str]:
        caplog.clear()
        for _ in range(seconds):
            house.now += 1.0
            house.remark(10)
            house.reports.tell(TOLD_AT_ONCE)
        return [line for record in caplog.records if "left out" in (line := record.getMessage())]

    house.remark(MOST_WAITING + 1)
    assert len(go_on(round(LEFT_OUT_INTERVAL))) == 1
    assert len(go_on(round(5 * LEFT_OUT_INTERVAL) + 10)) == 5


async def test_floods_that_come_and_go_are_not_counted_in_a_line_each(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        house.remark(MOST_WAITING + 10)
        house.tell_all()
    assert caplog.text.count("were left out") == 1
    assert "10 remarks were left out" in caplog.text
    house.now += LEFT_OUT_INTERVAL
    house.remark(1)
    house.tell_all()
    assert "40 remarks were left out" in caplog.text


async def test_junk_that_fills_the_log_does_not_keep_a_conflict_out_of_it(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    junk = Discard(DiscardReason.CHECKSUM, "damaged")
    for low in range(250):
        house.reports.discarded(house.unit.runner, ip_address(f"198.51.100.{low}"), junk)
    assert caplog.text.count("discarded advertisement") == 200
    kind, other = ConflictKind.SECOND_MASTER, ip_address("192.0.2.2")
    house.lookout.ledger.see(house.unit.key, "VI_1", kind, other, "it also advertises", 5.0)
    assert "(VI_1) it also advertises; " in caplog.text
