"""The control socket against clients that mean harm: who may ask, how much, and for how long."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from vrrpd import control, rundir
from vrrpd.control import MAXIMUM_CLIENTS, ControlServer

LARGE = "x" * 8_000_000


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ControlServer]:
    async def status() -> dict[str, Any]:
        return {"state": "MASTER"}

    async def large() -> dict[str, Any]:
        return {"text": LARGE}

    started = ControlServer(tmp_path / "control.sock", {"status": status, "large": large})
    await started.start()
    yield started
    started.close()


async def exchange(server: ControlServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(server.path), limit=1 << 24)
    with suppress(ConnectionError):
        writer.write(request)
        await writer.drain()
    answer = b""
    with suppress(ConnectionError):
        answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def serving() -> int:
    """How many clients the server deals with."""
    return sum("_serve" in repr(task.get_coro()) for task in asyncio.all_tasks())


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 10
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited 10 s for {what}"
        await asyncio.sleep(0.005)


async def test_a_request_is_answered_and_the_connection_closed(server: ControlServer) -> None:
    assert json.loads(await exchange(server, b'{"command": "status"}\n')) == {"state": "MASTER"}
    assert len(await exchange(server, b'{"command": "large"}\n')) == len(LARGE) + 13


@pytest.mark.parametrize(
    "request_line",
    [
        b"\n",
        b"status\n",
        b"[]\n",
        b"null\n",
        b'{"command": null}\n',
        b'{"command": ["status"]}\n',
        b'{"command": "stop"}\n',
        b'{"command": "__class__"}\n',
        b"\xff\xfe\x00\n",
        b"[" * 4000 + b"\n",
        b'{"command": ' + b"9" * 4000 + b"}\n",
    ],
    ids=lambda line: repr(line[:20]),
)
async def test_what_is_no_request_gets_an_error_and_nothing_else(server: ControlServer, request_line: bytes) -> None:
    assert list(json.loads(await exchange(server, request_line))) == ["error"]


async def test_a_request_that_is_too_long_is_refused_and_not_kept(server: ControlServer) -> None:
    answer = await exchange(server, b"x" * 10_000_000)
    assert answer in (b"", b'{"error": "the request is longer than 4096 bytes"}\n')
    assert json.loads(await exchange(server, b'{"command": "status"}\n')) == {"state": "MASTER"}


async def test_slow_clients_hold_up_nobody_and_are_dismissed(
    server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "REQUEST_TIMEOUT", 1.0)
    slow = [await asyncio.open_unix_connection(str(server.path)) for _ in range(MAXIMUM_CLIENTS)]
    for _, writer in slow:
        writer.write(b'{"comm')
    await until(lambda: serving() == MAXIMUM_CLIENTS, "16 clients")
    answer = await exchange(server, b'{"command": "status"}\n')
    assert json.loads(answer) == {"error": "16 others are being answered: try again"}
    more = [await asyncio.open_unix_connection(str(server.path)) for _ in range(3 * MAXIMUM_CLIENTS)]
    await until(lambda: serving() == 2 * MAXIMUM_CLIENTS, "32 clients")
    for reader, writer in slow + more:
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert json.loads(await exchange(server, b'{"command": "status"}\n')) == {"state": "MASTER"}


async def test_an_answer_that_nobody_reads_is_thrown_away(
    server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "REQUEST_TIMEOUT", 0.5)
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, str(server.path))
    await loop.sock_sendall(client, b'{"command": "large"}\n')
    await until(lambda: serving() == 1, "the request to be taken")
    await until(lambda: serving() == 0, "the answer to be given up")
    received = 0
    with suppress(ConnectionError):
        while data := await asyncio.wait_for(loop.sock_recv(client, 1 << 20), 10):
            received += len(data)
    client.close()
    assert received < len(LARGE)


ASK = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.settimeout(10)
try:
    client.connect(sys.argv[1])
    client.sendall(b'{"command": "status"}\\n')
    print(client.recv(100))
except PermissionError:
    print("not permitted")
except ConnectionError:
    print(b"")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
@pytest.mark.parametrize(("opened", "expected"), [(False, "not permitted"), (True, "b''")])
async def test_another_user_is_kept_out_by_the_modes_and_again_by_its_credentials(
    tmp_path: Path, opened: bool, expected: str
) -> None:
    async def status() -> dict[str, Any]:
        return {"state": "MASTER"}

    directory = tmp_path
    server = ControlServer(directory / "control.sock", {"status": status})
    await server.start()
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
    if opened:
        server.path.chmod(0o666)
        for parent in (directory, *directory.parents):
            if parent != Path("/") and parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", ASK, str(server.path), stdout=subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    server.close()
    assert output.decode().strip() == expected


def test_a_run_directory_that_others_can_enter_is_closed_and_one_of_another_user_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setattr(rundir, "candidates", lambda: (open_to_all,))
    assert rundir.writable_run_directory() == open_to_all
    assert stat.S_IMODE(open_to_all.stat().st_mode) == 0o700
    if os.geteuid() == 0:
        os.chown(open_to_all, 65534, 65534)
        with pytest.raises(rundir.NoRunDirectory, match="belongs to user id 65534, expected 0"):
            rundir.writable_run_directory()
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    monkeypatch.setattr(rundir, "candidates", lambda: (link,))
    with pytest.raises(rundir.NoRunDirectory, match="is not a directory"):
        rundir.writable_run_directory()
