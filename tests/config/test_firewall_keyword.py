"""``firewall``: a keyword of vrrpd's own in ``global_defs``."""

from __future__ import annotations

import pytest

from vrrpd.config.keepalived import parse
from vrrpd.config.model import ConfigurationError, FirewallRule

ROUTER = "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 192.0.2.100\n }\n}\n"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("firewall iptables INPUT ipf-1", FirewallRule("iptables", "ipf-1", "INPUT")),
        ('firewall nftables "a name"', FirewallRule("nftables", "a name")),
    ],
)
def test_a_rule_is_read(line: str, rule: FirewallRule) -> None:
    configuration, warnings = parse(f"global_defs {{\n {line}\n}}\n{ROUTER}")
    assert configuration.settings.firewall == rule
    assert warnings == ()


@pytest.mark.parametrize(
    "line",
    [
        "firewall",
        "firewall iptables INPUT",
        "firewall iptables -F name",
        "firewall iptables 'IN PUT' name",
        "firewall nftables",
        "firewall nftables chain name",
        "firewall ufw name",
    ],
)
def test_anything_else_is_an_error_that_says_what_is_expected(line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(f"global_defs {{\n {line}\n}}\n{ROUTER}")
    (problem,) = caught.value.diagnostics
    assert problem.line == 2
    assert problem.message.endswith("expected iptables CHAIN NAME or nftables NAME")


def test_without_it_there_is_no_rule() -> None:
    configuration, _ = parse(ROUTER)
    assert configuration.settings.firewall is None
