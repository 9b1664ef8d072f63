"""What is printed means the same when it is read again."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.config.strategies import SOURCE, configurations
from vrrpd.config.keepalived import parse
from vrrpd.config.model import Configuration
from vrrpd.config.render import to_keepalived_conf

SLOW_STRATEGY = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW_STRATEGY)
@given(configuration=configurations())
def test_a_printed_configuration_reads_as_the_same_configuration(configuration: Configuration) -> None:
    text = to_keepalived_conf(configuration)
    read, _ = parse(text, file=SOURCE)
    assert read == configuration
    assert to_keepalived_conf(read) == text
