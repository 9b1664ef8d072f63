"""``make demo``: two routers and a client on a bridge, and how long the client misses its address when one fails.

Everything is real: two daemons started from a keepalived.conf in network namespaces, interfaces, packets. The client
asks the virtual address by UDP each millisecond. ``story`` says how it is shown, and the exit codes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

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

CONFIGURATION: Final = """\
global_defs {{
    router_id {name}
    script_user root
}}

vrrp_script service {{
    script "test -e {directory}/service-is-healthy"
    interval 1
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
    track_script {{
        service
    }}
}}
"""


class Demonstration(Story):
    """Two routers, whose service the client wants, and six things that happen to the first of them."""

    client = "client"
    target = VIP
    scene = (
        f"two routers (r1 priority {PRIORITIES['r1']}, r2 priority {PRIORITIES['r2']}) and a client on a bridge; "
        f"VIP {VIP}, an advertisement each {INTERVAL_MS} ms"
    )

    def __init__(self, lab: Lab, directory: Path) -> None:
        super().__init__(lab, directory)
        self._client: Final[Host] = lab.host("client")
        self._client.connect(self.lan, "eth0", "192.0.2.10/24")

    def tell(self) -> None:
        """Play the whole story."""
        self.begin()
        probe = Probe(self._client, VIP)
        probe.wait_for_answer(self.routers["r1"], TIMEOUT)
        self.show_log_lines()
        self.say(f"r1 is MASTER and the client reaches {VIP} there; from now on it asks each millisecond")
        self.pause()

        healthy = self._health_file("r1")
        self.act(probe, "r1 loses its power", "r2", lambda: self.power_off("r1"), MASTER_DOWN)
        self.act(probe, "r1 is back and preempts", "r1", lambda: self.power_on("r1"), HANDOVER)
        self.act(probe, "vrrpd on r1 is stopped (SIGTERM)", "r2", lambda: self.stop_daemon("r1"), SKEW)
        self.act(probe, "vrrpd on r1 is started again", "r1", lambda: self.start_daemon("r1"), HANDOVER)
        self.act(probe, "the check of r1's service fails", "r2", healthy.unlink, SKEW)
        self.act(probe, "the check of r1's service passes again", "r1", healthy.touch, HANDOVER)
        self.end(probe)

    def wait_for_traffic(self, probe: Probe, seen: int, successor: str, since_ns: int) -> float:
        """Wait for ``successor`` itself to answer; what counts is the silence up to and with its first reply."""

        def look() -> float | None:
            gaps = probe.gaps[seen:]
            last = next((number for number, gap in enumerate(gaps, 1) if gap.after == successor), None)
            return None if last is None else missed_ms(gaps[:last])

        return wait_until(look, TIMEOUT, f"the client to reach {VIP} on {successor}")

    def configuration(self, name: str) -> str:
        """The keepalived.conf of a router."""
        return CONFIGURATION.format(name=name, directory=self.directory / name, priority=PRIORITIES[name])

    def start_machine(self, name: str) -> None:
        """Start the service that the client asks."""
        host = self.routers[name]
        if host.has_address(VIP):
            host.remove_address("eth0", f"{VIP}/24")  # no address survives a boot
        healthy = self._health_file(name)
        healthy.parent.mkdir(exist_ok=True)
        healthy.touch()
        start_responder(host)

    def _health_file(self, name: str) -> Path:
        return self.directory / name / "service-is-healthy"

    def show_table(self) -> None:
        """Show every outage, and what the columns mean."""
        super().show_table()
        print(
            "\nclient missed: from the last reply of the one router to the first of the other, seen by the client"
            "\non the wire: from the last advertisement of the one router to the first of the other"
        )


def main() -> int:
    """Play the demonstration; returns the exit code."""
    return run(Demonstration)


if __name__ == "__main__":
    sys.exit(main())
