"""Any environment, a sensible one or not, is a configuration or errors that say what was expected."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.config.environments import NODE, host
from vrrpd.config.environment import load
from vrrpd.config.host import HostFacts
from vrrpd.config.keepalived import parse as parse_file
from vrrpd.config.model import (
    Configuration,
    ConfigurationError,
)
from vrrpd.config.render import to_keepalived_conf
from vrrpd.config.variables import NAMES

HOSTS = (
    HostFacts(),
    NODE,
    host(ens3="198.51.100.1/32 2001:db8::101/64", default="ens3"),
    host(default=None, eth1=""),
    host(eth0="fe80::1/64", options="-D"),
)
WORDS = (
    "", "0", "1", "2", "3", "255", "256", "-1", "1.5", "x", "ä", "$(id)", "\udcff", "\x01", "a b", "'\"{", "true",
    "json", "192.0.2.4", "192.0.2.4-6", "192.0.2.101-110", "192.0.2.11,192.0.2.12", "2001:db8::1f39-1f3b", "fe80::1",
    "192.0.2.4/24-7", "198.51.100.1", "224.0.0.18", "255.255.255.255", "0.0.0.0", "::", "192.0.2.0-198.51.100.0", "-",
    "preempt_delay 300", "preempt_delay", "nopreempt", "/bin/true", "bin/false", "/a b'\"{}$X\\", "INPUT", "-F", "eth0",
)  # fmt: skip
values = st.sampled_from(WORDS) | st.text(st.characters(exclude_characters="\0"), max_size=20)
plausible: dict[str, tuple[str, ...]] = {
    "OPENSHIFT_HA_CONFIG_NAME": ("", "ipf-1", "ä'\"{ }", "\udcff\udcfe", "!", "x" * 300),
    "OPENSHIFT_HA_VIRTUAL_IPS": ("192.0.2.101-110", "192.0.2.101-104,2001:db8::1-8", "2001:db8::1-78", "192.0.2.1/24"),
    "OPENSHIFT_HA_VIP_GROUPS": ("", "1", "3"),
    "OPENSHIFT_HA_NETWORK_INTERFACE": ("", "ens3", "a{b'"),
    "OPENSHIFT_HA_MONITOR_PORT": ("", "0", "443"),
    "OPENSHIFT_HA_CHECK_SCRIPT": ("", "/bin/true", "a b", "/a b'\"{}$X\\#!\n", "/\x01"),
    "OPENSHIFT_HA_CHECK_INTERVAL": ("", "0.123456789", "7"),
    "OPENSHIFT_HA_NOTIFY_SCRIPT": ("", "/etc/n", "</dev/tcp/x/1", "A=b"),
    "OPENSHIFT_HA_VRRP_ID_OFFSET": ("0", "10", "200"),
    "OPENSHIFT_HA_UNICAST_PEERS": ("", "192.0.2.11,192.0.2.12,2001:db8::11", "192.0.2.11,2001:db8::11"),
    "OPENSHIFT_HA_IPTABLES_CHAIN": ("", "INPUT", "a'\"{"),
    "OPENSHIFT_HA_NFTABLES_RULE": ("", "1"),
    "OPENSHIFT_HA_PREEMPTION": ("", "nopreempt", "preempt_delay 0.1234567", "preempt_nodelay 300"),
    "HA_EXCLUDED_VRRP_IDS": ("", "1 2 3"),
    "UNICAST_SOURCE_IPADDRESS": ("", "192.0.2.11", "2001:db8::11"),
    "MULTICAST_SOURCE_IPADDRESS": ("", "192.0.2.11", "2001:db8::11"),
    "VRRPD_VERSION": ("", "2", "3"),
    "VRRPD_ADVERT_INTERVAL": ("", "0.01", "3", "99"),
    "VRRPD_NODES": ("", "192.0.2.11 192.0.2.12", "2001:db8::11"),
    "VRRPD_NODE_ADDRESS": ("", "192.0.2.11", "2001:db8::11"),
    "VRRPD_PRIORITY": ("", "100"),
    "VRRPD_MONITOR_ADDRESS": ("", "198.51.100.9", "2001:db8::99"),
    "VRRPD_INSTANCE": ("", "a/b", "second"),
    "VRRPD_SCRIPT_USER": ("", "nobody", "1000 2000", "a b c"),
    "VRRPD_KEEP_VIPS": ("", "true", "false"),
}
likely = st.fixed_dictionaries({name: st.sampled_from(choices) for name, choices in plausible.items()})


def outcome(environment: Mapping[str, str], facts: HostFacts) -> Configuration | ConfigurationError:
    """What comes of an environment; anything but these two is a failure."""
    try:
        return load(environment, facts)[0]
    except ConfigurationError as error:
        return error


def check_any(environment: Mapping[str, str], facts: HostFacts) -> bool:
    """Whether it is a configuration, which must read back as itself; else its errors must say what was expected."""
    result = outcome(environment, facts)
    if isinstance(result, ConfigurationError):
        errors = [one.message for one in result.diagnostics if one.fatal]
        assert errors
        assert all(", expected " in message for message in errors)
        return False
    again, complaints = parse_file(to_keepalived_conf(result), file="environment")
    assert again == result
    # Those of IPv6 groups that begin with a global address, told once here and for each group there.
    assert all("RFC 9568 section 5.2.9" in one.message for one in complaints)
    return True


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    environment=st.dictionaries(st.sampled_from(sorted(NAMES)) | st.just("VRRPD_X"), values),
    vip_list=values,
    facts=st.sampled_from(HOSTS),
)
def test_any_environment_is_a_configuration_or_named_errors(
    environment: dict[str, str], vip_list: str, facts: HostFacts
) -> None:
    check_any({**environment, "OPENSHIFT_HA_VIRTUAL_IPS": vip_list}, facts)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(environment=likely, facts=st.sampled_from(HOSTS))
def test_a_likely_environment_reads_back_as_the_configuration_that_is_printed(
    environment: dict[str, str], facts: HostFacts
) -> None:
    check_any(environment, facts)


def test_version_2_without_addresses_and_offset_is_named_errors() -> None:
    assert not check_any({"VRRPD_VERSION": "2", "OPENSHIFT_HA_VIRTUAL_IPS": ""}, HostFacts())


def test_most_likely_environments_are_configurations() -> None:
    first = {name: choices[0] for name, choices in plausible.items()}
    assert all(check_any(first, facts) for facts in HOSTS)
