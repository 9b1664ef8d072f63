"""The control socket: one request, one answer, one connection; only for the daemon's own user and root.

Requests and answers are a line of JSON each. There is nothing here that runs, writes or changes anything.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

from vrrpd import rundir

Answer: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]

MAXIMUM_REQUEST: Final = 4096
REQUEST_TIMEOUT: Final = 5.0
"""Seconds that a client may take, in both directions."""
MAXIMUM_CLIENTS: Final = 16
"""Clients that get an answer at the same time; as many again get a refusal, and the rest nothing at all."""
RETRY_DELAY: Final = 1.0
"""Seconds until a client that could not be let in is tried again; it waits in the socket's queue."""

_log = logging.getLogger("vrrpd")

_UCRED: Final = struct.Struct("3i")


class ControlError(Exception):
    """The daemon cannot be asked, or did not answer; ``str()`` says why and what was tried."""


class ControlServer:
    """Answers requests on a Unix socket."""

    def __init__(self, path: Path, commands: dict[str, Answer]) -> None:
        self.path = path
        self._commands = commands
        self._clients = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._short = False
        """There was no descriptor for the last client: that has been told."""

    async def start(self) -> None:
        """Opens the socket; a leftover of a process that is gone is replaced (the instance claim is ours)."""
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            listener.bind(str(self.path))
            self.path.chmod(0o600)
            listener.listen(4 * MAXIMUM_CLIENTS)
        except BaseException:
            listener.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Closes the socket and takes its name away."""
        if self._retry is not None:
            self._retry.cancel()
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        """Lets one client in. asyncio's own server has no bounds here: out of descriptors it logs, and never rests."""
        listener = self._listener
        assert listener is not None
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if not self._short:
                _log.warning("cannot answer on the control socket, trying again: %s", error.strerror)
            self._short = True
            self._loop.remove_reader(listener)
            self._retry = self._loop.call_later(RETRY_DELAY, self._loop.add_reader, listener, self._accept)
            return
        self._short = False
        client.setblocking(False)
        task = self._loop.create_task(self._serve(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=client, limit=MAXIMUM_REQUEST)
        if not _trusted(writer) or self._clients >= 2 * MAXIMUM_CLIENTS:
            writer.transport.abort()
            return
        self._clients += 1
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                writer.write(json.dumps(await self._answer_to(reader)).encode() + b"\n")
                writer.close()
                # All of it: what a client does not read must not be kept for it.
                await writer.wait_closed()
        except (TimeoutError, OSError):
            # A client that is slow or gone is its own problem.
            writer.transport.abort()
        finally:
            self._clients -= 1

    async def _answer_to(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        crowded = self._clients > MAXIMUM_CLIENTS
        try:
            line = await reader.readline()
        except ValueError:
            return {"error": f"the request is longer than {MAXIMUM_REQUEST} bytes"}
        if crowded:
            return {"error": f"{MAXIMUM_CLIENTS} others are being answered: try again"}
        return await self._answer(line)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command = request["command"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"error": 'not a request: expected one line of JSON such as {"command": "status"}'}
        answer = self._commands.get(command) if isinstance(command, str) else None
        if answer is None:
            return {"error": f"unknown command, expected one of: {', '.join(sorted(self._commands))}"}
        return await answer()


def ask(command: str, namespace: int, instance: str) -> dict[str, Any]:
    """Asks the daemon of a network namespace and instance; raises ``ControlError``."""
    name = rundir.control_socket_name(namespace, instance)
    paths = [directory / name for directory in rundir.candidates()]
    for path in paths:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
            client.settimeout(REQUEST_TIMEOUT)
            try:
                client.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                continue
            except OSError as error:
                raise ControlError(f"cannot ask the daemon at {path}: {error.strerror or error}") from None
            return _exchange(client, command, path)
    tried = ", ".join(str(path) for path in paths)
    raise ControlError(f"no vrrpd answers for instance {instance!r} in this network namespace (tried {tried})")


def _exchange(client: socket.socket, command: str, path: Path) -> dict[str, Any]:
    try:
        client.sendall(json.dumps({"command": command}).encode() + b"\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        document = json.loads(answer)
    except (OSError, ValueError) as error:
        raise ControlError(f"the daemon at {path} gave no usable answer: {error}") from None
    if not isinstance(document, dict) or "error" in document:
        raise ControlError(f"the daemon at {path} refused: {document}")
    return document


def _trusted(writer: asyncio.StreamWriter) -> bool:
    sock = writer.get_extra_info("socket")
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return uid in (0, os.geteuid())
