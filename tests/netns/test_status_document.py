"""The status document of real daemons keeps to its schema, and docs/operation.md names all that can be in it."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.netns.daemons import Daemons, check, instance
from tests.protocol.vectors import VECTORS
from vrrpd.checks import CheckState
from vrrpd.conflicts import ConflictKind
from vrrpd.lab import Host, wait_until
from vrrpd.protocol.actions import NoticeKind, StateName
from vrrpd.protocol.discard import DiscardReason
from vrrpd.protocol.events import FaultKind
from vrrpd.protocol.packet import ChecksumForm

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA: dict[str, Any] = json.loads((DOCS / "schema" / "status.schema.json").read_text())
PAGE = (DOCS / "operation.md").read_text()


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


def values(kind: type[Enum]) -> set[str]:
    return {member.value for member in kind}


def test_the_schema_knows_every_value_that_the_code_can_give() -> None:
    definitions = SCHEMA["$defs"]
    router = definitions["router"]["properties"]
    assert set(definitions["state"]["enum"]) == values(StateName)
    assert set(definitions["discarded"]["propertyNames"]["enum"]) == values(DiscardReason)
    assert set(definitions["remark"]["enum"]) == values(NoticeKind)
    assert set(definitions["checksum_form"]["enum"]) == values(ChecksumForm)
    assert set(definitions["conflict"]["enum"]) == values(ConflictKind)
    assert set(router["faults"]["items"]["properties"]["kind"]["enum"]) == values(FaultKind)
    assert set(definitions["check"]["properties"]["state"]["enum"]) == values(CheckState)


@pytest.mark.parametrize(
    "word",
    sorted(values(DiscardReason) | values(NoticeKind) | values(ConflictKind) | values(FaultKind) | values(StateName)),
)
def test_the_page_explains_every_value(word: str) -> None:
    first_cells = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("|")]
    assert any(f"`{word}`" in cell or cell.strip() == word for cell in first_cells)


@pytest.fixture
def documents(r1: Host, r2: Host, daemons: Daemons) -> list[dict[str, Any]]:
    """The status of a daemon whose routers are in every state that there is, and of one that has only just begun."""
    master = daemons.start(r2, instance(priority=200, interval=1))
    master.wait_for_state("MASTER")
    excluded = ["virtual_ipaddress_excluded {", "2001:db8::200", "}"]
    backup = daemons.start(
        r1,
        check("true", interval=0.1)
        + check("false", name="other", interval=0.1)
        + check("sleep 60", "timeout 60", name="slow")
        + instance("preempt_delay 300", "track_script {", "service weight 5", "}", interval=1)
        + instance(*excluded, name="V6", addresses=["fe80::5:1", "2001:db8::100"])
        + instance("track_script {", "other", "}", name="F1", vrid=61, addresses=["192.0.2.101"])
        + instance("track_script {", "slow", "}", name="F2", vrid=62, addresses=["192.0.2.102"])
        + instance(name="F3", vrid=63, interface="eth9", addresses=["192.0.2.103"])
        + instance("unicast_peer {", "192.0.2.2", "}", name="U1", vrid=64, addresses=["192.0.2.104"])
        + instance(name="V2", vrid=65, interval=1, addresses=["192.0.2.105"]).replace("version 3", "version 2"),
    )
    backup.wait_for(lambda router: router["counters"]["advertisements_received"] > 0, "an advertisement")
    rejected = next(vector for vector in VECTORS if vector.name == "BAD4-SUM").packet
    r2.send_packet(rejected[:21] + bytes([51]) + rejected[22:])  # another id: the checksum is still wrong
    backup.wait_for(lambda router: router["discarded"] == {"checksum": 1}, "the discarded packet")
    backup.wait_for_state("MASTER", "V6")
    wait_until(lambda: backup.check("other")["runs"] > 1, what="two runs of a check")
    backup.reload()
    return [backup.status(), master.status()]


@pytest.mark.netns
def test_the_status_of_a_running_daemon_keeps_to_its_schema(
    validator: jsonschema.Draft202012Validator, documents: list[dict[str, Any]]
) -> None:
    for document in documents:
        validator.validate(document)
    routers = {router["name"]: router for router in documents[0]["routers"]}
    assert routers["VI_1"]["master"] == {"address": "192.0.2.2", "priority": 200, "is_self": False}
    assert routers["VI_1"]["priority"] == {"configured": 100, "effective": 105, "explanation": "check service +5"}
    peers = {peer["address"]: peer for peer in routers["VI_1"]["peers"]}
    assert peers["192.0.2.9"]["discarded"] == {"checksum": 1}
    assert peers["192.0.2.2"]["priority"] == 200
    assert routers["V2"]["version"] == 2
    assert routers["U1"]["mode"] == "unicast"
    assert [routers[name]["faults"][0]["kind"] for name in ("F1", "F2", "F3")] == [
        "check",
        "awaiting_check",
        "interface",
    ]
    assert documents[0]["reloads"]["last"]["result"] == "done"
    # The schema would notice: every object of the document refuses a field that is new, and one that is missing.
    for path in objects(documents[0]):
        if path[-1:] in (["discarded"], ["notices"], ["checksum_forms"], ["conflicts_begun"]):
            continue
        for field in at(documents[0], path):
            broken = json.loads(json.dumps(documents[0]))
            del at(broken, path)[field]
            assert not validator.is_valid(broken), (path, field)
        broken = json.loads(json.dumps(documents[0]))
        at(broken, path)["new"] = 1
        assert not validator.is_valid(broken), path


def objects(document: object, path: tuple[Any, ...] = ()) -> list[list[Any]]:
    """Where there are objects in a document; of alike list entries only the first."""
    found: list[list[Any]] = []
    if isinstance(document, dict):
        found.append(list(path))
        for key, value in document.items():
            found += objects(value, (*path, key))
    elif isinstance(document, list) and document:
        found += objects(document[0], (*path, 0))
    return found


def at(document: Any, path: list[Any]) -> dict[str, Any]:
    """The object at a place."""
    for step in path:
        document = document[step]
    assert isinstance(document, dict)
    return document
