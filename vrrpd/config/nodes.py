"""Which nodes there are and which of them is this one, as far as the environment and the host tell.

All pods of a deployment share one environment, so a list of peers may hold this node too: it is dropped from the peers
and still counts as a node. Knows the variables that speak of nodes and nothing of groups.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vrrpd.config.host import HostFacts
from vrrpd.config.model import Family, IPAddress
from vrrpd.config.spread import MOST_NODES
from vrrpd.config.variables import Variables

PEERS: Final = "OPENSHIFT_HA_UNICAST_PEERS"
NODES: Final = "VRRPD_NODES"
NODE_ADDRESS: Final = "VRRPD_NODE_ADDRESS"
UNICAST_SOURCE: Final = "UNICAST_SOURCE_IPADDRESS"
MULTICAST_SOURCE: Final = "MULTICAST_SOURCE_IPADDRESS"
REPLICAS: Final = "OPENSHIFT_HA_REPLICA_COUNT"


@dataclass(frozen=True, slots=True)
class Cluster:
    """The known nodes of some groups; ``own`` is the one of this host, None while its address is not known."""

    nodes: tuple[IPAddress, ...]
    own: IPAddress | None


@dataclass(frozen=True, slots=True)
class Unicast:
    """How the groups of one family speak to their peers."""

    peers: tuple[IPAddress, ...]
    """Empty where this node is alone."""
    source: IPAddress | None


class Nodes:
    """The answers, worked out once; problems are reported while asking."""

    def __init__(self, variables: Variables, facts: HostFacts, interface: str, virtual: Container[IPAddress]) -> None:
        self._variables = variables
        self._facts = facts
        self._interface = interface
        self._virtual = virtual
        self._given = variables.address(NODE_ADDRESS)
        self._source = variables.address(UNICAST_SOURCE)
        self._multicast_source = variables.address(MULTICAST_SOURCE)
        self._peers = variables.addresses(PEERS)
        self._nodes = variables.addresses(NODES)
        self.unicast = variables.given(PEERS)
        """Peers given means unicast, whatever OPENSHIFT_HA_USE_UNICAST says."""

    @property
    def address(self) -> IPAddress | None:
        """This node's own address: the given one, else the first on the interface, IPv4 before IPv6; never virtual."""
        return self._given or self._first(4) or self._first(6)

    def _first(self, family: Family) -> IPAddress | None:
        return next(self._facts.on(self._interface, family, self._virtual), None)

    def cluster(self, family: Family) -> Cluster | None:
        """The nodes of the groups of a family; None where nobody lists them."""
        if self._variables.given(NODES):
            return self._cluster(self._nodes)
        if self.unicast:
            return self._cluster([peer for peer in self._peers if peer.version == family])
        return None

    def _cluster(self, listed: Sequence[IPAddress]) -> Cluster | None:
        if not listed:
            return None
        own = self._own_in(listed) or self._stand_in(listed[0].version)
        others = self._without_own(listed)
        return Cluster((*others, *(() if own is None else (own,))), own)

    def unicast_of(self, family: Family) -> Unicast:
        """Peers and source address of the groups of a family; only asked in unicast mode."""
        listed = [peer for peer in self._peers if peer.version == family]
        own = self._own_in(listed)
        source = self._source if self._source is not None and self._source.version == family else own
        if source is None and family == 6:
            # The usual source is the link-local address, which is not what others have in their lists.
            source = self._stand_in(6)
        return Unicast(tuple(self._without_own(listed)), source)

    def multicast_source(self, family: Family) -> IPAddress | None:
        """The source address of the groups of a family in multicast mode; None for the interface's own choice."""
        source = self._multicast_source
        return source if source is not None and source.version == family else None

    def _known_own(self) -> list[IPAddress]:
        given = [address for address in (self._given, self._source) if address is not None]
        return [*given, *self._facts.own_addresses(self._virtual)]

    def _own_in(self, listed: Sequence[IPAddress]) -> IPAddress | None:
        return next((address for address in self._known_own() if address in listed), None)

    def _without_own(self, listed: Iterable[IPAddress]) -> list[IPAddress]:
        own = frozenset(self._known_own())
        return [address for address in listed if address not in own]

    def _stand_in(self, family: Family) -> IPAddress | None:
        """What to call this node where it is not listed."""
        if self._given is not None and self._given.version == family:
            return self._given
        return self._first(family)

    def tell(self, families: Iterable[Family]) -> None:
        """Report what is wrong or odd about the lists; ``families`` are those that the groups have."""
        families = sorted(set(families))
        self._tell_of_lists(families)
        self._tell_of_modes()
        self._tell_of_sources(families)
        self._tell_of_own_address()
        self._tell_of_replicas(families)

    def _tell_of_lists(self, families: Sequence[Family]) -> None:
        variables = self._variables
        for name in (PEERS, NODES):
            if variables.given(name) and not variables.words(name):
                variables.wrong(name, "IPv4 or IPv6 unicast addresses with commas between")
        lists: list[tuple[str, Sequence[IPAddress]]] = [(NODES, self._nodes)] if self._nodes else []
        for family in families if self._peers else ():
            of_family = [peer for peer in self._peers if peer.version == family]
            if not of_family:
                variables.error(
                    f"{PEERS} lists no IPv{family} address but there are IPv{family} groups, expected the IPv{family} "
                    "addresses of the nodes too"
                )
            else:
                lists.append((PEERS, of_family))
        for name, listed in lists:
            own = self._own_in(listed)
            stand_in = self._stand_in(listed[0].version)
            if own is None and stand_in is not None:
                variables.warning(f"{name} does not list this node ({stand_in}): it is added to the nodes")
            if name == PEERS and not self._without_own(listed):
                variables.warning(f"{PEERS} lists only this node ({own}): it runs alone, and no other node hears it")
            if len(listed) + 1 > MOST_NODES:
                variables.error(f"{name} lists {len(listed)} addresses, expected fewer than {MOST_NODES}")

    def _tell_of_modes(self) -> None:
        variables = self._variables
        use = variables.text("OPENSHIFT_HA_USE_UNICAST").lower()
        if use not in ("", "true", "false"):
            variables.warning(
                f"OPENSHIFT_HA_USE_UNICAST is {variables.text('OPENSHIFT_HA_USE_UNICAST')!a}, expected true or false: "
                f"{PEERS} decides"
            )
        elif use == "false" and self.unicast:
            variables.warning(f"OPENSHIFT_HA_USE_UNICAST is false but {PEERS} is given: peers mean unicast")
        elif use == "true" and not self.unicast:
            variables.warning(f"OPENSHIFT_HA_USE_UNICAST is true but {PEERS} is not given: multicast is used")

    def _tell_of_sources(self, families: Sequence[Family]) -> None:
        variables = self._variables
        for name, source, mode, used in (
            (UNICAST_SOURCE, self._source, "unicast", self.unicast),
            (MULTICAST_SOURCE, self._multicast_source, "multicast", not self.unicast),
        ):
            if source is None:
                continue
            if not used:
                variables.warning(f"{name} is {source} but {PEERS} decides against {mode}: it has no effect")
            elif families and source.version not in families:
                variables.warning(f"{name} is {source} but no group is IPv{source.version}: it has no effect")
            elif self._facts.interfaces and source not in self._facts.own_addresses(()):
                variables.warning(f"{name} is {source}, which is no address of this node now: FAULT until it is")

    def _tell_of_own_address(self) -> None:
        if self._given is None:
            return
        if self._given in self._virtual:
            self._variables.error(
                f"{NODE_ADDRESS} is {self._given}, a virtual address, expected this node's own address"
            )
        elif self._facts.interfaces and self._given not in self._facts.own_addresses(()):
            self._variables.warning(f"{NODE_ADDRESS} is {self._given}, which is no address of this node now")

    def _tell_of_replicas(self, families: Sequence[Family]) -> None:
        variables = self._variables
        text = variables.text(REPLICAS)
        if not text:
            return
        if not (text.isascii() and text.isdecimal() and int(text[:10]) > 0):
            variables.warning(
                f"{REPLICAS} is {text[:60]!a}, expected the number of pods; it has no part in the election"
            )
            return
        known = [len(cluster.nodes) for cluster in map(self.cluster, families) if cluster is not None]
        if known and max(known) != int(text[:10]):
            variables.warning(f"{REPLICAS} is {int(text[:10])} but {max(known)} nodes are listed, expected the same")
