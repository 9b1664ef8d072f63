"""What is fuzzed: functions of bytes that come from outside. Each returns, or something is wrong.

The property is the same everywhere: any bytes give a value or the documented error, and what can be written again and
read again means the same. An exception that leaves a target, an assertion among them, is a finding. Every target tells
whether its input was understood, so that a corpus that has become worthless is noticed.

The pipe between the daemon and its script helper is none of them: both ends are this program, of one interpreter, and
the messages (marshal) are safe only between such; nobody else can write there (a socket pair that no script inherits).
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Any, Final

from tests.silence import Silence
from vrrpd.config import environment, keepalived
from vrrpd.config.host import HostFacts
from vrrpd.config.model import Configuration, ConfigurationError, Diagnostic
from vrrpd.config.render import to_json, to_keepalived_conf
from vrrpd.config.variables import NAMES
from vrrpd.control import ControlServer
from vrrpd.net import rtnetlink
from vrrpd.net.interfaces import AddressAdded, AddressRemoved, InterfaceTable, LinkChanged
from vrrpd.net.sockets import Ipv4Packet, Ipv6Packet
from vrrpd.net.watch import decode_arp, decode_neighbor
from vrrpd.protocol.admission import AdmissionPolicy
from vrrpd.protocol.datagram import Datagram, IPAddress
from vrrpd.protocol.discard import Discard
from vrrpd.protocol.events import SourceChanged, Startup
from vrrpd.protocol.packet import ChecksumForm, decode, encode
from vrrpd.protocol.parameters import RouterParameters
from vrrpd.protocol.timing import Version
from vrrpd.runner import Runner, RunnerSettings

VARIABLES: Final = sorted(NAMES)
FACTS: Final = HostFacts(
    host_name="node-1",
    interfaces={
        "eth0": (IPv4Interface("192.0.2.11/24"), IPv6Interface("2001:db8::11/64"), IPv6Interface("fe80::11/64"))
    },
    default_interface="eth0",
)
OWN: Final[frozenset[IPAddress]] = frozenset({IPv4Address("192.0.2.2"), IPv6Address("fe80::2")})


@dataclass(frozen=True)
class Target:
    """A function of bytes, and inputs that it understands."""

    name: str
    run: Callable[[bytes], bool]
    """Whether the input was understood."""


class _Counting(Silence):
    """Counts what a router sends."""

    def __init__(self) -> None:
        self.sent = 0

    def send(self, message: bytes, destination: IPAddress) -> None:
        """Counts."""
        self.sent += 1


def _runner(version: Version, family: int, sources: tuple[IPv4Network, ...] = ()) -> tuple[Runner, _Counting]:
    counting = _Counting()
    vip: IPAddress = IPv4Address("192.0.2.100") if family == 4 else IPv6Address("fe80::5:1")
    group: IPAddress = IPv4Address("224.0.0.18") if family == 4 else IPv6Address("ff02::12")
    own: IPAddress = IPv4Address("192.0.2.2") if family == 4 else IPv6Address("fe80::2")
    settings = RunnerSettings(
        "VI_1",
        RouterParameters(51, version, 100, 100, (vip,)),
        AdmissionPolicy(version, 100, group, accept_sources=sources),
        (group,),
    )
    runner = Runner(settings, counting, counting, lambda: 1000.0)
    runner.deliver(SourceChanged(own))
    runner.deliver(Startup())
    return runner, counting


def _explained(discard: Discard) -> None:
    """The reason is one line for a person."""
    assert discard.detail
    assert discard.detail.isprintable()


def _advertisement(datagram: Datagram) -> bool:
    """A datagram's way: decoder, admission, state machine; and the way back of what was understood."""
    try:
        decoded = decode(datagram)
    except Discard as discard:
        _explained(discard)
        return False
    advertisement = decoded.advertisement
    assert 1 <= len(advertisement.addresses) <= 255
    assert 0 <= advertisement.priority <= 255
    assert advertisement.max_advertise_interval > 0
    if decoded.checksum_form is not ChecksumForm.MULTICAST_PSEUDO_HEADER:
        form = ChecksumForm.MESSAGE_ONLY if decoded.checksum_form is ChecksumForm.MESSAGE_ONLY else None
        message = encode(
            advertisement, datagram.source, datagram.destination, checksum_form=form or ChecksumForm.PSEUDO_HEADER
        )
        again = Datagram(datagram.source, datagram.destination, datagram.hop_limit, message)
        assert decode(again).advertisement == advertisement
    for sources in ((), (IPv4Network("192.0.2.0/30"),)):
        runner, counting = _runner(advertisement.version, datagram.source.version, sources)
        state, deadline = runner.state, runner.deadline
        runner.receive(datagram, decoded, OWN)
        if sum(runner.statistics.discarded.values()):
            assert (runner.state, runner.deadline, counting.sent) == (state, deadline, 0)
        assert counting.sent <= 1
    return True


def packet_ipv4(data: bytes) -> bool:
    """A packet as a raw IPv4 socket hands it over."""
    packet = Ipv4Packet(data)
    try:
        datagram = packet.datagram()
    except Discard as discard:
        _explained(discard)
        return False
    assert len(datagram.message) <= len(data)
    return _advertisement(datagram)


def packet_ipv6(data: bytes) -> bool:
    """Source, destination, hop limit and message, as a raw IPv6 socket and its ancillary data tell them."""
    source, destination, hop_limit, message = data[:16], data[16:32], data[32:33], data[33:]
    if len(source) != 16:
        return False
    control = b""
    if len(destination) == 16:
        control += struct.pack("@Nii16si", 36, 41, 50, destination, 0) + bytes(4)
    if hop_limit:
        control += struct.pack("@Niii", 20, 41, 52, hop_limit[0]) + bytes(4)
    sender = struct.pack("=HHI16sI", 10, 0, 0, source, 0)
    packet = Ipv6Packet(message, control, sender, 0x20 if len(message) > 4096 else 0)
    try:
        datagram = packet.datagram()
    except Discard as discard:
        _explained(discard)
        return False
    return _advertisement(datagram)


def netlink(data: bytes) -> bool:
    """What one read of a netlink socket returned."""
    table, understood = InterfaceTable(), False
    for message in rtnetlink.split(data):
        rtnetlink.interface_index(message.data)
        rtnetlink.is_bridge_port(message.data)
        rtnetlink.link_name(message.data)
        rtnetlink.error_of(message.data)
        if interface := rtnetlink.decode_interface(message.data):
            understood = True
            table.apply(LinkChanged(interface))
        if address := rtnetlink.decode_address(message.data):
            understood = True
            table.apply(AddressAdded(address))
            table.apply(AddressRemoved(address))
    return understood


def frame(data: bytes) -> bool:
    """An Ethernet frame as the watch for other holders of an address gets it."""
    found = decode_arp(data), decode_neighbor(data)
    assert None in found
    for sighting in found:
        assert sighting is None or len(sighting.mac) == 6
    return found != (None, None)


def _told(diagnostics: tuple[Diagnostic, ...], fatal: bool) -> None:
    assert any(one.fatal for one in diagnostics) is fatal
    for one in diagnostics:
        line = str(one)
        assert line
        assert "\n" not in line
        line.encode()


def _printed(configuration: Configuration) -> None:
    """What is printed means the same when it is read again."""
    json.dumps(to_json(configuration))
    text = to_keepalived_conf(configuration)
    again, _ = keepalived.parse(text, file=configuration.source)
    assert to_keepalived_conf(again) == text


def keepalived_conf(data: bytes) -> bool:
    """A keepalived.conf without other files."""
    try:
        configuration, warnings = keepalived.parse(
            data.decode("utf-8", "surrogateescape"), environment={"A": "1", "B": "$A ${B} { } # \\"}
        )
    except ConfigurationError as error:
        _told(error.diagnostics, fatal=True)
        return False
    _told(warnings, fatal=False)
    _printed(configuration)
    return True


_directory: Path | None = None


def _files() -> Path:
    """A directory in memory, gone with the process."""
    global _directory
    if _directory is None:
        place = "/dev/shm" if os.path.isdir("/dev/shm") and "TMPDIR" not in os.environ else None
        _directory = Path(tempfile.mkdtemp(prefix="vrrpd-fuzz-", dir=place))
        atexit.register(shutil.rmtree, _directory, ignore_errors=True)
    return _directory


def keepalived_files(data: bytes) -> bool:
    """A keepalived.conf with what it includes: up to four files, a.conf to d.conf, cut at NUL bytes."""
    directory = _files()
    for number, content in enumerate(data.split(b"\0", 3)):
        (directory / f"{'abcd'[number]}.conf").write_bytes(content)
    try:
        configuration, warnings = keepalived.load(
            str(directory / "a.conf"), config_id="a", environment={"A": "1"}, examine_scripts=False
        )
    except ConfigurationError as error:
        _told(error.diagnostics, fatal=True)
        return False
    _told(warnings, fatal=False)
    _printed(configuration)
    return True


def openshift_environment(data: bytes) -> bool:
    """Environment variables: NAME=VALUE with NUL between; a name may be a number of one of those that are read."""
    variables: dict[str, str] = {}
    for line in data.split(b"\0")[:64]:
        name, _, value = line.decode("utf-8", "surrogateescape").partition("=")
        if name.isascii() and name.isdecimal() and len(name) < 4:
            name = VARIABLES[int(name) % len(VARIABLES)]
        variables[name] = value
    environment.asked_for(variables)
    environment.instance_name(variables).encode("ascii")
    try:
        configuration, warnings = environment.parse(variables, FACTS)
    except ConfigurationError as error:
        _told(error.diagnostics, fatal=True)
        return False
    _told(warnings, fatal=False)
    for spread in environment.spreads(variables, FACTS):
        spread.explain()
        json.dumps(spread.to_json())
    _printed(configuration)
    return True


class _Control:
    """A live control server in an event loop of its own, asked through its socket."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda loop, context: self.complaints.append(context))
        self.server = ControlServer(_files() / "control.sock", {"status": self._status})
        self.loop.run_until_complete(self.server.start())

    async def _status(self) -> dict[str, Any]:
        return {"state": "MASTER"}

    async def exchange(self, data: bytes) -> bytes:
        """Sends the bytes, says that there are no more, and returns the answer."""
        reader, writer = await asyncio.open_unix_connection(str(self.server.path))
        try:
            writer.write(data)
            writer.write_eof()
            return await asyncio.wait_for(reader.read(1 << 16), 5)
        except ConnectionError:
            return b""
        finally:
            writer.close()


_control: _Control | None = None


def control_request(data: bytes) -> bool:
    """A request to the control socket."""
    global _control
    if _control is None:
        _control = _Control()
    answer = _control.loop.run_until_complete(_control.exchange(data))
    assert not _control.complaints, _control.complaints
    if not answer:
        return False  # The connection was closed before all had been sent.
    document = json.loads(answer)
    assert answer.endswith(b"\n")
    assert document == {"state": "MASTER"} or list(document) == ["error"]
    return "state" in document


TARGETS: Final = {
    target.name: target
    for target in (
        Target("packet4", packet_ipv4),
        Target("packet6", packet_ipv6),
        Target("netlink", netlink),
        Target("frame", frame),
        Target("conf", keepalived_conf),
        Target("files", keepalived_files),
        Target("environment", openshift_environment),
        Target("control", control_request),
    )
}
