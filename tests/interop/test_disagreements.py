"""keepalived and vrrpd not configured alike: what either of them refuses, and what the operator is told.

vrrpd plays the first router. keepalived runs before vrrpd is started, so that vrrpd hears it from its first moment.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.interop.story import Group, Story

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

CHECKSUM_MASTER: Final = Group("checksum_master", 31, 0.25, ("192.0.2.131",))
CHECKSUM_BACKUP: Final = Group("checksum_backup", 32, 0.25, ("192.0.2.132",))
ADDRESSES_MASTER: Final = Group("addresses_master", 33, 0.25, ("192.0.2.133",))
ADDRESSES_BACKUP: Final = Group("addresses_backup", 34, 0.25, ("192.0.2.134",))
PASSWORD: Final = Group("password", 35, 1.0, ("192.0.2.135",))
INTERVAL: Final = Group("interval", 36, 2.0, ("192.0.2.136",))
VERSION: Final = Group("version", 37, 1.0, ("192.0.2.137",))

FILE: Final = Path(__file__).with_name("disagreements.conf")
GROUPS: Final = (
    CHECKSUM_MASTER,
    CHECKSUM_BACKUP,
    ADDRESSES_MASTER,
    ADDRESSES_BACKUP,
    PASSWORD,
    INTERVAL,
    VERSION,
)
FIRST: Final = ("vrrpd",)

LOGS_A_DIFFERENT_ADDRESS_LIST: Final = (2, 3, 3)
"""The first keepalived that does not drop an advertisement for it."""


def PLAY(story: Story) -> None:
    """keepalived is master of everything; vrrpd is started."""

    def start_keepalived() -> None:
        story.start("keepalived")
        story.touch()

    alone = story.everything_at("keepalived", vrrpd_runs=False)
    story.act("keepalived alone", start_keepalived, alone)
    agreed = {group.name: story.at("keepalived", group) for group in (CHECKSUM_BACKUP, ADDRESSES_BACKUP)}
    story.act("vrrpd joins", lambda: story.start("vrrpd"), agreed, lasts=10.0)


story_of_both = pytest.mark.parametrize("story", FIRST, indirect=True, ids=lambda first: f"{first}_first")
JOINED: Final = "vrrpd joins"


def has_two_masters(story: Story, group: Group) -> bool:
    """Whether both sides hold the addresses and vrrpd says that it is master."""
    seen = story.acts[JOINED].seen[group.name]
    both = frozenset({"vrrpd", "keepalived"})
    return seen.status == ("MASTER", "vrrpd") and set(seen.holders.values()) == {both}


@story_of_both
@pytest.mark.requirement("FMT-9")
def test_keepalived_refuses_the_checksum_of_rfc_9568(story: Story) -> None:
    assert has_two_masters(story, CHECKSUM_MASTER)
    assert "(checksum_master) Invalid VRRPv3 checksum" in story.log("keepalived")


@story_of_both
@pytest.mark.requirement("FMT-9", "RX-9")
def test_vrrpd_accepts_keepalived_s_checksum_also_when_it_sends_the_other_form(story: Story) -> None:
    assert story.acts[JOINED].seen["checksum_backup"] == story.at("keepalived", CHECKSUM_BACKUP)
    assert story.acts[JOINED].status["checksum_backup"]["discarded"] == {}


@story_of_both
@pytest.mark.parametrize("group", [CHECKSUM_MASTER, CHECKSUM_BACKUP], ids=lambda group: group.name)
@pytest.mark.requirement("RX-9")
def test_a_peer_with_the_other_checksum_is_named_in_log_and_status(story: Story, group: Group) -> None:
    router = story.acts[JOINED].status[group.name]
    assert [(peer["address"], peer["remarks"]) for peer in router["peers"]] == [("192.0.2.2", ["checksum_form"])]
    assert f"WARNING ({group.name}) 192.0.2.2 sends checksums of the form pseudo_header" in story.log("vrrpd")


@story_of_both
@pytest.mark.requirement("RX-17", "V2-9")
def test_another_address_list_makes_old_keepaliveds_drop_the_advertisement(
    story: Story, keepalived_version: tuple[int, ...]
) -> None:
    if keepalived_version < LOGS_A_DIFFERENT_ADDRESS_LIST:
        assert has_two_masters(story, ADDRESSES_MASTER)
        assert "(addresses_master) received an unexpected ip number count 2, expected 1!" in story.log("keepalived")
    else:
        assert story.acts[JOINED].seen["addresses_master"] == story.at("vrrpd", ADDRESSES_MASTER)


@story_of_both
@pytest.mark.requirement("RX-17")
def test_vrrpd_accepts_another_address_list_and_names_the_difference(story: Story) -> None:
    assert story.acts[JOINED].seen["addresses_backup"] == story.at("keepalived", ADDRESSES_BACKUP)
    assert "WARNING (addresses_backup) the address list of 192.0.2.2 lacks 192.0.2.234" in story.log("vrrpd")


@story_of_both
@pytest.mark.parametrize(
    ("group", "reason", "explanation"),
    [
        (PASSWORD, "authentication_data", r"auth_pass\) differs from ours; both will be MASTER"),
        (INTERVAL, "interval", r"interval is 2 s, expected 1 s .* both will be MASTER"),
        (VERSION, "version", r"version is 2, expected 3; both will be MASTER"),
    ],
    ids=["password", "interval", "version"],
)
@pytest.mark.requirement("RX-18", "RX-19")
@pytest.mark.counter_case("RX-4", "V2-5", "V2-7")
def test_what_both_sides_reject_is_named_and_does_not_keep_vrrpd_from_its_work(
    story: Story, group: Group, reason: str, explanation: str
) -> None:
    assert has_two_masters(story, group)
    assert set(story.acts[JOINED].status[group.name]["discarded"]) == {reason}
    warning = rf"WARNING \({group.name}\) discarded advertisement from 192\.0\.2\.2 on eth0: .*{explanation}"
    assert len(re.findall(warning, story.log("vrrpd"))) == 1


@story_of_both
@pytest.mark.parametrize("group", [PASSWORD, INTERVAL, VERSION], ids=lambda group: group.name)
@pytest.mark.requirement("RX-19")
def test_vrrpd_advertises_each_second_beside_a_master_that_it_rejects(story: Story, group: Group) -> None:
    sent = [frame.time for frame, _ in story.advertisements(group, "vrrpd", JOINED)]
    # Half of what is due: keepalived, which starts its timer again for each packet that it rejects, falls silent.
    assert len(sent) > (story.acts[JOINED].ended_ns / 1e9 - sent[0]) / 2
