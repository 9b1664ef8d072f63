"""``make demo-ramp`` as it is run: the tunnel goes on through the other ramp node in time, and nothing stays behind."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

import pytest

import vrrpd
from tests.netns.demonstrations import daemons_of, demonstration, nothing_is_left
from vrrpd.lab import wait_until

pytestmark = [pytest.mark.netns, pytest.mark.alone]

MODULE = "vrrpd.lab.demo_ramp"
NOTIFY = Path(vrrpd.__file__).parent.parent / "examples" / "ramp-node" / "notify.sh"


def missed_ms(output: str, event: str) -> float:
    """What the table of outages says that the edge missed."""
    (found,) = re.findall(rf"^{re.escape(event)} +(\d+\.\d) ms ", output, re.MULTILINE)
    return float(found)


@pytest.mark.parametrize("made_by", ["the system", "the notify script of the examples"])
def test_the_tunnel_goes_on_through_the_other_ramp_node(
    privileges: None, environment: dict[str, str], tmp_path: Path, made_by: str
) -> None:
    arguments = ["--notify", str(NOTIFY)] if made_by == "the notify script of the examples" else []
    if arguments and shutil.which("ip", path=f"{environment['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip("the notify script needs the ip command (package iproute2)")
    with demonstration(MODULE, *arguments, environment=environment, directory=tmp_path) as demo:
        output, _ = demo.communicate(timeout=100)
    assert demo.returncode == 0, output
    # The protocol: at most 3 x 500 + 304.7 ms of silence, at least one advertisement less; 304.7 ms after a farewell.
    assert 1000 < missed_ms(output, "r1 loses its power") < 2800, output
    assert 200 < missed_ms(output, "vrrpd on r1 is stopped (SIGTERM)") < 900, output
    assert nothing_is_left(tmp_path)


def test_an_interrupted_ramp_demonstration_cleans_up(
    privileges: None, environment: dict[str, str], tmp_path: Path
) -> None:
    with demonstration(MODULE, environment=environment, directory=tmp_path) as demo:
        wait_until(lambda: len(daemons_of(tmp_path)) == 2, timeout=20, what="both daemons")
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130, output
    assert "Traceback" not in output
    assert nothing_is_left(tmp_path)


def test_a_ramp_demonstration_without_tunnels_fails_and_cleans_up(
    privileges: None, environment: dict[str, str], tmp_path: Path
) -> None:
    useless = shutil.which("false")
    assert useless is not None
    with demonstration(MODULE, "--notify", useless, environment=environment, directory=tmp_path) as demo:
        output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1, output
    assert "FAILED: waited 5 s for tun1 on r1" in output
    assert nothing_is_left(tmp_path)
