"""Daemons that follow one another on one machine: with a /run that outlives each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.netns.daemons import SOURCE, VRRPD, Daemon, Daemons
from vrrpd.lab import Host


@dataclass(frozen=True)
class Machine:
    """A host, its /run, and its configuration file."""

    host: Host
    run: Path
    daemons: Daemons

    def start(self, configuration: str, *arguments: str) -> Daemon:
        """Runs a daemon, as its service manager would."""
        file = self.run.parent / "keepalived.conf"
        file.write_text(configuration)
        own_mounts = ["unshare", "--mount", "sh", "-c", f'mount --bind {self.run} /run && exec "$@"', "sh"]
        command = [*own_mounts, *VRRPD, "run", "-f", str(file), *arguments]
        daemon = Daemon(self.host, file, arguments, "default", self.host.start(command, name="vrrpd", cwd=SOURCE))
        self.daemons.adopt(daemon)
        return daemon

    def serve(self, configuration: Callable[[float], str], interval: float, *arguments: str) -> Daemon:
        """Runs a daemon whose routers all become MASTER soon, and then advertise at that interval."""
        daemon = self.start(configuration(0.05), *arguments)
        for router in daemon.status()["routers"]:
            daemon.wait_for_state("MASTER", router["name"])
        assert daemon.reload(configuration(interval))["result"] == "done"
        return daemon

    def left(self) -> list[str]:
        """What lies in the run directory for a successor."""
        return [path.name for path in (self.run / "vrrpd").iterdir() if not path.name.endswith(".sock")]


def machine_on(host: Host, daemons: Daemons, directory: Path) -> Machine:
    """A machine whose /run is made in a directory."""
    run = directory / "run"
    run.mkdir()
    return Machine(host, run, daemons)
