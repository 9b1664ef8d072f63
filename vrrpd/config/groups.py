"""Virtual addresses to groups: how ``OPENSHIFT_HA_VIRTUAL_IPS`` is divided, and what name and id each group gets.

A group is one virtual router. Division, names and ids are the deployed ipfailover image's, since its old pods and its
users' notify scripts know them. Knows nothing of nodes, checks and the host.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vrrpd.config.keywords import whole
from vrrpd.config.model import Family, IPAddress
from vrrpd.config.ranges import Listed, RangeError, addresses_of
from vrrpd.config.report import seen
from vrrpd.config.variables import Variables

DEFAULT_NAME: Final = "OpenShift-IPFailover"
HIGHEST_ID: Final = 255
MOST_VIPS: Final = 254
"""The manuals' limit for a cluster; more are only warned of."""
MOST_VIPS_AT_ALL: Final = 16384

CONFIG_NAME: Final = "OPENSHIFT_HA_CONFIG_NAME"
VIRTUAL_IPS: Final = "OPENSHIFT_HA_VIRTUAL_IPS"
VIP_GROUPS: Final = "OPENSHIFT_HA_VIP_GROUPS"
OFFSET: Final = "OPENSHIFT_HA_VRRP_ID_OFFSET"
EXCLUDED_IDS: Final = "HA_EXCLUDED_VRRP_IDS"
EXAMPLE: Final = "virtual addresses such as 192.0.2.4-6,192.0.2.9"


@dataclass(frozen=True, slots=True)
class Group:
    """Virtual addresses that move together."""

    number: int
    name: str
    """What notify scripts see."""
    vrid: int
    listed: tuple[Listed, ...]

    @property
    def family(self) -> Family:
        """Of the first address: those of the other family are installed along with it, never advertised."""
        return self.listed[0].address.version


def plain_name(name: str) -> str:
    """The part of a configuration's name that instances are called by: ``ipf-1`` gives ``ipf_1``."""
    return re.sub(r"[^A-Za-z0-9_-]", "", name).replace("-", "_")


def virtual_addresses(variables: Variables, with_old_pods: bool) -> tuple[Listed, ...]:
    """The addresses of the list, each once, in order.

    With old pods around an address that is listed twice is an error: the old image makes a group of each, so the groups
    behind it would have other ids here.
    """
    if not variables.given(VIRTUAL_IPS):
        variables.error(f"{VIRTUAL_IPS} is not set, expected {EXAMPLE}")
        return ()
    found: dict[IPAddress, Listed] = {}
    words = [word for word in re.split(r"[,\s]+", re.sub(r"\s*-\s*", "-", variables.text(VIRTUAL_IPS))) if word]
    if not words:
        variables.wrong(VIRTUAL_IPS, EXAMPLE)
    for word in words:
        try:
            new = addresses_of(word)
        except RangeError as error:
            variables.error(f"{VIRTUAL_IPS}: {error}")
            continue
        for one in new:
            if one.address in found and with_old_pods:
                variables.error(
                    f"{VIRTUAL_IPS} holds {one.address} twice, expected once: the groups behind it would not have the "
                    "ids that old pods give them"
                )
            elif one.address in found:
                variables.warning(f"{VIRTUAL_IPS} holds {one.address} twice: it counts once")
            found.setdefault(one.address, one)
        if len(found) > MOST_VIPS_AT_ALL:
            variables.error(f"{VIRTUAL_IPS} holds more than {MOST_VIPS_AT_ALL} addresses, expected fewer")
            break
    if len(found) > MOST_VIPS:
        variables.warning(
            f"{VIRTUAL_IPS} holds {len(found)} addresses: OpenShift's manuals allow {MOST_VIPS} in a cluster"
        )
    return tuple(found.values())


def divide(variables: Variables, listed: Sequence[Listed], with_old_pods: bool) -> tuple[Group, ...]:
    """The groups, as even as possible: the first ones get one address more. Without a number each address is one."""
    wanted = variables.number(VIP_GROUPS, 0, MOST_VIPS_AT_ALL, 0)
    if wanted > len(listed) > 0:
        variables.warning(
            f"{VIP_GROUPS} is {wanted} but there are {len(listed)} virtual addresses: each is a group of its own"
        )
    count = min(wanted or len(listed), len(listed))
    name = plain_name(variables.text(CONFIG_NAME, DEFAULT_NAME))
    names = [f"{name}_VIP_{number}" for number in range(1, count + 1)]
    ids = _ids(variables, with_old_pods, names)
    groups = []
    start = 0
    for number, (group_name, vrid) in enumerate(zip(names, ids, strict=False), 1):
        size = len(listed) // count + (number <= len(listed) % count)
        groups.append(Group(number, group_name, vrid, tuple(listed[start : start + size])))
        start += size
    return tuple(groups)


def _ids(variables: Variables, with_old_pods: bool, names: Sequence[str]) -> list[int]:
    """The virtual router ids that there are for groups of these names, in order: perhaps fewer, which is an error."""
    if with_old_pods and not variables.given(OFFSET):
        variables.error(
            f"{OFFSET} is not set, expected with VRRPD_VERSION=2 the one that the old pods use (0 in the manuals, 10 "
            "in newer images): with other ids old and new pods do not hear each other and both hold the addresses"
        )
    excluded = set()
    for word in variables.words(EXCLUDED_IDS):
        number = whole(word)
        if number is None or not 1 <= number <= HIGHEST_ID:
            variables.error(f"{EXCLUDED_IDS} holds {seen(word)}, expected ids from 1 to {HIGHEST_ID}")
        else:
            excluded.add(number)
    offset = variables.number(OFFSET, 0, HIGHEST_ID, 0)
    ids = [vrid for vrid in range(offset + 1, HIGHEST_ID + 1) if vrid not in excluded]
    if len(names) > len(ids):
        skipped = f" (and {EXCLUDED_IDS} skips some)" if excluded else ""
        variables.error(
            f"{OFFSET} is {offset}{skipped}: group {len(ids) + 1} of {len(names)} ({names[len(ids)]}) would get a "
            f"virtual router id above {HIGHEST_ID}, expected at most {len(ids)} groups with this offset: lower it or "
            f"set {VIP_GROUPS}"
        )
    return ids
