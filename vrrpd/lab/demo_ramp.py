"""``make demo-ramp``: two ramp nodes share the far end of an edge host's tunnel; what the edge misses when one fails.

    edge ---- lan ---- r1, r2 ---- pods ---- pod
      \\==== tunnel ====/

The edge host is outside the cluster network: it reaches the pod only through a tunnel to RAMP_IP, the VIP of the two
ramp nodes. It asks the pod by UDP each millisecond. The tunnel is ipip, or VXLAN where the kernel has no ipip. Both
ramp nodes have it all the time: made at boot, or with ``--notify`` by a notify script. Its near end is RAMP_IP:
it works on the node that holds that address and carries nothing on the other. A second address, the pods' gateway
to the edge, moves along with RAMP_IP. ``story`` says how it is shown, and the exit codes.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from vrrpd.lab.errors import NotSupported
from vrrpd.lab.frames import ETH_P_IP, Frame
from vrrpd.lab.netlink import TunnelKind
from vrrpd.lab.probe import Probe, start_responder
from vrrpd.lab.story import (
    HANDOVER,
    INTERVAL_MS,
    MASTER_DOWN,
    PRIORITIES,
    SKEW,
    TIMEOUT,
    VIP,
    Story,
    missed_ms,
    run,
)
from vrrpd.lab.topology import Host, Lab
from vrrpd.lab.waiting import wait_until

RAMP_IP: Final = VIP
EDGE_IP: Final = "192.0.2.10"
EDGE_TUNNEL_IP: Final = "203.0.113.1"
RAMP_TUNNEL_IP: Final = "203.0.113.2"
"""On both ramp nodes."""
RAMP_TUNNEL_MAC: Final = "02:00:5e:00:00:33"
"""VXLAN only, on both ramp nodes: the edge keeps it in its neighbour table over a takeover."""
TUNNEL_NET: Final = "203.0.113.0/30"
POD_NET: Final = "198.51.100.0/24"
POD_IP: Final = "198.51.100.10"
POD_GATEWAY: Final = "198.51.100.254"
POD_SIDE: Final = {"r1": "198.51.100.1", "r2": "198.51.100.2"}
TUNNEL: Final = "tun1"

CONFIGURATION: Final = """\
global_defs {{
    router_id {name}
    script_user root
}}

vrrp_instance VI_1 {{
    state BACKUP
    interface eth0
    virtual_router_id 51
    version 3
    priority {priority}
    advert_int 0.5
    virtual_ipaddress {{
        192.0.2.100/24
    }}
    virtual_ipaddress_excluded {{
        198.51.100.254/24 dev eth1
    }}
    track_interface {{
        eth1
    }}
{notify}}}
"""

NOTIFY: Final = """\
    notify "RAMP_IP=192.0.2.100 EDGE_IP=192.0.2.10 TUNNEL_IP1=203.0.113.1 TUNNEL_IP2=203.0.113.2 KIND={kind} '{script}'"
"""


class RampNodes(Story):
    """Two ramp nodes between an edge host and a pod, and four things that happen to the first of them."""

    client = "edge"
    target = f"the pod through {RAMP_IP}"

    def __init__(self, lab: Lab, directory: Path, notify: Path | None = None) -> None:
        super().__init__(lab, directory, see_everything=True)
        self._notify: Final = notify
        self._edge: Final[Host] = lab.host("edge")
        self._edge.connect(self.lan, "eth0", f"{EDGE_IP}/24")
        self._kind: Final[TunnelKind] = self._connect_edge()
        pods = lab.bridge("pods")
        self._pod: Final[Host] = lab.host("pod")
        self._pod.connect(pods, "eth0", f"{POD_IP}/24")
        self._pod.add_route(TUNNEL_NET, POD_GATEWAY)
        for name, address in POD_SIDE.items():
            self.routers[name].connect(pods, "eth1", f"{address}/24")
            self.routers[name].sysctl("net.ipv4.ip_forward", 1)
        self._macs: Final = {host.mac(): name for name, host in self.routers.items()}
        self.scene = (
            f"an edge host, two ramp nodes (r1 priority {PRIORITIES['r1']}, r2 priority {PRIORITIES['r2']}), a pod "
            f"behind them; {self._kind} tunnel to the VIP {RAMP_IP}, an advertisement each {INTERVAL_MS} ms; on the "
            f"ramp nodes {'the system' if notify is None else notify.name} makes the tunnel"
        )

    def _connect_edge(self) -> TunnelKind:
        kind: TunnelKind = "ipip"
        try:
            self._edge.add_tunnel(TUNNEL, kind, EDGE_IP, RAMP_IP, f"{EDGE_TUNNEL_IP}/30")
        except NotSupported:
            kind = "vxlan"
            self._edge.add_tunnel(TUNNEL, kind, EDGE_IP, RAMP_IP, f"{EDGE_TUNNEL_IP}/30")
        self._edge.add_route(POD_NET, RAMP_TUNNEL_IP)
        return kind

    def tell(self) -> None:
        """Play the whole story."""
        start_responder(self._pod)
        self.begin()
        for name, host in self.routers.items():
            wait_until(partial(_has_tunnel, host), 5.0, f"{TUNNEL} on {name}")
        probe = Probe(self._edge, POD_IP)
        probe.wait_for_answer(self._pod, TIMEOUT)
        wait_until(lambda: self._carrier(0) == "r1", TIMEOUT, "the tunnel's traffic to go by r1")
        self.show_log_lines()
        self.say(f"r1 is MASTER and the edge reaches {self.target} there; from now on it asks each millisecond")
        self.pause()

        self.act(probe, "r1 loses its power", "r2", lambda: self.power_off("r1"), MASTER_DOWN)
        self.act(probe, "r1 is back and preempts", "r1", lambda: self.power_on("r1"), HANDOVER)
        self.act(probe, "vrrpd on r1 is stopped (SIGTERM)", "r2", lambda: self.stop_daemon("r1"), SKEW)
        self.act(probe, "vrrpd on r1 is started again", "r1", lambda: self.start_daemon("r1"), HANDOVER)
        self.end(probe)

    def pause(self) -> None:
        """Forget the packets so far too: there are thousands, and the next act needs only the last advertisements."""
        self.capture.clear()
        super().pause()

    def wait_for_traffic(self, probe: Probe, seen: int, successor: str, since_ns: int) -> float:
        """Wait for the pod's replies to come out of ``successor``'s tunnel; the pod answers in any case."""
        wait_until(
            lambda: self._carrier(since_ns) == successor and probe.answering is not None,
            TIMEOUT,
            f"the edge to reach {self.target} on {successor}",
        )
        return missed_ms(probe.gaps[seen:])

    def _carrier(self, since_ns: int) -> str | None:
        """The router that has sent the last packet through the tunnel to the edge; None when none since then."""
        for frame in reversed(self.capture.frames):
            if frame.time_ns < since_ns:
                break
            if _is_tunnelled(frame):
                return self._macs.get(frame.data[6:12].hex(":"))
        return None

    def configuration(self, name: str) -> str:
        """The keepalived.conf of a ramp node."""
        notify = "" if self._notify is None else NOTIFY.format(kind=self._kind, script=self._notify.resolve())
        return CONFIGURATION.format(name=name, priority=PRIORITIES[name], notify=notify)

    def start_machine(self, name: str) -> None:
        """Make the tunnel, where that is not the notify script's work."""
        host = self.routers[name]
        # Neither addresses nor tunnels survive a boot.
        for interface, address in ("eth0", RAMP_IP), ("eth1", POD_GATEWAY):
            if host.has_address(address, interface):
                host.remove_address(interface, f"{address}/24")
        if _has_tunnel(host):
            host.delete_link(TUNNEL)
        if self._notify is None:
            host.add_tunnel(TUNNEL, self._kind, RAMP_IP, EDGE_IP, f"{RAMP_TUNNEL_IP}/30", mac=RAMP_TUNNEL_MAC)

    def show_table(self) -> None:
        """Show every outage, and what the columns mean."""
        super().show_table()
        print(
            "\nedge missed: the time without replies of the pod through the tunnel; less than 20 ms counts as none"
            "\non the wire: from the last advertisement of the one ramp node to the first of the other"
        )


def _has_tunnel(host: Host) -> bool:
    return TUNNEL in host.interfaces()


def _is_tunnelled(frame: Frame) -> bool:
    """Whether a frame is an IPv4 packet from RAMP_IP to the edge: only the tunnel sends such."""
    data = frame.data
    return (
        data[12:14] == ETH_P_IP.to_bytes(2, "big")
        and data[26:30] == IPv4Address(RAMP_IP).packed
        and data[30:34] == IPv4Address(EDGE_IP).packed
    )


def main() -> int:
    """Play the demonstration; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vrrpd.lab.demo_ramp", description="Two ramp nodes, one fails.")
    parser.add_argument(
        "--notify", metavar="SCRIPT", type=Path, help="a notify script that makes the tunnel on the ramp nodes"
    )
    notify: Path | None = parser.parse_args().notify
    if notify is not None and not os.access(notify, os.X_OK):
        parser.error(f"--notify is {notify}, expected an executable file")
    return run(lambda lab, directory: RampNodes(lab, directory, notify))


if __name__ == "__main__":
    sys.exit(main())
