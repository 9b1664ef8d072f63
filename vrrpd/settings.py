"""From the configuration model to what the protocol core takes: pure translation, one router at a time."""

from __future__ import annotations

from typing import Final

from vrrpd.config.model import InitialState, VirtualRouterConfig
from vrrpd.protocol.admission import AdmissionPolicy, Peer
from vrrpd.protocol.packet import ChecksumForm
from vrrpd.protocol.parameters import RouterParameters
from vrrpd.protocol.timing import seconds
from vrrpd.runner import RunnerSettings

MOST_PHASES: Final = 100
"""Into how many moments an interval is divided at most: routers take turns, so that no takeover waits for hundreds."""
PHASES_PER_SECOND: Final = 20
LONG_PHASES_PER_SECOND: Final = 50
"""How many such moments there are in a second, with short intervals and with those of a second: routers of one moment
share a wake-up, which costs more than an advertisement does. The shorter the interval, the more often it is paid."""


def runner_settings(config: VirtualRouterConfig) -> RunnerSettings:
    """Everything a runner needs of one ``vrrp_instance``."""
    group = config.multicast_group
    destinations = tuple(peer.address for peer in config.unicast_peers) if group is None else (group,)
    return RunnerSettings(
        name=config.name,
        parameters=router_parameters(config),
        admission=AdmissionPolicy(
            version=config.version,
            max_advertise_interval=config.advertisement_interval,
            group=config.multicast_group,
            peers={peer.address: Peer(peer.min_ttl, peer.max_ttl) for peer in config.unicast_peers},
            accept_sources=config.accept_sources,
            password=config.authentication.password if config.authentication else None,
            strict=config.strict,
            ignore_all=config.owner_ignores_advertisements,
        ),
        destinations=destinations,
        checksum_form=(
            ChecksumForm.MESSAGE_ONLY
            if config.checksum_without_pseudo_header and config.family == 4
            else ChecksumForm.PSEUDO_HEADER
        ),
    )


def router_parameters(config: VirtualRouterConfig) -> RouterParameters:
    """The protocol's parameters of one ``vrrp_instance``."""
    return RouterParameters(
        vrid=config.vrid,
        version=config.version,
        priority=config.priority,
        max_advertise_interval=config.advertisement_interval,
        addresses=tuple(virtual.address for virtual in config.addresses),
        preempt=config.preempt,
        preempt_delay=config.preempt_delay,
        owner_starts_as_master=config.initial_state is not InitialState.BACKUP,
        advertisement_phase=_phase(config.vrid, seconds(config.advertisement_interval)),
        down_advertisements=config.down_advertisements,
        answer_lower_priority=config.answer_lower_priority,
        advertise_before_yielding=config.advertise_before_yielding,
        announcements=config.announcements.times,
    )


def _phase(vrid: int, interval: float) -> float:
    per_second = min(LONG_PHASES_PER_SECOND, max(PHASES_PER_SECOND, LONG_PHASES_PER_SECOND * interval))
    phases = max(1, min(MOST_PHASES, int(per_second * interval)))
    return vrid % phases * interval / phases
