"""The near end of the probe: asks an address by UDP each millisecond and reports when it falls silent and who answers.

``python -m vrrpd.lab.prober ADDRESS PORT`` prints one JSON object a line (``probe`` reads them): ``answer`` for the
first reply, ``silence`` when none has come for 20 ms, ``gap`` when they come again or come from another responder,
``summary`` at SIGTERM. Times are CLOCK_REALTIME in nanoseconds, taken when a reply is read. The rate is best effort.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import time
from ipaddress import ip_address
from typing import Final

import asyncio_dgram

from vrrpd.lab.responder import SEQUENCE_LENGTH

SHORTEST_SILENCE_NS: Final = 20_000_000
"""Less is the scheduling noise of a small machine."""

HOPELESSLY_LATE: Final = 0.05
"""Seconds after which requests that were not sent in time are left out instead of made up for."""


class Prober:
    """One address asked until told to stop."""

    def __init__(self, address: str, port: int, interval: float) -> None:
        self._target: Final = (address, port)
        self._interval: Final = interval
        self._sent = 0
        self._received = 0
        self._last_ns = 0
        self._last_sequence = -1
        self._answering: str | None = None
        self._silent = False

    async def run(self) -> None:
        """Ask and listen until SIGTERM or SIGINT, then report the sums."""
        family = socket.AF_INET if ip_address(self._target[0]).version == 4 else socket.AF_INET6
        plain = socket.socket(family, socket.SOCK_DGRAM)
        plain.setblocking(False)
        # Not connected: an ICMP error is no answer, and a connected socket would report it as our failure.
        plain.bind(("", 0))
        stream = await asyncio_dgram.from_socket(plain)
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        tasks = [asyncio.create_task(self._ask(stream)), asyncio.create_task(self._listen(stream))]
        for task in tasks:
            # Both run for ever: one that ends has failed, and says how below.
            task.add_done_callback(lambda _: stopped.set())
        await stopped.wait()
        for task in tasks:
            if not task.cancel():
                task.result()
        stream.close()
        self._note_silence()
        self._report("summary", sent=self._sent, received=self._received)

    async def _ask(self, stream: asyncio_dgram.DatagramServer) -> None:
        due = time.monotonic()
        while True:
            # The network may say no, now or to an earlier request: that one is lost like any other.
            with contextlib.suppress(OSError):
                await stream.send(self._sent.to_bytes(SEQUENCE_LENGTH, "big"), self._target)
            self._sent += 1
            self._note_silence()
            due += self._interval
            late = time.monotonic() - due
            if late > HOPELESSLY_LATE:
                due += late
            await asyncio.sleep(max(-late, 0))

    async def _listen(self, stream: asyncio_dgram.DatagramServer) -> None:
        while True:
            try:
                reply, _ = await stream.recv()
            except OSError:
                continue
            self._note_reply(int.from_bytes(reply[:SEQUENCE_LENGTH], "big"), reply[SEQUENCE_LENGTH:].decode())

    def _note_reply(self, sequence: int, by: str) -> None:
        now = time.time_ns()
        self._received += 1
        if self._answering is None:
            self._report("answer", time=now, by=by)
        elif self._silent or by != self._answering or now - self._last_ns >= SHORTEST_SILENCE_NS:
            lost = max(sequence - self._last_sequence - 1, 0)
            self._report("gap", start=self._last_ns, end=now, lost=lost, before=self._answering, after=by)
        self._answering, self._last_ns, self._last_sequence, self._silent = by, now, sequence, False

    def _note_silence(self) -> None:
        silent = self._answering is not None and time.time_ns() - self._last_ns >= SHORTEST_SILENCE_NS
        if silent and not self._silent:
            self._silent = True
            self._report("silence", since=self._last_ns, before=self._answering)

    def _report(self, event: str, **details: int | str | None) -> None:
        print(json.dumps({"event": event, **details}), flush=True)


def main() -> None:
    """Ask the address given on the command line."""
    parser = argparse.ArgumentParser(prog="python -m vrrpd.lab.prober", description=__doc__)
    parser.add_argument("address", type=lambda text: str(ip_address(text)))
    parser.add_argument("port", type=int)
    parser.add_argument("--interval", type=float, default=0.001, help="seconds between two requests (default: 0.001)")
    arguments = parser.parse_args()
    asyncio.run(Prober(arguments.address, arguments.port, arguments.interval).run())


if __name__ == "__main__":
    main()
