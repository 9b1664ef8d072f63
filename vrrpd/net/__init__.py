"""The Linux dataplane: raw sockets, netlink, ARP and Neighbor Discovery frames, kernel timers."""
