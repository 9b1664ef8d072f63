"""Environment variables as words, numbers and addresses, with every wrong one reported with what was expected.

Holds the names of all variables of the ipfailover contract and of ours; knows nothing of what they mean. Nothing of the
environment is ever run through a shell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Final

from vrrpd.config.keywords import decimal, ip, whole
from vrrpd.config.model import IPAddress
from vrrpd.config.report import Place, Report, seen

ENVIRONMENT: Final = "environment"
"""What a configuration that came from here calls its source."""
PLACE: Final = Place(ENVIRONMENT)

NAMES: Final = frozenset(
    {
        "OPENSHIFT_HA_CONFIG_NAME",
        "OPENSHIFT_HA_VIRTUAL_IPS",
        "OPENSHIFT_HA_VIP_GROUPS",
        "OPENSHIFT_HA_NETWORK_INTERFACE",
        "OPENSHIFT_HA_MONITOR_PORT",
        "OPENSHIFT_HA_CHECK_SCRIPT",
        "OPENSHIFT_HA_CHECK_INTERVAL",
        "OPENSHIFT_HA_NOTIFY_SCRIPT",
        "OPENSHIFT_HA_VRRP_ID_OFFSET",
        "OPENSHIFT_HA_REPLICA_COUNT",
        "OPENSHIFT_HA_USE_UNICAST",
        "OPENSHIFT_HA_UNICAST_PEERS",
        "OPENSHIFT_HA_IPTABLES_CHAIN",
        "OPENSHIFT_HA_NFTABLES_RULE",
        "OPENSHIFT_HA_PREEMPTION",
        "OPENSHIFT_HA_SELECTOR",
        "OPENSHIFT_HA_ADMIN_EMAILS",
        "OPENSHIFT_HA_SMTP_SERVER",
        "HA_EXCLUDED_VRRP_IDS",
        "MULTICAST_SOURCE_IPADDRESS",
        "UNICAST_SOURCE_IPADDRESS",
        "VRRPD_VERSION",
        "VRRPD_ADVERT_INTERVAL",
        "VRRPD_NODES",
        "VRRPD_NODE_ADDRESS",
        "VRRPD_PRIORITY",
        "VRRPD_MONITOR_ADDRESS",
        "VRRPD_ACCEPT_SOURCES",
        "VRRPD_INSTANCE",
        "VRRPD_KEEP_VIPS",
        "VRRPD_LOG_FORMAT",
        "VRRPD_LOG_LEVEL",
        "VRRPD_PROCESS_NAME",
        "VRRPD_SCRIPT_USER",
    }
)
"""Every variable that is read, here or by the command line."""

LONGEST_VALUE: Final = 128 * 1024
"""Characters: more than Linux lets a program have in one variable (MAX_ARG_STRLEN)."""

OURS: Final = ("OPENSHIFT_HA_", "VRRPD_", "HA_EXCLUDED_")
"""What a variable begins with that is meant for this program."""

SERVICE_LINK: Final = re.compile(
    r"[A-Z0-9_]+_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)?)", re.ASCII
)
"""Variables that Kubernetes sets for a service; one that is called vrrpd begins with our prefix."""

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "VRRPD_LOG_FORMAT": ("text", "json"),
    "VRRPD_LOG_LEVEL": ("debug", "info", "warning", "error"),
}
"""Variables that take one of some words, and stand in for an option of the command line."""


class Variables:
    """The environment of a process, an empty value being an unset one."""

    def __init__(self, environment: Mapping[str, str], report: Report) -> None:
        self.report = report
        self._values: dict[str, str] = {}
        for name, value in environment.items():
            if len(value) <= LONGEST_VALUE:
                if stripped := value.strip():
                    self._values[name] = stripped
            elif name in NAMES:
                self.error(f"{name} has {len(value)} characters, expected at most {LONGEST_VALUE}")

    def given(self, name: str) -> bool:
        """Whether the variable has a value."""
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """The value without blanks around it."""
        return self._values.get(name, default)

    def words(self, name: str) -> list[str]:
        """The value cut at commas and blanks."""
        return [word for word in re.split(r"[,\s]+", self.text(name)) if word]

    def wrong(self, name: str, expected: str) -> None:
        """Report the value of a variable as an error."""
        self.error(f"{name} is {seen(self.text(name))}, expected {expected}")

    def error(self, message: str) -> None:
        """Report an error that names its variable itself."""
        self.report.error(PLACE, message)

    def warning(self, message: str) -> None:
        """Report a warning that names its variable itself."""
        self.report.warning(PLACE, message)

    def flag(self, name: str) -> bool:
        """Whether the variable says true; unset is false."""
        text = self.text(name, "false").lower()
        if text not in ("true", "false"):
            self.wrong(name, "true or false")
        return text == "true"

    def number(self, name: str, low: int, high: int, default: int) -> int:
        """A whole number; the default where the variable is unset or wrong."""
        if not self.given(name):
            return default
        value = whole(self.text(name))
        if value is None or not low <= value <= high:
            self.wrong(name, f"a whole number from {low} to {high}")
            return default
        return value

    def seconds(self, name: str, low: str, high: str, default: str) -> Decimal:
        """A time in seconds with fractions down to a microsecond."""
        if not self.given(name):
            return Decimal(default)
        value = decimal(self.text(name))
        if value is None or not Decimal(low) <= value <= Decimal(high):
            self.wrong(name, f"{low} to {high} seconds")
            return Decimal(default)
        return round(value, 6)

    def address(self, name: str) -> IPAddress | None:
        """One IP address."""
        if not self.given(name):
            return None
        value = ip(self.text(name))
        if value is None or not can_be_a_node(value):
            self.wrong(name, "an IPv4 or IPv6 unicast address")
            return None
        return value

    def addresses(self, name: str) -> tuple[IPAddress, ...]:
        """A list of IP addresses, each of them once."""
        found: dict[IPAddress, None] = {}
        for word in self.words(name):
            value = ip(word)
            if value is None or not can_be_a_node(value):
                self.error(f"{name} holds {seen(word)}, expected IPv4 or IPv6 unicast addresses with commas between")
            elif value in found:
                self.warning(f"{name} holds {value} twice: it counts once")
            else:
                found[value] = None
        return tuple(found)

    def check_choices(self) -> None:
        """Report the variables that the command line reads and that are wrong."""
        for name, words in CHOICES.items():
            if self.given(name) and self.text(name) not in words:
                self.wrong(name, " or ".join(words))

    def warn_of_unknown(self) -> None:
        """Warn of variables that look as if they were meant for us and are not read by anything."""
        for name in sorted(self._values):
            if not name.startswith(OURS) or name in NAMES or SERVICE_LINK.fullmatch(name):
                continue
            guess = get_close_matches(name[:60], NAMES, n=1, cutoff=0.8)
            hint = f", expected {guess[0]} perhaps" if guess else ""
            self.warning(f"unknown variable {seen(name)} is ignored{hint}")


def can_be_a_node(address: IPAddress) -> bool:
    """Whether an address can be a node's own, a peer's or a check's target."""
    broadcast = address.version == 4 and int(address) == 0xFFFFFFFF
    return not (address.is_multicast or address.is_unspecified or broadcast)
