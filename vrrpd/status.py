"""The status document: everything that is known about every router, as plain JSON values.

Its shape is public: docs/schema/status.schema.json describes it and a test holds it to that. Fields are added, never
renamed; ``schema`` counts up when one has to go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from vrrpd.checks import CheckStatus
from vrrpd.conflicts import HARMLESS, Conflict, ConflictKind, ConflictLedger
from vrrpd.links import Link
from vrrpd.protocol.actions import StateName
from vrrpd.protocol.events import FaultKind
from vrrpd.protocol.peers import Peer
from vrrpd.protocol.states import Backup, Master
from vrrpd.protocol.timing import seconds
from vrrpd.runner import Statistics
from vrrpd.unit import RouterUnit

JsonObject: TypeAlias = dict[str, Any]

_Named = TypeVar("_Named", bound=Enum)

SCHEMA = 1
_WORKING_FAULTS = frozenset({FaultKind.CHECK.value, FaultKind.TRACKED_INTERFACE.value})
"""Faults that are a router's job to have."""


def timestamp(wall_clock: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    return datetime.fromtimestamp(wall_clock, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def router_status(unit: RouterUnit, ledger: ConflictLedger, now: float) -> JsonObject:
    """One virtual router; ``now`` is the runner's clock."""
    config, runner = unit.config, unit.runner
    router, state, change = runner.router, runner.router.state, runner.last_change
    master, master_priority, learned = _master(unit)
    deadline = runner.deadline
    conflicts = ledger.ongoing(unit.key)
    return {
        "name": config.name,
        "interface": config.interface,
        "family": f"ipv{config.family}",
        "vrid": config.vrid,
        "version": int(config.version),
        "mode": "unicast" if config.unicast else "multicast",
        "accept_sources": [str(network) for network in config.accept_sources],
        "state": state.name.value,
        "time_in_state": round(now - runner.since, 6),
        "last_transition": None
        if change is None
        else {
            "from": change.previous.value,
            "to": change.state.value,
            "reason": change.reason,
            "time": timestamp(unit.last_change_wall_clock),
        },
        "faults": [
            {"kind": fault.kind.value, "subject": fault.subject, "detail": fault.detail} for fault in unit.faults
        ],
        "priority": {
            "configured": config.priority,
            "effective": router.priority,
            "explanation": unit.weight_cause,
        },
        "source_address": _text(unit.source),
        "master": {"address": master, "priority": master_priority, "is_self": isinstance(state, Master)},
        "advertisement_interval": seconds(config.advertisement_interval),
        "master_advertisement_interval": learned,
        "next_timer": None if deadline is None else round(deadline - now, 6),
        "preempt": config.preempt,
        "preempt_delay": config.preempt_delay,
        "preempt_delay_remaining": _preempt_delay_remaining(unit, now),
        "checksum_form": runner.settings.checksum_form.value if config.family == 4 and config.version == 3 else None,
        "addresses": [
            {
                "address": str(virtual.address),
                "prefix_length": virtual.prefix_length,
                "device": virtual.device,
                "advertised": virtual in config.addresses,
                "installed": virtual.address in unit.port.installed,
                "was_there_before": virtual.address in unit.port.was_there,
            }
            for virtual in config.all_addresses
        ],
        "checks": [tracked.check for tracked in config.tracked_checks],
        "counters": _counters(runner.statistics),
        "discarded": _by_name(runner.statistics.discarded),
        "notices": dict(sorted(runner.statistics.notices.items())),
        "peers": [_peer(peer, now) for peer in runner.peers.peers],
        "conflicts": [_conflict(conflict, now) for conflict in conflicts],
        "conflicts_begun": _by_name(ledger.begun(unit.key)),
        "collisions": [str(one.other) for one in conflicts if one.kind is ConflictKind.ID_COLLISION],
    }


def link_status(link: Link) -> JsonObject:
    """One receiving socket, and what it heard that was for none of our routers."""
    return {
        "interface": link.interface,
        "family": f"ipv{link.family}",
        "vrids": sorted(link.routers),
        "discarded": _by_name(link.discarded),
    }


def check_status(status: CheckStatus, now: float) -> JsonObject:
    """One check; ``now`` is the event loop's clock."""
    return {
        "name": status.name,
        "state": status.state.value,
        "reason": status.reason,
        "time_in_state": round(now - status.since, 6),
        "last_result": status.last_result,
        "last_run": None if status.last_run is None else round(now - status.last_run, 6),
        "last_duration": None if status.last_duration is None else round(status.last_duration, 6),
        "runs": status.runs,
        "failures": status.failures,
        "skipped": status.skipped,
        "consecutive": status.consecutive,
    }


def text_table(document: JsonObject) -> str:
    """The status document for a person: one line for each router, and one for each thing that is wrong."""
    rows: list[tuple[str, ...]] = [("ROUTER", "STATE", "FOR", "PRIORITY", "MASTER", "INTERFACE", "VRID", "ADDRESSES")]
    notes: list[str] = []
    for router in document["routers"]:
        rows.append(_row(router))
        notes += _notes(router)
    for check in document["checks"]:
        if check["state"] != "up":
            notes.append(f"check {check['name']} is {check['state']}: {check['reason'] or 'no result yet'}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def not_ready(document: JsonObject) -> list[str]:
    """Why a daemon cannot do its work, by the status document: one sentence for each router that cannot.

    A router in FAULT because its check fails does its work; one without interface or address, or in INIT, does not.
    """
    problems = []
    for router in document["routers"]:
        blocking = [fault["detail"] for fault in router["faults"] if fault["kind"] not in _WORKING_FAULTS]
        if router["state"] == StateName.INIT.value:
            problems.append(f"({router['name']}) is in INIT")
        elif blocking:
            problems.append(f"({router['name']}) is in FAULT: {'; '.join(blocking)}")
    return problems


def _row(router: JsonObject) -> tuple[str, ...]:
    priority = router["priority"]
    configured, effective = priority["configured"], priority["effective"]
    addresses = [entry["address"] for entry in router["addresses"]]
    master = router["master"]
    return (
        router["name"],
        router["state"],
        _duration(router["time_in_state"]),
        str(effective) if configured == effective else f"{effective} ({configured})",
        "this host" if master["is_self"] else master["address"] or "-",
        router["interface"],
        str(router["vrid"]),
        addresses[0] if len(addresses) == 1 else f"{addresses[0]} and {len(addresses) - 1} more",
    )


def _notes(router: JsonObject) -> Iterable[str]:
    if change := router["last_transition"]:
        yield f"({router['name']}) {change['from']} -> {change['to']} at {change['time']}: {change['reason']}"
    for fault in router["faults"]:
        yield f"({router['name']}) in FAULT: {fault['detail']}"
    for conflict in router["conflicts"]:
        for_now = f"for {_duration(conflict['duration'])}"
        word = "note" if conflict["harmless"] else "CONFLICT"
        yield f"({router['name']}) {word} {for_now}: {conflict['detail']}; {conflict['remedy']}"
    if router["discarded"]:
        counts = ", ".join(f"{reason} {count}" for reason, count in router["discarded"].items())
        yield f"({router['name']}) discarded: {counts}"


def _duration(duration: float) -> str:
    if duration < 60:
        return f"{duration:.1f}s"
    minutes, _ = divmod(int(duration), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours}h"
    return f"{hours}h{minutes}m" if hours else f"{minutes}m{int(duration) % 60}s"


def _master(unit: RouterUnit) -> tuple[str | None, int | None, float | None]:
    """Address, priority and interval of the master as far as this router knows."""
    match unit.runner.router.state:
        case Master():
            return _text(unit.source), unit.runner.router.priority, seconds(unit.config.advertisement_interval)
        case Backup() as backup:
            return _text(backup.master), backup.master_priority, seconds(backup.master_adver_interval)
        case _:
            return None, None, None


def _preempt_delay_remaining(unit: RouterUnit, now: float) -> float | None:
    state = unit.runner.router.state
    if isinstance(state, Backup) and state.preempt_delay_until is not None:
        return round(max(0.0, state.preempt_delay_until - now), 6)
    return None


def _counters(statistics: Statistics) -> JsonObject:
    return {
        "advertisements_received": statistics.advertisements_received,
        "advertisements_sent": statistics.advertisements_sent,
        "priority_zero_received": statistics.priority_zero_received,
        "priority_zero_sent": statistics.priority_zero_sent,
        "became_master": statistics.became_master,
        "released_master": statistics.released_master,
        "checksum_forms": _by_name(statistics.checksum_forms),
    }


def _peer(peer: Peer, now: float) -> JsonObject:
    last = peer.last
    return {
        "address": str(peer.source),
        "last_heard": round(now - peer.last_heard, 6),
        "accepted": peer.accepted,
        "discarded": _by_name(peer.discarded),
        "priority": None if last is None else last.priority,
        "version": None if last is None else int(last.version),
        "advertisement_interval": None if last is None else seconds(last.max_advertise_interval),
        "checksum_form": None if peer.checksum_form is None else peer.checksum_form.value,
        "remarks": sorted(kind.value for kind in peer.remarks),
    }


def _conflict(conflict: Conflict, now: float) -> JsonObject:
    began = conflict.first_seen if conflict.began is None else conflict.began
    return {
        "kind": conflict.kind.value,
        "with": str(conflict.other),
        "address": _text(conflict.address),
        "detail": conflict.detail,
        "remedy": conflict.remedy,
        "harmless": conflict.kind in HARMLESS,
        "duration": round(now - began, 6),
        "last_seen": round(now - conflict.last_seen, 6),
        "count": conflict.count,
    }


def _by_name(counts: Mapping[_Named, int]) -> dict[str, int]:
    """Counts by the public names of an enum, in the order of those names."""
    return dict(sorted((key.value, count) for key, count in counts.items()))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
