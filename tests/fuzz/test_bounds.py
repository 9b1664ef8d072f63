"""Input that wants to grow: it ends soon, in little memory, and with the documented error.

Each case runs in a process of its own, whose address space is limited: what wants more dies of MemoryError.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import vrrpd
from tests.fuzz.targets import TARGETS

ROOT = Path(vrrpd.__file__).parent.parent
MEMORY = 600 << 20
"""Bytes of address space: the interpreter with all modules takes less than a third."""
TIME = 40.0
"""Seconds, on a machine that is busy with other things; none takes more than a few on a quiet one."""

PROGRAM = f"""
import resource, sys
from pathlib import Path
from vrrpd.config import environment, keepalived
from vrrpd.config.host import HostFacts
from vrrpd.config.model import ConfigurationError
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
kind, name = sys.argv[1], sys.argv[2]
try:
    if kind == "file":
        keepalived.load(name)
    else:
        value = sys.stdin.read()
        environment.parse({{"OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101", name: value}}, HostFacts())
    print("accepted")
except ConfigurationError as error:
    print("refused", len(error.diagnostics), max(len(str(one)) for one in error.diagnostics))
"""


ROOM = 64 << 20
"""Bytes that all inputs of all targets may add to the interpreter with all modules."""
LARGE = 1 << 18
INPUTS = 150
OF_ALL_TARGETS = f"""
import resource
from pathlib import Path
from tests.fuzz.corpus import SEEDS, WORDS
from tests.fuzz.engine import attempt, fuzz
from tests.fuzz.targets import TARGETS
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + {ROOM}, size + {ROOM}))
for name, target in TARGETS.items():
    finding = fuzz(target.run, SEEDS[name], WORDS[name], seed=1, inputs={INPUTS}).finding
    for seed in SEEDS[name][:3]:
        finding = finding or attempt(target.run, (seed * ({LARGE} // max(1, len(seed)) + 1))[:{LARGE}])[1]
    print(name, finding.what if finding else "bounded", flush=True)
"""


def ask(kind: str, name: str, text: str = "") -> list[str]:
    """What became of one input: accepted, or refused with the number of diagnostics and the length of the longest."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, name],
        input=text,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIME,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


def router(body: str) -> str:
    return (
        f"vrrp_instance VI_1 {{\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {{ 192.0.2.1 }}\n{body}\n}}\n"
    )


LAUGHS = "".join(
    [
        "$A0=laugh\n",
        *(f"$A{number}={''.join([f'${{A{number - 1}}}'] * 10)}\n" for number in range(1, 12)),
        router("notify ${A11}"),
    ]
)
LINES_WITHIN_LINES = "".join(
    [
        "$B0= \\\n  x\n",
        *(
            f"$B{number}= \\\n" + "".join(f"  ${{B{number - 1}}} \\\n" for _ in range(9)) + f"  ${{B{number - 1}}}\n"
            for number in range(1, 9)
        ),
        "${B8}\n",
    ]
)

FILES = {
    "a line of 100 MB": "x" * (100 << 20),
    "100 MB of blocks": "a {\n" * (25 << 20),
    "a billion laughs": LAUGHS,
    "lines within lines": LINES_WITHIN_LINES,
    "a parameter made of itself": "$A=${A}${A}\n${A}\n",
    "conditions without end": "@a " * 300_000,
    "quotes that never end": router("notify " + '"' * 900_000),
    "braces without end": "{" * 200_000,
    "a string of escapes": router('notify "' + "\\x41" * 200_000 + '"'),
    "sources without end": router("accept_sources {\n" + "192.0.2.9\n" * 20_000 + "}"),
    "addresses without end": router("virtual_ipaddress {\n" + "192.0.2.9\n" * 20_000 + "}"),
    "routers without end": "".join(f"vrrp_instance V{number} {{\n}}\n" for number in range(8_000)),
    "unknown words without end": "".join(f"vrrp_instanse{number}\n" for number in range(20_000)),
}
VARIABLES = {
    "all IPv4 addresses": ("OPENSHIFT_HA_VIRTUAL_IPS", "0.0.0.0-255.255.255.255"),
    "all IPv6 addresses": ("OPENSHIFT_HA_VIRTUAL_IPS", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "a number as an end": ("OPENSHIFT_HA_VIRTUAL_IPS", "192.0.2.0-4294967295"),
    "many wide ranges": ("OPENSHIFT_HA_VIRTUAL_IPS", ",".join(f"10.{n}.0.0-10.{n}.15.255" for n in range(256)) * 20),
    "a list of 20 MB": ("OPENSHIFT_HA_VIRTUAL_IPS", "192.0.2.1," * (2 << 20)),
    "a word of 20 MB": ("OPENSHIFT_HA_VIRTUAL_IPS", "9" * (20 << 20)),
    "ids without end": ("HA_EXCLUDED_VRRP_IDS", "0-4294967295," * 9000),
    "groups without end": ("OPENSHIFT_HA_VIP_GROUPS", "4294967295"),
    "a number of 20 MB": ("OPENSHIFT_HA_REPLICA_COUNT", "9" * (20 << 20)),
    "peers without end": ("OPENSHIFT_HA_UNICAST_PEERS", ",".join(f"10.0.{n >> 8}.{n & 255}" for n in range(11_000))),
    "accepted sources without end": (
        "VRRPD_ACCEPT_SOURCES",
        ",".join(f"10.0.{n >> 8}.{n & 255}" for n in range(11_000)),
    ),
    "nodes without end": ("VRRPD_NODES", ",".join(f"10.0.{n >> 8}.{n & 255}" for n in range(11_000))),
}
HARMLESS = {"a string of escapes"}
"""Long and silly, and still a script's name."""


@pytest.mark.parametrize("what", [*FILES, *VARIABLES])
def test_input_that_wants_to_grow_ends_soon_and_stays_small(what: str, tmp_path: Path) -> None:
    if what in FILES:
        file = tmp_path / "keepalived.conf"
        file.write_text(FILES[what])
        answer = ask("file", str(file))
    else:
        answer = ask("environment", *VARIABLES[what])
    if what not in HARMLESS:
        assert answer[0] == "refused"
        assert int(answer[1]) <= 2002
        assert int(answer[2]) < 5000


def test_every_target_bears_its_inputs_and_large_ones_in_little_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OF_ALL_TARGETS], cwd=ROOT, capture_output=True, text=True, timeout=TIME, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [f"{name} bounded" for name in TARGETS]


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.conf").write_text("include *.conf\n" * 50)
    assert ask("file", str(tmp_path / "0.conf"))[0] == "refused"


def test_a_deep_chain_of_includes_ends(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}.conf").write_text(f"include {number + 1}.conf\n")
    assert ask("file", str(tmp_path / "0.conf"))[0] == "refused"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("/dev/zero", "/dev/urandom", str(tmp_path)):
        file = tmp_path / "keepalived.conf"
        file.write_text(f"include {name}\n")
        assert ask("file", str(file))[0] == "refused"
