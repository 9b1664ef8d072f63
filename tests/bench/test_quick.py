"""The benchmark itself, as short as it can be: it measures, it writes, and when interrupted it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.daemons import ROOT, NoSuchDaemon, keepalived
from tests.bench.leftovers import Watch, watching
from vrrpd.lab import wait_until

pytestmark = [pytest.mark.netns, pytest.mark.alone]

BENCH = (sys.executable, "-m", "bench", "--quick", "--rounds", "1", "--no-plots")
STOP_ONLY = ("--only", "a", "--event", "stop")
EXIT_UNAVAILABLE = 77


def environment(directory: Path) -> dict[str, str]:
    """Ours, with this source first and temporary files where the test finds them."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "TMPDIR": str(directory)}


def processes_with(text: str) -> list[str]:
    """The command lines of all processes in which a text occurs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if text in line:
            found.append(line)
    return found


def skip_where_unavailable(code: int | None, said: str) -> None:
    """Skip where the machine allows no namespaces."""
    if code == EXIT_UNAVAILABLE:
        pytest.skip(said)


def test_a_clean_stop_of_both_daemons_is_measured_and_reported(tmp_path: Path) -> None:
    try:
        keepalived()
    except NoSuchDaemon as reason:
        pytest.skip(str(reason))
    output = tmp_path / "output"
    done = subprocess.run(
        [*BENCH, *STOP_ONLY, "--output", str(output)],
        env=environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    skip_where_unavailable(done.returncode, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((output / "results.json").read_text())
    stops = {sample["daemon"]: sample for sample in document["events"] if sample["event"] == "clean stop"}
    assert stops.keys() == {"keepalived", "vrrpd"}
    for sample in stops.values():
        assert len(sample["overheads_ms"]) == 1
        assert sample["outage_ms"] > 0
        ((vrid, address, _, allowed_ns, advertised_ns, announced_ns),) = sample["takeovers"]
        assert (vrid, address) == (1, "198.18.1.1")
        # The skew time of priority 100 and 100 ms, after priority 0.
        assert allowed_ns == 60_937_500
        assert advertised_ns > 0
        assert announced_ns > 0
    assert {start["daemon"] for start in document["starts"]} == {"keepalived", "vrrpd"}
    assert "(a) 1 router, 1 address, 100 ms" in done.stdout
    assert "| clean stop p50 | ms |" in (output / "report.md").read_text()
    assert not processes_with(str(tmp_path))


@contextmanager
def one_daemon(directory: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Watch]]:
    """A run that measures clean stops of one daemon."""
    daemon = f"third={sys.executable} -m vrrpd run -f {{config}}"
    with watching() as watch:
        running = subprocess.Popen(
            [*BENCH, *STOP_ONLY, "--without", "keepalived", "--without", "vrrpd", "--daemon", daemon, *arguments],
            env=environment(directory),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield running, watch
        finally:
            running.kill()
            running.wait()


def interrupt(running: subprocess.Popen[str]) -> None:
    """Ctrl-C, and the end it must come to."""
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=30)
    skip_where_unavailable(running.returncode, said)
    assert running.returncode == 130, said
    assert "Traceback" not in said


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    with one_daemon(tmp_path) as (running, watch):

        def both_run() -> bool:
            if running.poll() is not None:
                return True
            lines = processes_with(f"{tmp_path}/")
            return all(any(f"/{name}/keepalived.conf" in line for line in lines) for name in ("r1", "r2"))

        wait_until(both_run, 60, "both routers to run")
        hosts = watch.look()
        interrupt(running)
        # The bridge's, and those of r1, r2 and the client.
        assert len(hosts) >= 4
        assert not watch.left()
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_reports_what_it_has_measured(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with one_daemon(tmp_path, "--rounds", "9", "--output", str(output)) as (running, watch):
        assert running.stdout is not None
        told = next((line for line in running.stdout if ", clean stop " in line), None)
        watch.look()
        interrupt(running)
        assert told is not None
        assert not watch.left()
    document = json.loads((output / "results.json").read_text())
    # A host that takes processor time away may be told of as well.
    assert "interrupted before the end" in document["problems"]
    stops = [sample["overheads_ms"] for sample in document["events"] if sample["event"] == "clean stop"]
    assert 1 <= len(stops) < 9
    assert f", clean stop {stops[0][0]:.2f}" in told
    assert "- interrupted before the end" in (output / "report.md").read_text()
    assert list(tmp_path.iterdir()) == [output]
