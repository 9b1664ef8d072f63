"""From the configuration model to what the protocol core takes: pure translation, one router at a time."""

from __future__ import annotations

from typing import Final

from vrrpd.config.model import InitialState, VirtualRouterConfig
from vrrpd.protocol.admission import AdmissionPolicy, Peer
from vrrpd.protocol.packet import ChecksumForm
from vrrpd.protocol.parameters import RouterParameters
from vrrpd.protocol.timing import seconds
from vrrpd.runner import RunnerSettings

PHASE_STEP: Final = 0.001
"""Seconds from one router's advertisement to the next one's: routers go in single file, each at the heels of the one
before. When their master dies, a backup takes over one after the other while it is busy with just that: nobody waits
for hundreds, and only the first of them finds a processor that sleeps and caches that know nothing of this."""
PHASES: Final = 255
"""How many such moments there are: one for each router id."""
PHASES_PER_SECOND: Final = 160
"""How many there are in a second where intervals are shorter than that: routers share them then, because to wake up
costs more than an advertisement does."""


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
    phases = PHASES if interval >= 1.0 else max(1, int(PHASES_PER_SECOND * interval))
    return vrid % phases * PHASE_STEP
