"""``global_defs``: the table of its keywords, and the settings of the daemon as a whole.

Defaults for virtual routers (``vrrp_*``) stay in the draft: ``instances`` asks for them.
"""

from __future__ import annotations

import re
from typing import Final

from vrrpd.config import scripts
from vrrpd.config.addresses import is_interface_name
from vrrpd.config.instances import NO_MAIL, NO_VMAC
from vrrpd.config.keywords import (
    AlwaysSo,
    Draft,
    NoEffect,
    OtherHalf,
    Table,
    Works,
    address,
    fail,
    flag,
    not_printable,
    number,
    seconds,
    text,
)
from vrrpd.config.lexer import Statement
from vrrpd.config.model import FirewallRule, GlobalSettings
from vrrpd.config.report import Report, seen

REAL_TIME: Final = "for a host with busy processors use vrrpd run --realtime"
NO_TUNING: Final = "the daemon's scheduling is set from outside, for example by systemd"
NO_FIREWALL: Final = (
    "without no_accept and virtual MAC addresses nothing has to be blocked; to let VRRP in use firewall"
)
NO_DUMPS: Final = "use vrrpd status"
NO_SNMP: Final = "there is no SNMP agent; use vrrpd status --json"
NO_DBUS: Final = "there is no D-Bus interface; use vrrpd status --json"
NO_FIFO: Final = "there is no notify FIFO; notify scripts run strictly in order"
PROCESS_NAME: Final = "VRRPD_PROCESS_NAME in the environment sets the name of the process"
NO_PRINT: Final = "a name without control characters"
CHAIN_NAME: Final = re.compile(r"(?![-!])[\x21-\x7e]{1,28}")


def _firewall(statement: Statement, draft: Draft, report: Report) -> None:
    """``firewall iptables CHAIN NAME`` or ``firewall nftables NAME``: a keyword of vrrpd's own."""
    rule: FirewallRule
    match statement.values:
        case ("iptables", chain, name) if not not_printable(name) and is_chain_name(chain):
            rule = FirewallRule("iptables", name, chain)
        case ("nftables", name) if not not_printable(name):
            rule = FirewallRule("nftables", name)
        case values:
            given = seen(" ".join(values)) if values else "empty"
            fail(statement, draft, report, f"firewall is {given}, expected iptables CHAIN NAME or nftables NAME")
            return
    draft.set(statement.keyword, rule, statement.place)


def is_chain_name(word: str) -> bool:
    """Whether iptables takes the word for a chain: 1 to 28 printable characters without blanks, no option."""
    return CHAIN_NAME.fullmatch(word) is not None


PROCESS: Final[Table] = {
    "net_namespace": text("the name of a network namespace", lambda name: not_printable(name) or "/" in name),
    "instance": text("a name without /", lambda name: not_printable(name) or "/" in name),
    "use_pid_dir": NoEffect("there are no pid files"),
    "child_wait_time": NoEffect("the helper processes have a fixed time to end in"),
    "linkbeat_use_polling": NoEffect("the kernel reports the state of links"),
    "namespace_with_ipsets": NoEffect(NO_FIREWALL),
    "net_namespace_ipvs": OtherHalf(),
}
"""What may stand at the top of a file and in ``global_defs``."""

GLOBAL_DEFS: Final[Table] = {
    **PROCESS,
    "router_id": text(NO_PRINT, not_printable),
    "script_user": scripts.user,
    "enable_script_security": flag(),
    "firewall": Works(_firewall),
    "default_interface": text("an interface name of 1 to 15 characters", lambda name: not is_interface_name(name)),
    "log_unknown_vrids": flag(),
    "leftovers_are_ours": flag(),
    "keep_vips": flag(),
    "vrrp_version": number(2, 3),
    "vrrp_strict": flag(),
    "v3_checksum_as_v2": flag(),
    "vrrp_mcast_group4": address("an IPv4 multicast address"),
    "vrrp_mcast_group6": address("an IPv6 multicast address"),
    "vrrp_down_timer_adverts": number(1, 100),
    "vrrp_lower_prio_no_advert": flag(),
    "vrrp_higher_prio_send_advert": flag(),
    "vrrp_owner_ignore_adverts": flag(),
    "vrrp_garp_master_delay": seconds("0", "1000000"),
    "vrrp_garp_master_repeat": number(0, 1000),
    "vrrp_garp_master_refresh": seconds("0", "1000000"),
    "vrrp_garp_master_refresh_repeat": number(0, 1000),
    "vrrp_garp_lower_prio_delay": seconds("0", "1000000"),
    "vrrp_garp_lower_prio_repeat": number(0, 1000),
    "vrrp_garp_interval": seconds("0", "1000"),
    "vrrp_gna_interval": seconds("0", "1000"),
    "vrrp_min_garp": flag(),
    "vrrp_check_unicast_src": AlwaysSo("only listed peers are accepted"),
    "vrrp_skip_check_adv_addr": AlwaysSo("a different address list is logged and counted, never a reason to drop"),
    "dynamic_interfaces": AlwaysSo("a missing interface is FAULT until it appears"),
    "reload_check_config": AlwaysSo("a broken file never replaces the running configuration"),
    "use_symlink_paths": AlwaysSo("scripts run by the path that is given"),
    "notification_email": NoEffect(NO_MAIL),
    "notification_email_from": NoEffect(NO_MAIL),
    "smtp_server": NoEffect(NO_MAIL),
    "smtp_helo_name": NoEffect(NO_MAIL),
    "smtp_connect_timeout": NoEffect(NO_MAIL),
    "smtp_alert": NoEffect(NO_MAIL),
    "smtp_alert_vrrp": NoEffect(NO_MAIL),
    "no_email_faults": NoEffect(NO_MAIL),
    "notify_fifo": NoEffect(NO_FIFO),
    "notify_fifo_script": NoEffect(NO_FIFO),
    "vrrp_notify_fifo": NoEffect(NO_FIFO),
    "vrrp_notify_fifo_script": NoEffect(NO_FIFO),
    "fifo_write_vrrp_states_on_reload": NoEffect(NO_FIFO),
    "vrrp_notify_priority_changes": NoEffect(NO_FIFO),
    "vrrp_garp_extra_if": NoEffect("it is for virtual MAC addresses"),
    "vrrp_vmac_garp_intvl": NoEffect("it is for virtual MAC addresses"),
    "vmac_prefix": NoEffect(NO_VMAC),
    "vmac_addr_prefix": NoEffect(NO_VMAC),
    "disable_local_igmp": NoEffect("it is for virtual MAC addresses"),
    "vrrp_iptables": NoEffect(NO_FIREWALL),
    "vrrp_ipsets": NoEffect(NO_FIREWALL),
    "nftables": NoEffect(NO_FIREWALL),
    "nftables_priority": NoEffect(NO_FIREWALL),
    "nftables_counters": NoEffect(NO_FIREWALL),
    "nftables_ifindex": NoEffect(NO_FIREWALL),
    "max_auto_priority": NoEffect(NO_TUNING),
    "min_auto_priority_delay": NoEffect(NO_TUNING),
    "vrrp_priority": NoEffect(REAL_TIME),
    "vrrp_no_swap": NoEffect(REAL_TIME),
    "vrrp_cpu_affinity": NoEffect(NO_TUNING),
    "vrrp_rt_priority": NoEffect(REAL_TIME),
    "vrrp_rlimit_rttime": NoEffect(NO_TUNING),
    "vrrp_netlink_cmd_rcv_bufs": NoEffect("socket buffers have a fixed size"),
    "vrrp_netlink_cmd_rcv_bufs_force": NoEffect("socket buffers have a fixed size"),
    "vrrp_netlink_monitor_rcv_bufs": NoEffect("socket buffers have a fixed size"),
    "vrrp_netlink_monitor_rcv_bufs_force": NoEffect("socket buffers have a fixed size"),
    "process_monitor_rcv_bufs": NoEffect("no processes are tracked"),
    "process_monitor_rcv_bufs_force": NoEffect("no processes are tracked"),
    "vrrp_rx_bufs_policy": NoEffect("socket buffers have a fixed size"),
    "vrrp_rx_bufs_multiplier": NoEffect("socket buffers have a fixed size"),
    "vrrp_startup_delay": NoEffect("routers start at once"),
    "vrrp_delay_after_boot": NoEffect("routers start at once"),
    "startup_script": NoEffect("run it before the daemon, for example by systemd"),
    "startup_script_timeout": NoEffect("run it before the daemon, for example by systemd"),
    "shutdown_script": NoEffect("run it after the daemon, for example by systemd"),
    "shutdown_script_timeout": NoEffect("run it after the daemon, for example by systemd"),
    "snmp_socket": NoEffect(NO_SNMP),
    "enable_snmp_keepalived": NoEffect(NO_SNMP),
    "enable_snmp_vrrp": NoEffect(NO_SNMP),
    "enable_snmp_rfc": NoEffect(NO_SNMP),
    "enable_snmp_rfcv2": NoEffect(NO_SNMP),
    "enable_snmp_rfcv3": NoEffect(NO_SNMP),
    "enable_traps": NoEffect(NO_SNMP),
    "enable_dbus": NoEffect(NO_DBUS),
    "dbus_service_name": NoEffect(NO_DBUS),
    "dbus_no_interface_name": NoEffect(NO_DBUS),
    "process_names": NoEffect(PROCESS_NAME),
    "process_name": NoEffect(PROCESS_NAME),
    "vrrp_process_name": NoEffect(PROCESS_NAME),
    "set_supplementary_groups": NoEffect("groups follow the script's user"),
    "umask": NoEffect("no files are made that others read"),
    "random_seed": NoEffect("${_RANDOM} is not supported"),
    "include_check": NoEffect("an include of nothing is a warning, includea makes it an error"),
    "config_save_dir": NoEffect("use vrrpd config"),
    "tmp_config_directory": NoEffect("no copy of the configuration is made"),
    "reload_time_file": NoEffect("a reload is asked for by SIGHUP"),
    "reload_repeat": NoEffect("a reload is asked for by SIGHUP"),
    "reload_file": NoEffect("a reload is asked for by SIGHUP"),
    "data_use_instance": NoEffect(NO_DUMPS),
    "state_dump_file": NoEffect(NO_DUMPS),
    "stats_dump_file": NoEffect(NO_DUMPS),
    "json_dump_file": NoEffect(NO_DUMPS),
    "state_file_location": NoEffect(NO_DUMPS),
    "stats_file_location": NoEffect(NO_DUMPS),
    "json_file_location": NoEffect(NO_DUMPS),
    "json_version": NoEffect(NO_DUMPS),
    "iproute_usr_dir": NoEffect("names of routing tables are not used"),
    "iproute_etc_dir": NoEffect("names of routing tables are not used"),
    "lvs_sync_daemon": OtherHalf(),
    "lvs_timeouts": OtherHalf(),
    "lvs_flush": OtherHalf(),
    "lvs_flush_on_stop": OtherHalf(),
    "lvs_notify_fifo": OtherHalf(),
    "lvs_notify_fifo_script": OtherHalf(),
    "lvs_netlink_cmd_rcv_bufs": OtherHalf(),
    "lvs_netlink_cmd_rcv_bufs_force": OtherHalf(),
    "lvs_netlink_monitor_rcv_bufs": OtherHalf(),
    "lvs_netlink_monitor_rcv_bufs_force": OtherHalf(),
    "nftables_ipvs": OtherHalf(),
    "nftables_ipvs_priority": OtherHalf(),
    "nftables_ipvs_start_fwmark": OtherHalf(),
    "smtp_alert_checker": OtherHalf(),
    "checker_log_all_failures": OtherHalf(),
    "checker_priority": OtherHalf(),
    "checker_no_swap": OtherHalf(),
    "checker_cpu_affinity": OtherHalf(),
    "checker_rt_priority": OtherHalf(),
    "checker_rlimit_rttime": OtherHalf(),
    "checker_process_name": OtherHalf(),
    "enable_snmp_checker": OtherHalf(),
    "snmp_vs_stats_update_interval": OtherHalf(),
    "snmp_rs_stats_update_interval": OtherHalf(),
    "rs_init_notifies": OtherHalf(),
    "no_checker_emails": OtherHalf(),
    "bfd_priority": OtherHalf(),
    "bfd_no_swap": OtherHalf(),
    "bfd_cpu_affinity": OtherHalf(),
    "bfd_rt_priority": OtherHalf(),
    "bfd_rlimit_rttime": OtherHalf(),
    "bfd_process_name": OtherHalf(),
}
"""Every keyword of a ``global_defs`` block."""


def complete_settings(draft: Draft, router_id_default: str) -> GlobalSettings:
    """The settings that ``global_defs`` blocks describe."""
    user = draft.get("script_user", str)
    return GlobalSettings(
        router_id=draft.get("router_id", str) or router_id_default,
        script_user=user,
        script_group=draft.get("script_user group", str) if user else None,
        enable_script_security=draft.get("enable_script_security", bool) or False,
        default_interface=draft.get("default_interface", str),
        log_unknown_vrids=draft.get("log_unknown_vrids", bool) or False,
        network_namespace=draft.get("net_namespace", str),
        instance=draft.get("instance", str),
        firewall=draft.get("firewall", FirewallRule),
        keep_vips=draft.get("keep_vips", bool) or False,
    )
