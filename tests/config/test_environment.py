"""The variables of an ipfailover pod: the rest of the table in docs/openshift.md, and all of them together."""

from __future__ import annotations

from pathlib import Path

from tests.config.environments import MANUAL, QUIET, VIPS, host, read, the_check, warned, wrong
from vrrpd.config.host import HostFacts
from vrrpd.config.model import (
    FirewallRule,
    TcpTarget,
)
from vrrpd.config.variables import NAMES

# -- OPENSHIFT_HA_IPTABLES_CHAIN, OPENSHIFT_HA_NFTABLES_RULE ----------------------------------------------------------


def test_iptables_chain_asks_for_a_rule_with_the_configurations_name() -> None:
    assert read(OPENSHIFT_HA_CONFIG_NAME="ipf-1").settings.firewall == FirewallRule("iptables", "ipf-1", "INPUT")
    assert wrong(OPENSHIFT_HA_IPTABLES_CHAIN="-F x") == [
        "OPENSHIFT_HA_IPTABLES_CHAIN is '-F x', expected the name of a chain of iptables such as INPUT"
    ]


def test_without_an_iptables_chain_there_is_no_rule_and_multicast_goes_on() -> None:
    assert read(VIPS).settings.firewall is None
    assert not read(VIPS).routers[0].unicast
    assert "OPENSHIFT_HA_IPTABLES_CHAIN is not set" in warned(VIPS)[0]


def test_nftables_rule_wins_over_the_chain_whatever_its_value() -> None:
    for value in ("true", "INPUT", "false"):
        assert read(OPENSHIFT_HA_NFTABLES_RULE=value).settings.firewall == FirewallRule(
            "nftables", "OpenShift-IPFailover"
        )


# -- OPENSHIFT_HA_SELECTOR, OPENSHIFT_HA_ADMIN_EMAILS, OPENSHIFT_HA_SMTP_SERVER, unknown variables --------------------


def test_selector_is_accepted_and_mail_is_said_to_be_not_sent() -> None:
    assert warned(OPENSHIFT_HA_SELECTOR="ipfailover=x") == []
    (line,) = warned(OPENSHIFT_HA_ADMIN_EMAILS="a@example.com", OPENSHIFT_HA_SMTP_SERVER="192.0.2.25")
    assert line.startswith("OPENSHIFT_HA_ADMIN_EMAILS and OPENSHIFT_HA_SMTP_SERVER given, but no mail is sent")


def test_unknown_variables_are_named_with_what_was_perhaps_meant() -> None:
    assert warned(OPENSHIFT_HA_VIRTUAL_IP="192.0.2.9", VRRPD_NOTHING="1", PATH="/bin") == [
        "unknown variable OPENSHIFT_HA_VIRTUAL_IP is ignored, expected OPENSHIFT_HA_VIRTUAL_IPS perhaps",
        "unknown variable VRRPD_NOTHING is ignored",
    ]


def test_variables_that_kubernetes_sets_for_a_service_called_vrrpd_are_not_ours() -> None:
    links = {
        "VRRPD_SERVICE_HOST": "198.51.100.1",
        "VRRPD_SERVICE_PORT": "80",
        "VRRPD_SERVICE_PORT_HTTP": "80",
        "VRRPD_PORT": "tcp://198.51.100.1:80",
        "VRRPD_PORT_80_TCP": "tcp://198.51.100.1:80",
        "VRRPD_PORT_80_TCP_ADDR": "198.51.100.1",
    }
    assert warned({**QUIET, **links}) == []


def test_an_empty_value_is_an_unset_one() -> None:
    assert read({**dict.fromkeys(NAMES, ""), **VIPS}) == read(VIPS)
    assert read({**dict.fromkeys(NAMES, " \n"), **VIPS}) == read(VIPS)


# -- all together -----------------------------------------------------------------------------------------------------


def test_the_manuals_deployment_runs_unchanged() -> None:
    facts = host(ens3="192.0.2.11/24 fe80::11/64", default="ens3")
    first, second = read(MANUAL, facts).routers
    assert (first.name, first.vrid, str(first.addresses[0].address)) == ("ipfailover_VIP_1", 1, "192.0.2.101")
    assert (second.name, second.vrid, str(second.addresses[0].address)) == ("ipfailover_VIP_2", 2, "192.0.2.102")
    assert first.preempt_delay == 300
    assert warned(MANUAL, facts) == [
        "OPENSHIFT_HA_VIP_GROUPS is 10 but there are 2 virtual addresses: each is a group of its own"
    ]


def test_all_problems_are_told_at_once_each_with_name_value_and_what_was_expected() -> None:
    found = wrong(
        {
            "OPENSHIFT_HA_VIRTUAL_IPS": "nonsense",
            "OPENSHIFT_HA_VIP_GROUPS": "many",
            "OPENSHIFT_HA_MONITOR_PORT": "http",
            "OPENSHIFT_HA_VRRP_ID_OFFSET": "-1",
            "OPENSHIFT_HA_CHECK_INTERVAL": "0",
            "OPENSHIFT_HA_PREEMPTION": "preempt_delay soon",
            "VRRPD_VERSION": "x",
        }
    )
    assert len(found) == 7
    assert all(", expected " in problem for problem in found)


def test_leftovers_in_this_mode_are_ours() -> None:
    assert read().leftovers_are_ours
    assert read().source == "environment"


def test_options_of_the_old_daemon_are_named() -> None:
    facts = host(eth0="192.0.2.11/24", options="-D -d")
    assert warned(facts=facts) == ["KEEPALIVED_OPTIONS in /etc/sysconfig/keepalived is '-D -d': it has no effect"]


def test_a_configuration_can_be_looked_at_where_the_interface_is_not() -> None:
    configuration = read(facts=HostFacts(), OPENSHIFT_HA_NETWORK_INTERFACE="ens3", VRRPD_NODE_ADDRESS="192.0.2.11")
    assert the_check(configuration).probe == TcpTarget("192.0.2.11", 80)
    assert warned(facts=HostFacts(), OPENSHIFT_HA_NETWORK_INTERFACE="ens3", VRRPD_NODE_ADDRESS="192.0.2.11") == []


def test_ipv6_groups_without_a_link_local_address_are_one_warning_for_all() -> None:
    found = warned(OPENSHIFT_HA_VIRTUAL_IPS="2001:db8::101-1fe")
    assert len(found) == 1
    assert "OpenShift_IPFailover_VIP_1 (and 253 more groups) begins with 2001:db8::101" in found[0]


def test_the_page_has_a_row_for_every_variable() -> None:
    page = (Path(__file__).parents[2] / "docs" / "openshift.md").read_text()
    rows = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert rows == NAMES


def test_log_variables_that_are_wrong_are_named() -> None:
    assert wrong(VRRPD_LOG_FORMAT="xml", VRRPD_LOG_LEVEL="loud") == [
        "VRRPD_LOG_FORMAT is xml, expected text or json",
        "VRRPD_LOG_LEVEL is loud, expected debug or info or warning or error",
    ]
    assert warned(VRRPD_LOG_FORMAT="json", VRRPD_LOG_LEVEL="debug") == []


def test_addresses_are_kept_for_a_successor_where_that_is_said() -> None:
    assert read().settings.keep_vips is False
    assert read(VRRPD_KEEP_VIPS="false").settings.keep_vips is False
    assert read(VRRPD_KEEP_VIPS="True").settings.keep_vips is True
    assert wrong(VRRPD_KEEP_VIPS="yes") == ["VRRPD_KEEP_VIPS is yes, expected true or false"]
