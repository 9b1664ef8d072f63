"""vrrpd: a VRRPv3 (and VRRPv2) router for Linux in pure Python.

Open ``vrrpd/protocol/router.py`` first: it is the protocol.
"""

__version__ = "0.1.0"
