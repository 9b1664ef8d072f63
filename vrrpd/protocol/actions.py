"""What a virtual router asks for. The order of a list of actions is a contract: whoever applies it keeps it.

Becoming MASTER is: send an advertisement, install the addresses, announce them, state changed (RFC 9568 section 6.4.2
with the addresses in place before anything is announced). Leaving by fault or shutdown is: send priority 0, withdraw,
state changed. Handing over is: send an advertisement as usual, leave the addresses to the kernel, state changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from vrrpd.protocol.datagram import IPAddress


class StateName(Enum):
    """The four states under the operators' names (RFC 9568 calls INIT Initialize and MASTER Active)."""

    INIT = "INIT"
    BACKUP = "BACKUP"
    MASTER = "MASTER"
    FAULT = "FAULT"


class NoticeKind(Enum):
    """Things worth knowing that change no state. The values are public names (log, metrics)."""

    INTERVAL_LEARNED = "interval_learned"
    PRIORITY_CHANGED = "priority_changed"
    PREEMPT_DELAY_STARTED = "preempt_delay_started"
    PREEMPT_DELAY_STOPPED = "preempt_delay_stopped"
    PREEMPTING = "preempting"
    PRIORITY_ZERO_RECEIVED = "priority_zero_received"
    LOSING_ADVERTISEMENT = "losing_advertisement"
    """A MASTER heard a router that loses to it: the event behind ``notify_master_rx_lower_pri``."""
    SECOND_MASTER = "second_master"
    """A BACKUP heard a router that should have given way to the master that it hears."""
    SECOND_OWNER = "second_owner"
    SAME_SOURCE = "same_source"
    EQUAL_PRIORITY = "equal_priority"
    """Another router of the group has our priority: its address decides."""
    ADDRESSES_TAKEN = "addresses_taken"
    FAULTS_CHANGED = "faults_changed"
    LATE = "late"
    CHECKSUM_FORM = "checksum_form"
    INTERVAL_DIFFERS = "interval_differs"
    ADDRESSES_DIFFER = "addresses_differ"
    FIRST_ADDRESS_GLOBAL = "first_address_global"


@dataclass(frozen=True, slots=True)
class SendAdvertisement:
    """Send an advertisement with this priority to the group or to every peer."""

    priority: int


@dataclass(frozen=True, slots=True)
class InstallAddresses:
    """Put virtual addresses on their interfaces: all of them, or ``only`` these."""

    only: frozenset[IPAddress] | None = None


@dataclass(frozen=True, slots=True)
class WithdrawAddresses:
    """Take the virtual addresses off and drop what announcements of them are still waiting."""


@dataclass(frozen=True, slots=True)
class LeaveAddresses:
    """Leave the addresses where they are, for the kernel to take off after ``lifetime`` (whole seconds)."""

    lifetime: int


@dataclass(frozen=True, slots=True)
class Announce:
    """Send ``repeat`` gratuitous ARPs or unsolicited NAs for every virtual address, or for ``only`` these."""

    repeat: int
    only: frozenset[IPAddress] | None = None


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The router has another state, and why: the packet, timer, check or link that did it."""

    previous: StateName
    state: StateName
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something for the log and the counters."""

    kind: NoticeKind
    text: str
    source: IPAddress | None = None
    """The other router, where it is about one."""


Action: TypeAlias = (
    SendAdvertisement | InstallAddresses | WithdrawAddresses | LeaveAddresses | Announce | StateChanged | Notice
)
