"""Batches of datagrams through the real kernel: order, refusals in the middle, more than one call's worth."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

import pytest

from vrrpd.net.outgoing import OutgoingBatch, OutgoingMessage, SendError
from vrrpd.protocol.datagram import IPAddress


def send_all(descriptor: int, messages: Sequence[OutgoingMessage]) -> list[SendError]:
    """Sends them together, once."""
    return OutgoingBatch(messages).send(descriptor)


LOOPBACK = {4: (socket.AF_INET, "127.0.0.1"), 6: (socket.AF_INET6, "::1")}


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends that keep datagrams apart, non-blocking."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in (ours, theirs):
        end.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


def everything(end: socket.socket) -> list[bytes]:
    """What is waiting."""
    found = []
    for _ in range(10_000):
        try:
            found.append(end.recv(100))
        except BlockingIOError:
            return found
    raise AssertionError("more than 10000 datagrams")


@pytest.mark.parametrize("count", [3, 1100])
def test_a_batch_arrives_whole_and_in_order_and_again_when_it_is_sent_again(count: int) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    theirs.setblocking(False)
    messages = [OutgoingMessage(b"%d" % number) for number in range(count)]
    batch = OutgoingBatch(messages)
    for _ in range(2):
        assert batch.send(ours.fileno()) == []
        assert everything(theirs) == [b"%d" % number for number in range(count)]
    assert send_all(ours.fileno(), []) == []
    ours.close()
    theirs.close()


def test_a_full_queue_refuses_the_rest_without_waiting(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    messages = [OutgoingMessage(b"x" * 64) for _ in range(200)]
    errors = send_all(ours.fileno(), messages)
    arrived = len(everything(theirs))
    assert 0 < arrived < 200
    assert [error.position for error in errors] == list(range(arrived, 200))
    assert {error.errno for error in errors} == {errno.EAGAIN}
    assert str(errors[0]) == "Resource temporarily unavailable"


@pytest.mark.parametrize("family", [4, 6])
def test_one_refused_message_does_not_stop_those_behind_it(family: int) -> None:
    kind, loopback = LOOPBACK[family]
    with socket.socket(kind, socket.SOCK_DGRAM) as receiver, socket.socket(kind, socket.SOCK_DGRAM) as sender:
        receiver.bind((loopback, 0))
        receiver.settimeout(10.0)
        sender.connect((loopback, receiver.getsockname()[1]))
        sender.setblocking(False)
        messages = [OutgoingMessage(b"first"), OutgoingMessage(b"y" * 70_000), OutgoingMessage(b"last")]
        errors = send_all(sender.fileno(), messages)
        assert [(error.position, error.errno) for error in errors] == [(1, errno.EMSGSIZE)]
        assert [receiver.recv(100) for _ in range(2)] == [b"first", b"last"]


def test_a_closed_socket_refuses_everything_and_raises_nothing() -> None:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    descriptor = sender.fileno()
    sender.close()
    errors = send_all(descriptor, [OutgoingMessage(b"a"), OutgoingMessage(b"b")])
    assert [(error.position, error.errno) for error in errors] == [(0, errno.EBADF), (1, errno.EBADF)]


@pytest.mark.parametrize("destination", [IPv4Address("127.0.0.1"), IPv6Address("::1")])
def test_a_destination_goes_with_its_message(destination: IPAddress) -> None:
    kind, loopback = LOOPBACK[destination.version]
    # Port 0 is what a raw socket ignores and a UDP socket refuses: the address was understood.
    with socket.socket(kind, socket.SOCK_DGRAM) as sender:
        errors = send_all(sender.fileno(), [OutgoingMessage(b"a", destination)])
    assert [error.errno for error in errors] == [errno.EINVAL]
    assert loopback == str(destination)
