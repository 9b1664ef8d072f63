"""What the command line says, word for word, with the defaults of ``oc adm ipfailover``. Knows what nothing means."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flags:
    """One request for manifests, not looked at yet; None is a flag that was not given."""

    name: str = "ipfailover"
    virtual_ips: str = ""
    virtual_ip_groups: str = ""
    interface: str = ""
    watch_port: str = "80"
    vrrp_id_offset: str | None = None
    """0 where not given; beside pods of the old image it has to be given."""
    replicas: str | None = None
    """2 where not given; a DaemonSet has no such number, so there it is only said where given."""
    iptables_chain: str = "INPUT"
    check_script: str = ""
    check_interval: str = "2"
    notify_script: str = ""
    preemption_strategy: str = "preempt_delay 300"
    selector: str | None = None
    """``ipfailover=NAME`` where not given."""
    service_account: str = "ipfailover"
    images: str | None = None
    type: str = "keepalived"
    kind: str = "Deployment"
    config_map: str | None = None
    """``NAME-scripts`` where not given."""
    namespace: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """``NAME=VALUE``."""
