"""The service that the check looks at: tells who connects the node's name. ``python listener.py PORT NAME``."""

from __future__ import annotations

import contextlib
import socket
import sys


def main(port: int, name: str) -> None:
    """Answer until killed."""
    with socket.create_server(("", port), backlog=64) as server:
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            # A check has hung up by now.
            with connection, contextlib.suppress(OSError):
                connection.sendall(name.encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
