"""The witness of the image tests is itself tested: a stale look proves nothing."""

from __future__ import annotations

from typing import cast

import pytest

from tests.image import watch
from tests.image.watch import Watch
from vrrpd.lab import Host

pytestmark = [pytest.mark.image, pytest.mark.timeout(30)]

VIP = "192.0.2.101"


class Holder:
    """A host, as far as the watch can tell, that has the address or has it not."""

    def __init__(self, name: str, holds: bool) -> None:
        self.name = name
        self.holds = holds

    def addresses(self, interface: str) -> list[tuple[str, int]]:
        return [(VIP, 24)] if self.holds else []


def test_what_was_seen_before_the_wait_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.2)
    n1, n2 = Holder("n1", holds=False), Holder("n2", holds=True)
    with Watch(cast("list[Host]", [n1, n2]), [VIP]) as seen:
        n1.holds, n2.holds = True, False
        with pytest.raises(TimeoutError, match=r"now: .*n1"):
            seen.wait_for_holders({VIP: "n2"}, timeout=1.0)
        n1.holds, n2.holds = False, True
        assert seen.wait_for_one_holder() == {VIP: "n2"}
