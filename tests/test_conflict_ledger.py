"""The ledger of conflicts: when one is certain, when it is over, and how many there can be."""

from __future__ import annotations

from ipaddress import IPv4Address

from vrrpd.conflicts import MAXIMUM_OF_A_KIND, REMEDIES, Conflict, ConflictKind, ConflictLedger
from vrrpd.protocol.datagram import IPAddress

ROUTER = ("eth0", 4, 51)
OTHER = IPv4Address("192.0.2.9")


class Book:
    """A ledger, its clock, and what it has told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[str] = []
        self.ledger = ConflictLedger(lambda: self.now, self.began, self.ended)

    def began(self, conflict: Conflict) -> None:
        self.told.append(f"{self.now:g} begins {conflict.kind.value} {conflict.other}")

    def ended(self, conflict: Conflict, why: str) -> None:
        self.told.append(f"{self.now:g} over {conflict.kind.value} {conflict.other}: {why}")

    def see(
        self,
        kind: ConflictKind = ConflictKind.SECOND_MASTER,
        other: IPAddress = OTHER,
        *,
        patience: float = 0.0,
        gap: float | None = None,
        router: tuple[str, int, int] = ROUTER,
    ) -> bool:
        return self.ledger.see(router, "VI_1", kind, other, "seen", 5.0, patience=patience, gap=gap)


def test_without_patience_the_first_sighting_is_a_conflict() -> None:
    book = Book()
    assert book.see()
    assert book.told == ["100 begins second_master 192.0.2.9"]
    assert book.see()
    assert book.told == ["100 begins second_master 192.0.2.9"]
    (conflict,) = book.ledger.ongoing(ROUTER)
    assert (conflict.count, conflict.began, conflict.last_seen) == (2, 100.0, 100.0)


def test_with_patience_it_has_to_be_seen_for_that_long_without_a_gap() -> None:
    book = Book()
    for now, certain in ((100.0, False), (101.0, False), (102.9, False), (103.0, True)):
        book.now = now
        assert book.see(patience=3.0) is certain
    assert book.told == ["103 begins second_master 192.0.2.9"]


def test_after_a_gap_patience_begins_anew() -> None:
    book = Book()
    for now, certain in ((100.0, False), (102.0, False), (105.5, False), (108.0, False), (108.5, True)):
        book.now = now
        assert book.see(patience=3.0) is certain
    assert book.ledger.ongoing(ROUTER)[0].count == 3


def test_the_gap_can_be_longer_than_the_patience() -> None:
    book = Book()
    book.see(patience=0.2, gap=5.0)
    book.now = 101.0
    assert book.see(patience=0.2, gap=5.0)


def test_silence_ends_it_and_what_was_only_suspected_is_not_told() -> None:
    book = Book()
    book.see()
    book.see(ConflictKind.ADDRESS_IN_USE, patience=1.0)
    book.now = 105.0
    book.ledger.expire()
    assert len(book.ledger) == 2
    book.now = 105.1
    book.ledger.expire()
    assert len(book.ledger) == 0
    assert book.told == [
        "100 begins second_master 192.0.2.9",
        "105.1 over second_master 192.0.2.9: nothing more is seen of it",
    ]
    assert book.ledger.begun(ROUTER) == {ConflictKind.SECOND_MASTER: 1}
    assert book.see()
    assert book.ledger.begun(ROUTER) == {ConflictKind.SECOND_MASTER: 2}


def test_invented_sources_fill_the_places_of_one_kind_of_one_router() -> None:
    book = Book()
    told = [book.see(other=IPv4Address("198.51.100.0") + number) for number in range(1000)]
    assert told.count(True) == MAXIMUM_OF_A_KIND == 8
    assert book.see(ConflictKind.SAME_SOURCE)
    assert book.see(router=("eth0", 4, 52))
    book.now = 106.0
    book.ledger.expire()
    assert book.see(other=IPv4Address("203.0.113.1")), "the places are free again"


def test_a_router_that_is_gone_takes_its_conflicts_along() -> None:
    book = Book()
    book.see()
    book.see(router=("eth0", 4, 52))
    book.ledger.forget_router(ROUTER)
    assert [conflict.router for conflict in book.ledger] == [("eth0", 4, 52)]
    assert book.ledger.begun(ROUTER) == {}
    assert book.told[-1] == "100 over second_master 192.0.2.9: the router is no longer configured"


def test_every_kind_has_a_remedy() -> None:
    assert REMEDIES.keys() == set(ConflictKind)
