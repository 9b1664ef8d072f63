"""What keeps a router in FAULT right now, and what its tracked weights add up to: pure functions of what is known.

Nothing here remembers anything. The daemon asks again whenever an interface, an address or a check changes, and hands
the whole answer to the router.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from vrrpd.checks import CheckState, CheckStatus
from vrrpd.config.model import VirtualRouterConfig
from vrrpd.net.interfaces import InterfaceTable
from vrrpd.protocol.datagram import IPAddress
from vrrpd.protocol.events import Fault, FaultKind

CheckStatusOf: TypeAlias = Callable[[str], CheckStatus]
"""Answers where the check of that name stands."""


def current_faults(
    config: VirtualRouterConfig,
    table: InterfaceTable,
    source: IPAddress | None,
    check_status: CheckStatusOf,
    refused: Mapping[IPAddress, str],
    deaf: str | None = None,
) -> tuple[Fault, ...]:
    """Every fault of one router: interfaces, source address, checks without weight, addresses the kernel refused.

    ``refused`` maps a virtual address to the kernel's error; ``deaf`` says why nothing can be heard: a router that
    hears nobody must not think that there is nobody.
    """
    faults = [*_interface_faults(config, table)]
    if deaf is not None and not faults:
        detail = f"cannot listen on {config.interface} (IPv{config.family}): {deaf}"
        faults.append(Fault(FaultKind.INTERFACE, config.interface, detail))
    if source is None and not faults:
        faults.append(Fault(FaultKind.SOURCE_ADDRESS, config.interface, why_no_source(config, table)))
    for tracked in config.tracked_interfaces:
        if tracked.weight == 0 and (problem := link_problem(table, tracked.interface)):
            detail = f"tracked interface {tracked.interface} {problem}"
            faults.append(Fault(FaultKind.TRACKED_INTERFACE, tracked.interface, detail))
    for name in (tracked.check for tracked in config.tracked_checks if tracked.weight == 0):
        status = check_status(name)
        if status.state is CheckState.UNKNOWN:
            faults.append(Fault(FaultKind.AWAITING_CHECK, name, f"waiting for the first check ({name})"))
        elif status.state is CheckState.DOWN:
            faults.append(Fault(FaultKind.CHECK, name, f"check {name} failed: {status.reason}"))
    for address, error in refused.items():
        faults.append(Fault(FaultKind.INSTALL, str(address), f"the kernel refuses address {address}: {error}"))
    return tuple(faults)


def current_weight(config: VirtualRouterConfig, table: InterfaceTable, check_status: CheckStatusOf) -> tuple[int, str]:
    """The sum of all tracked weights and the parts that it is made of, for the log.

    A positive weight counts while its check is up or its interface is there, a negative one while it is not;
    ``reverse`` turns that round. A check without a result counts nothing.
    """
    parts: list[tuple[str, int]] = []
    for check in config.tracked_checks:
        state = check_status(check.check).state
        if check.weight and state is not CheckState.UNKNOWN:
            parts.append((f"check {check.check}", _counted(check.weight, check.reverse, state is CheckState.UP)))
    for tracked in config.tracked_interfaces:
        if tracked.weight:
            up = link_problem(table, tracked.interface) is None
            parts.append((f"interface {tracked.interface}", _counted(tracked.weight, tracked.reverse, up)))
    counted = [(what, weight) for what, weight in parts if weight]
    cause = ", ".join(f"{what} {weight:+d}" for what, weight in counted) or "no weight counts"
    return sum(weight for _, weight in counted), cause


def find_source(
    config: VirtualRouterConfig, table: InterfaceTable, is_virtual: Callable[[IPAddress], bool]
) -> IPAddress | None:
    """The address that advertisements come from: the configured one where the host has it, else by RFC 9568 7.2."""
    wanted = config.source_address
    if wanted is not None:
        return wanted if table.holds_anywhere(wanted) else None
    entries = table.addresses(config.interface)
    excluded = frozenset(entry.address for entry in entries if not entry.ours and is_virtual(entry.address))
    return table.source_address(config.interface, config.family, excluded)


def why_no_source(config: VirtualRouterConfig, table: InterfaceTable) -> str:
    """The sentence for the log when ``find_source`` found nothing."""
    if config.source_address is not None:
        return f"source address {config.source_address} is not an address of this host"
    return table.why_no_source(config.interface, config.family) or "no usable source address"


def link_problem(table: InterfaceTable, name: str) -> str | None:
    """What is wrong with an interface, as the end of a sentence; None when it is up and has carrier."""
    interface = table.interface(name)
    return "does not exist" if interface is None else interface.why_down()


def _interface_faults(config: VirtualRouterConfig, table: InterfaceTable) -> list[Fault]:
    devices = dict.fromkeys([config.interface, *(virtual.device for virtual in config.all_addresses)])
    faults = []
    for device in devices:
        problem = link_problem(table, device)
        if device == config.interface and not config.track_own_interface and problem != "does not exist":
            continue
        if problem:
            faults.append(Fault(FaultKind.INTERFACE, device, f"interface {device} {problem}"))
    return faults


def _counted(weight: int, reverse: bool, good: bool) -> int:
    counted = weight if (weight > 0) == good else 0
    return -counted if reverse else counted
