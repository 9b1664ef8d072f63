"""Raw sockets and announcement frames on a veth pair between two namespaces."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Hashable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, NamedTuple

import pytest

from tests.netns.namespaces import Namespace, connect, namespace_or_skip
from vrrpd.lab import wait_until
from vrrpd.net.announce import FrameSender, gratuitous_arp, unsolicited_na
from vrrpd.net.outgoing import OutgoingBatch, OutgoingMessage, SendError
from vrrpd.net.sockets import Ipv4Packet, Ipv6Packet, Receiver, Transmitter
from vrrpd.protocol.datagram import Datagram, IPAddress
from vrrpd.protocol.discard import Discard

pytestmark = pytest.mark.netns

GROUP4 = IPv4Address("224.0.0.18")
GROUP6 = IPv6Address("ff02::12")
OTHER_GROUP6 = IPv6Address("ff02::13")
LEFT4 = IPv4Address("192.0.2.1")
RIGHT4 = IPv4Address("192.0.2.2")
LEFT6 = IPv6Address("fe80::1")
RIGHT6 = IPv6Address("fe80::2")


class Wire(NamedTuple):
    left: Namespace
    right: Namespace
    left_index: int
    right_index: int

    def receiver(self, family: Literal[4, 6], join: bool = True) -> Receiver:
        """Opens a receiver at the right end."""
        with self.right:
            receiver = Receiver("eth0", self.right_index, family)
        if join:
            receiver.join(GROUP4 if family == 4 else GROUP6)
        return receiver

    def transmitter(self, family: Literal[4, 6]) -> Transmitter:
        """Opens a transmitter at the left end."""
        with self.left:
            return Transmitter("eth0", self.left_index, LEFT4 if family == 4 else LEFT6)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    left, right = namespace_or_skip(), namespace_or_skip()
    connect(left, "eth0", right, "eth0")
    for namespace, address4, address6 in ((left, LEFT4, LEFT6), (right, RIGHT4, RIGHT6)):
        namespace.add_address("eth0", str(address4), 24)
        namespace.add_address("eth0", str(address6), 64, flags=0x02)
    yield Wire(left, right, left.index("eth0"), right.index("eth0"))
    left.close()
    right.close()


def message(vrid: int, rest: bytes = b"\0" * 6) -> bytes:
    return bytes((0x31, vrid)) + rest


def send(transmitter: Transmitter, data: bytes, destination: IPAddress) -> list[SendError]:
    """Sends one message."""
    return transmitter.send(transmitter.lay_out([OutgoingMessage(data, destination)]))


def receive(receiver: Receiver) -> Ipv4Packet | Ipv6Packet | None:
    """Takes one packet."""
    for _, _, raw, _ in receiver.receive(1):
        return receiver.packet(raw)
    return None


def take(receiver: Receiver, seconds: float = 10.0) -> Datagram:
    """Waits for one datagram."""
    deadline = time.monotonic() + seconds
    while True:
        packet = receive(receiver)
        if packet is not None:
            return packet.datagram()
        left = deadline - time.monotonic()
        assert left > 0, "no datagram came"
        select.select([receiver], [], [], left)


def group(family: Literal[4, 6]) -> IPv4Address | IPv6Address:
    return GROUP4 if family == 4 else GROUP6


@pytest.mark.parametrize("family", [4, 6])
def test_a_multicast_message_arrives_with_source_destination_and_hop_limit_255(
    wire: Wire, family: Literal[4, 6]
) -> None:
    receiver, transmitter = wire.receiver(family), wire.transmitter(family)
    assert send(transmitter, message(51), group(family)) == []
    assert take(receiver) == Datagram(
        source=LEFT4 if family == 4 else LEFT6, destination=group(family), hop_limit=255, message=message(51)
    )
    assert receive(receiver) is None
    receiver.close()
    transmitter.close()


@pytest.mark.parametrize("family", [4, 6])
def test_a_unicast_message_arrives_with_hop_limit_255(wire: Wire, family: Literal[4, 6]) -> None:
    receiver, transmitter = wire.receiver(family, join=False), wire.transmitter(family)
    peer = RIGHT4 if family == 4 else RIGHT6
    assert send(transmitter, message(51), peer) == []
    datagram = take(receiver)
    assert (datagram.destination, datagram.hop_limit) == (peer, 255)
    receiver.close()
    transmitter.close()


@pytest.mark.parametrize("family", [4, 6])
def test_the_longest_message_arrives_whole(wire: Wire, family: Literal[4, 6]) -> None:
    receiver, transmitter = wire.receiver(family), wire.transmitter(family)
    longest = message(51, bytes(6 + 255 * (4 if family == 4 else 16)))
    assert send(transmitter, longest, group(family)) == []
    assert take(receiver).message == longest
    receiver.close()
    transmitter.close()


@pytest.mark.parametrize("family", [4, 6])
def test_a_message_beyond_every_valid_length_is_discarded_and_the_next_one_is_read(
    wire: Wire, family: Literal[4, 6]
) -> None:
    receiver, transmitter = wire.receiver(family), wire.transmitter(family)
    assert send(transmitter, message(51, bytes(9000)), group(family)) == []
    assert send(transmitter, message(52), group(family)) == []
    with pytest.raises(Discard):
        take(receiver)
    assert take(receiver).message == message(52)
    receiver.close()
    transmitter.close()


def test_an_ipv4_group_is_heard_only_between_join_and_leave(wire: Wire) -> None:
    receiver, transmitter = wire.receiver(4, join=False), wire.transmitter(4)
    witness = wire.receiver(4)
    send(transmitter, message(1), GROUP4)
    take(witness)
    assert receive(receiver) is None, "heard a group that another socket joined"
    receiver.join(GROUP4)
    receiver.join(GROUP4)
    send(transmitter, message(2), GROUP4)
    assert take(receiver).message == message(2)
    receiver.leave(GROUP4)
    receiver.leave(GROUP4)
    take(witness)
    send(transmitter, message(3), GROUP4)
    take(witness)
    assert receive(receiver) is None
    for end in (receiver, transmitter, witness):
        end.close()


def test_an_ipv6_group_is_heard_only_while_somebody_on_the_interface_has_joined_it(wire: Wire) -> None:
    receiver, transmitter = wire.receiver(6, join=False), wire.transmitter(6)
    receiver.join(OTHER_GROUP6)
    receiver.join(OTHER_GROUP6)
    send(transmitter, message(1), GROUP6)
    send(transmitter, message(2), OTHER_GROUP6)
    assert take(receiver).message == message(2)
    receiver.leave(OTHER_GROUP6)
    receiver.leave(OTHER_GROUP6)
    send(transmitter, message(3), OTHER_GROUP6)
    send(transmitter, message(4), RIGHT6)
    assert take(receiver).message == message(4)
    witness = wire.receiver(6)
    send(transmitter, message(5), GROUP6)
    assert take(witness).destination == GROUP6
    assert take(receiver).destination == GROUP6, "the kernel now keeps groups apart: the admission check can rest"
    for end in (receiver, transmitter, witness):
        end.close()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "vrids",
    [
        frozenset({1}),
        frozenset({255}),
        frozenset({31, 32, 63, 64}),
        frozenset(range(1, 256)),
        frozenset(range(1, 256, 2)),
        frozenset(range(200, 220)),
        frozenset[int](),
    ],
    ids=["first", "last", "word-edges", "all", "odd", "range", "none"],
)
@pytest.mark.requirement("K-UNKNOWN", "RX-11")
@pytest.mark.counter_case("RX-11")
def test_the_kernel_filter_passes_exactly_the_given_vrids(
    wire: Wire, family: Literal[4, 6], vrids: frozenset[int]
) -> None:
    receiver, transmitter = wire.receiver(family), wire.transmitter(family)
    witness = wire.receiver(family)
    receiver.set_vrids(vrids)
    for vrid in range(256):
        send(transmitter, message(vrid), group(family))
    for _ in range(256):
        take(witness)
    heard = []
    for vrid, _, raw, _ in receiver.receive(1000):
        assert vrid == receiver.packet(raw).datagram().message[1]
        heard.append(vrid)
    assert heard == sorted(vrids)
    receiver.set_vrids(None)
    receiver.set_vrids(None)
    send(transmitter, message(77), group(family))
    assert take(receiver).message == message(77)
    for end in (receiver, transmitter, witness):
        end.close()


@pytest.mark.requirement("K-RXLOOP")
@pytest.mark.parametrize("family", [4, 6])
def test_one_look_at_the_socket_takes_all_packets_of_all_ids(wire: Wire, family: Literal[4, 6]) -> None:
    receiver, transmitter = wire.receiver(family), wire.transmitter(family)
    witness = wire.receiver(family)
    sent = [message(vrid, bytes((0, 0, 0, 0, 0, number))) for number in range(20) for vrid in (51, 52, 51)]
    for one in sent:
        send(transmitter, one, group(family))
    for _ in sent:
        take(witness)
    assert [receiver.packet(raw).datagram().message for _, _, raw, _ in receiver.receive(1000)] == sent
    assert receive(receiver) is None
    for end in (receiver, transmitter, witness):
        end.close()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("short", [b"", b"\x31"])
def test_a_message_too_short_for_a_vrid_passes_the_filter_so_that_it_is_counted(
    wire: Wire, family: Literal[4, 6], short: bytes
) -> None:
    receiver, transmitter = wire.receiver(family), wire.transmitter(family)
    receiver.set_vrids(frozenset({51}))
    assert send(transmitter, short, group(family)) == []
    assert take(receiver).message == short
    receiver.close()
    transmitter.close()


def test_the_filter_finds_the_vrid_behind_ipv4_options(wire: Wire) -> None:
    receiver = wire.receiver(4)
    receiver.set_vrids(frozenset({51}))
    with wire.left:
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\0")
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x94\x04\x00\x00")  # Router Alert (RFC 2113)
    sender.bind((str(LEFT4), 0))
    for vrid in (50, 51, 52):
        sender.sendto(message(vrid), (str(GROUP4), 0))
    assert take(receiver).message == message(51)
    assert receive(receiver) is None
    sender.close()
    receiver.close()


def test_the_kernel_checks_no_checksum_of_ipv6_messages(wire: Wire) -> None:
    receiver = wire.receiver(6)
    ipv6_checksum = 7
    value = receiver._socket.getsockopt(socket.IPPROTO_IPV6, ipv6_checksum)
    assert value == -1
    receiver.close()


@pytest.mark.counter_case("RX-2", "RX-11")
def test_a_receiver_hears_only_its_own_interface(wire: Wire) -> None:
    other_left, other_right = namespace_or_skip(), wire.right
    connect(other_left, "eth0", other_right, "eth1")
    other_left.add_address("eth0", "198.51.100.1", 24)
    try:
        receiver = wire.receiver(4)
        with other_right:
            other_receiver = Receiver("eth1", other_right.index("eth1"), 4)
        other_receiver.join(GROUP4)
        with other_left:
            transmitter = Transmitter("eth0", other_left.index("eth0"), IPv4Address("198.51.100.1"))
        assert send(transmitter, message(51), GROUP4) == []
        assert take(other_receiver).source == IPv4Address("198.51.100.1")
        assert receive(receiver) is None
    finally:
        with other_right.routing() as routing:
            routing.link("del", ifname="eth1")
        other_left.close()


@pytest.mark.counter_case("HDR-11")
@pytest.mark.parametrize("family", [4, 6])
def test_a_sender_does_not_hear_itself(wire: Wire, family: Literal[4, 6]) -> None:
    transmitter, far = wire.transmitter(family), wire.receiver(family)
    with wire.left:
        near = Receiver("eth0", wire.left_index, family)
    near.join(group(family))
    send(transmitter, message(51), group(family))
    take(far)
    assert receive(near) is None
    for end in (transmitter, near, far):
        end.close()


@pytest.mark.parametrize("family", [4, 6])
def test_a_transmitter_never_queues_a_packet(wire: Wire, family: Literal[4, 6]) -> None:
    transmitter = wire.transmitter(family)
    with wire.right:
        far = Transmitter("eth0", wire.right_index, RIGHT4 if family == 4 else RIGHT6)
    with wire.left:
        near = Receiver("eth0", wire.left_index, family)
    near.join(group(family))
    send(far, message(51), group(family))
    send(far, message(51), LEFT4 if family == 4 else LEFT6)
    take(near)
    take(near)
    with pytest.raises(BlockingIOError):
        transmitter._socket.recv(100)
    for end in (transmitter, near, far):
        end.close()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.requirement("HDR-6", "HDR-9", "HDR-4", "HDR-5", "HDR-8")
def test_advertisements_leave_with_traffic_class_0xc0_to_the_mapped_ethernet_group(
    wire: Wire, family: Literal[4, 6]
) -> None:
    with wire.right:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800 if family == 4 else 0x86DD))
        tap.bind(("eth0", 0x0800 if family == 4 else 0x86DD))
    tap.settimeout(10)
    transmitter = wire.transmitter(family)
    send(transmitter, message(51), group(family))
    while True:
        frame = tap.recv(2000)
        if (frame[23] if family == 4 else frame[20]) == 112:
            break
    if family == 4:
        assert frame[:6] == bytes.fromhex("01005e000012")
        assert frame[15] == 0xC0
        assert frame[22] == 255
    else:
        assert frame[:6] == bytes.fromhex("333300000012")
        assert struct.unpack("!H", frame[14:16])[0] >> 4 & 0xFF == 0xC0
        assert frame[21] == 255
    tap.close()
    transmitter.close()


def test_a_source_that_is_not_on_the_node_is_refused(wire: Wire) -> None:
    with wire.left, pytest.raises(OSError, match="Cannot assign requested address"):
        Transmitter("eth0", wire.left_index, IPv4Address("192.0.2.99"))
    with wire.left, pytest.raises(OSError, match="Cannot assign requested address"):
        Transmitter("eth0", wire.left_index, IPv6Address("fe80::99"))


def test_an_interface_that_does_not_exist_is_refused(wire: Wire) -> None:
    with wire.left:
        with pytest.raises(OSError, match="No such device"):
            Receiver("eth9", 99, 4)
        with pytest.raises(OSError, match="No such device"):
            Transmitter("eth9", 99, LEFT4)
        with pytest.raises(OSError, match="No such device"):
            FrameSender(99)


def test_frames_arrive_at_the_other_end_as_they_were_built(wire: Wire) -> None:
    mac = bytes.fromhex("00005e000133")
    with wire.right:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        tap.bind(("eth0", 0x0003))
    tap.settimeout(10)
    with wire.left:
        sender = FrameSender(wire.left_index)
    frames = [
        gratuitous_arp(mac, IPv4Address("192.0.2.100")),
        unsolicited_na(mac, IPv6Address("2001:db8::100")),
    ]
    for frame in frames:
        assert sender.send(OutgoingBatch([OutgoingMessage(frame)])) == []
    waiting = list(frames)
    while waiting:
        seen = tap.recv(2000)
        if seen in waiting:
            waiting.remove(seen)
    tap.close()
    sender.close()


def test_sending_while_the_link_is_down_gives_the_error_and_receiving_goes_on_afterwards() -> None:
    left, right = namespace_or_skip(), namespace_or_skip()
    connect(left, "eth0", right, "eth0")
    left.add_address("eth0", str(LEFT4), 24)
    right.add_address("eth0", str(RIGHT4), 24)
    wire = Wire(left, right, left.index("eth0"), right.index("eth0"))
    receiver, transmitter = wire.receiver(4), wire.transmitter(4)
    with left:
        sender = FrameSender(wire.left_index)
    left.set_link("eth0", "down")
    announcement = OutgoingBatch([OutgoingMessage(gratuitous_arp(b"\x02" * 6, LEFT4))])
    for errors in (send(transmitter, message(51), GROUP4), sender.send(announcement)):
        assert [error.position for error in errors] == [0]
    right.set_link("eth0", "down")
    assert receive(receiver) is None
    assert not select.select([receiver], [], [], 0)[0], "a socket that stays readable makes the loop spin"
    left.set_link("eth0", "up")
    right.set_link("eth0", "up")
    wait_until(
        lambda: send(transmitter, message(51), GROUP4) == [] and receive(receiver) is not None,
        10.0,
        "a message after the link came back",
    )
    for namespace in (left, right):
        namespace.close()


@pytest.mark.parametrize("family", [4, 6])
def test_a_transmitter_whose_address_was_deleted_still_says_farewell_from_it(family: Literal[4, 6]) -> None:
    left, right = namespace_or_skip(), namespace_or_skip()
    connect(left, "eth0", right, "eth0")
    right.add_address("eth0", str(RIGHT4), 24)
    source, length, flags = (LEFT4, 24, 0) if family == 4 else (LEFT6, 64, 0x02)
    left.add_address("eth0", str(source), length, flags=flags)
    with left:
        transmitter = Transmitter("eth0", left.index("eth0"), source)
    with right:
        receiver = Receiver("eth0", right.index("eth0"), family)
    receiver.join(group(family))
    left.delete_address("eth0", str(source), length)
    assert send(transmitter, message(51), group(family)) == []
    assert take(receiver).source == source
    with left, pytest.raises(OSError, match="Cannot assign requested address"):
        Transmitter("eth0", left.index("eth0"), source)
    receiver.close()
    transmitter.close()
    for namespace in (left, right):
        namespace.close()


def test_every_packet_carries_the_time_at_which_the_kernel_took_it_in(wire: Wire) -> None:
    receiver, transmitter = wire.receiver(4), wire.transmitter(4)
    before = time.time()
    for vrid in range(1, 131):  # more than two system calls' worth
        assert send(transmitter, message(vrid), GROUP4) == []
    after = time.time()
    stamps = []
    found: list[int] = []

    def look() -> bool:
        for vrid, _, _, stamp in receiver.receive(1000):
            found.append(vrid)
            stamps.append(stamp)
        return len(found) == 130

    wait_until(look, 10.0, "130 packets")
    assert found == list(range(1, 131))
    assert all(stamp is not None and before - 0.001 <= stamp <= after + 1.0 for stamp in stamps)
    assert stamps == sorted(stamps)  # type: ignore[type-var]
    for end in (receiver, transmitter):
        end.close()


@pytest.mark.parametrize("family", [4, 6])
def test_signatures_are_equal_for_equal_messages_only(wire: Wire, family: Literal[4, 6]) -> None:
    receiver, transmitter = wire.receiver(family), wire.transmitter(family)
    lengths = [6, 6, 36, 37, 80, 80, 6, 5, 36, 0]
    sent = [message(51, b"\0" * length) for length in lengths]
    sent += [message(51, b"\0" * (length - 1) + b"\1") for length in lengths if length]
    for data in sent:
        assert send(transmitter, data, group(family)) == []
    signatures: list[Hashable] = []

    def look() -> bool:
        # Few at a time: what is left over from another packet in the same place must not matter.
        for _ in range(len(sent)):
            signatures.extend(signature for _, signature, _, _ in receiver.receive(3))
        return len(signatures) == len(sent)

    wait_until(look, 10.0, "all packets")
    for one, signature in zip(sent, signatures, strict=True):
        assert [other == signature for other in signatures] == [other == one for other in sent]
    for end in (receiver, transmitter):
        end.close()
