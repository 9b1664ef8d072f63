"""What the operator is told: every change of state with its reason, what is worth knowing, what was thrown away.

What goes on between this host and another one is told by ``lookout``, once. The words are keepalived's where people
search for them (``(VI_1) Entering MASTER STATE``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Final

from vrrpd.logs import RepeatLimiter
from vrrpd.protocol.actions import Notice, NoticeKind, StateChanged
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.discard import Discard

_log = logging.getLogger("vrrpd")

_WARNINGS: Final = frozenset(
    {
        NoticeKind.SAME_SOURCE,
        NoticeKind.SECOND_OWNER,
        NoticeKind.ADDRESSES_TAKEN,
        NoticeKind.LATE,
        NoticeKind.CHECKSUM_FORM,
        NoticeKind.ADDRESSES_DIFFER,
        NoticeKind.FIRST_ADDRESS_GLOBAL,
    }
)
_REPEATED: Final = frozenset(
    {
        NoticeKind.SAME_SOURCE,
        NoticeKind.SECOND_OWNER,
        NoticeKind.LOSING_ADVERTISEMENT,
        NoticeKind.SECOND_MASTER,
    }
)
"""Notices that a packet can cause as often as it comes."""


class Journal:
    """Writes the log of all routers of a daemon, at a bearable rate whatever comes in."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._limiter = RepeatLimiter(clock)

    def state_changed(self, name: str, change: StateChanged) -> None:
        """One line for one change of state."""
        _log.info(
            "(%s) Entering %s STATE (was %s): %s",
            name,
            change.state.value,
            change.previous.value,
            change.reason,
            extra={
                "router": name,
                "state": change.state.value,
                "previous": change.previous.value,
                "reason": change.reason,
            },
        )

    def noticed(self, name: str, notice: Notice) -> None:
        """One line for something that changes no state."""
        held = 0
        if notice.kind in _REPEATED:
            allowed = self._limiter.allow((name, notice.kind))
            if allowed is None:
                return
            held = allowed
        # Once is a handover; what goes on and on is two masters.
        level = logging.WARNING if notice.kind in _WARNINGS or held else logging.INFO
        extra = {"router": name, "notice": notice.kind.value}
        _log.log(level, "(%s) %s%s", name, notice.text, _repeats(held), extra=extra)

    def discarded(self, key: Hashable, who: str, source: IPAddress | None, interface: str, discard: Discard) -> None:
        """One line for a discarded packet, and then one a minute for others like it."""
        held = self._limiter.allow((who, interface, key))
        if held is None:
            return
        router = f"({who}) " if who else ""
        _log.warning(
            "%sdiscarded advertisement from %s on %s: %s%s",
            router,
            "an unknown source" if source is None else source,
            interface,
            discard.detail,
            _repeats(held),
            extra={"router": who, "discarded": discard.reason.value, "source": str(source), "interface": interface},
        )


def _repeats(held: int) -> str:
    return f" ({held} more like this were not logged)" if held else ""
