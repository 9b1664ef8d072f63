"""Scripts: running other people's programs from a small helper process, so that the daemon itself never forks or waits.

``runner`` is the daemon's side, ``helper`` the process at the other end of its socket, ``result`` what comes back.
"""
