"""Environments of ipfailover pods, the hosts that they run on, and what is read from them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_interface

import pytest

from vrrpd.config.environment import parse
from vrrpd.config.host import HostFacts
from vrrpd.config.model import (
    Check,
    Configuration,
    ConfigurationError,
    VirtualRouterConfig,
)

VIPS = {"OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101-103"}
QUIET = {**VIPS, "OPENSHIFT_HA_IPTABLES_CHAIN": "INPUT"}
MANUAL = {
    "OPENSHIFT_HA_CONFIG_NAME": "ipfailover",
    "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101-102",
    "OPENSHIFT_HA_VIP_GROUPS": "10",
    "OPENSHIFT_HA_NETWORK_INTERFACE": "ens3",
    "OPENSHIFT_HA_MONITOR_PORT": "30060",
    "OPENSHIFT_HA_VRRP_ID_OFFSET": "0",
    "OPENSHIFT_HA_REPLICA_COUNT": "2",
    "OPENSHIFT_HA_USE_UNICAST": "false",
    "OPENSHIFT_HA_IPTABLES_CHAIN": "INPUT",
    "OPENSHIFT_HA_NOTIFY_SCRIPT": "/etc/keepalive/mynotifyscript.sh",
    "OPENSHIFT_HA_CHECK_SCRIPT": "/etc/keepalive/mycheckscript.sh",
    "OPENSHIFT_HA_PREEMPTION": "preempt_delay 300",
    "OPENSHIFT_HA_CHECK_INTERVAL": "2",
}
"""The Deployment that the manuals print."""


def host(*, default: str | None = "eth0", options: str = "", **interfaces: str) -> HostFacts:
    """A host; addresses are words with a prefix length."""
    known = {name: tuple(ip_interface(word) for word in text.split()) for name, text in interfaces.items()}
    return HostFacts("node1", known, default, options)


NODE = host(lo="127.0.0.1/8 ::1/128", eth0="192.0.2.11/24 2001:db8::11/64 fe80::11/64")


def read(environment: Mapping[str, str] | None = None, facts: HostFacts = NODE, **more: str) -> Configuration:
    return parse({**(QUIET if environment is None else environment), **more}, facts)[0]


def warned(environment: Mapping[str, str] | None = None, facts: HostFacts = NODE, **more: str) -> list[str]:
    found = parse({**(QUIET if environment is None else environment), **more}, facts)[1]
    return [str(one).removeprefix("environment: warning: ") for one in found]


def wrong(environment: Mapping[str, str] | None = None, facts: HostFacts = NODE, **more: str) -> list[str]:
    """The errors, without the warnings among them."""
    with pytest.raises(ConfigurationError) as caught:
        parse({**(QUIET if environment is None else environment), **more}, facts)
    return [str(one).removeprefix("environment: ") for one in caught.value.diagnostics if one.fatal]


def vips(configuration: Configuration) -> list[list[str]]:
    return [[str(one.address) for one in router.all_addresses] for router in configuration.routers]


def the_check(configuration: Configuration) -> Check:
    (check,) = configuration.checks
    return check


def the_router(configuration: Configuration) -> VirtualRouterConfig:
    (router,) = configuration.routers
    return router
