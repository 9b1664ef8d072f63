"""From a configuration to what the protocol core takes: the moments at which the routers of one daemon advertise."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tests.config.reading import instance, read
from vrrpd.agenda import ROUTERS_PER_BATCH
from vrrpd.protocol.timing import seconds
from vrrpd.settings import PHASE_STEP, router_parameters


def phases(vrids: range, interval: str) -> list[float]:
    """When each of these routers advertises, in seconds after a multiple of the interval."""
    text = "".join(
        instance(f"version 3\nadvert_int {interval}", f"VI_{vrid}", f"198.18.1.{vrid}", vrid) for vrid in vrids
    )
    found = []
    for config in read(text).routers:
        parameters = router_parameters(config)
        assert parameters.advertisement_phase is not None
        assert seconds(parameters.max_advertise_interval) == float(interval)
        found.append(parameters.advertisement_phase)
    return found


def test_routers_advertise_one_after_the_other() -> None:
    found = sorted(phases(range(1, 255), "1"))
    assert all(later - sooner > 0.99 * PHASE_STEP for sooner, later in pairwise(found))
    assert found[-1] - found[0] < 0.26, "none is far from the next one"


def test_where_intervals_are_short_they_share_moments_but_no_more_than_leave_in_one_batch() -> None:
    shared = Counter(phases(range(1, 255), "0.1"))
    assert len(shared) == 16
    assert max(shared.values()) <= ROUTERS_PER_BATCH


@pytest.mark.parametrize("interval", ["0.01", "0.02", "0.25", "0.99", "1", "3", "40.95"])
def test_no_phase_is_longer_than_the_interval(interval: str) -> None:
    assert max(phases(range(200, 255), interval)) < float(interval)
