"""Network labs in namespaces: hosts, bridges, programs on them, captures; for tests, demonstrations and experiments.

    with Lab() as lab:
        lan = lab.bridge("lan")
        r1 = lab.host("r1")
        r1.connect(lan, "eth0", "192.0.2.1/24")

``topology`` is where to start reading. A lab knows nothing of the daemon and imports nothing from it.
"""

from vrrpd.lab.capture import Capture
from vrrpd.lab.errors import EXIT_UNAVAILABLE, LabError, LabUnavailable, NotSupported
from vrrpd.lab.frames import Advertisement, Arp, Frame, NeighbourAdvertisement
from vrrpd.lab.privileges import ensure_privileges
from vrrpd.lab.process import Process
from vrrpd.lab.topology import Bridge, Host, Lab
from vrrpd.lab.waiting import wait_until

__all__ = [
    "EXIT_UNAVAILABLE",
    "Advertisement",
    "Arp",
    "Bridge",
    "Capture",
    "Frame",
    "Host",
    "Lab",
    "LabError",
    "LabUnavailable",
    "NeighbourAdvertisement",
    "NotSupported",
    "Process",
    "ensure_privileges",
    "wait_until",
]
