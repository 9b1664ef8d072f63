"""What a MASTER leaves to its successor on this host: a file in the run directory, read once.

It says which routers went silent, when each was heard last by the others, and what a successor has to be like so that
nobody notices: the same router with the same addresses and no lower priority. Times are CLOCK_MONOTONIC's, which a
successor shares; the file holds for one boot and one network namespace. Knows no sockets and no states.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vrrpd.config.model import VirtualRouterConfig
from vrrpd.protocol.timing import unnoticed_silence

SCHEMA: Final = 1
"""Of the file; a successor of another version that does not know it starts as usual."""
LARGEST: Final = 4 << 20
"""Bytes; 255 routers with 255 addresses each come to less."""
MARGIN: Final = 0.05
"""Seconds that are left to a successor's first advertisement to reach the others."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class HandoverError(Exception):
    """What was left cannot be used; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A router that goes silent: its configuration, and its sum of tracked weights."""

    config: VirtualRouterConfig
    weight: int


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a router may build on that goes on for its predecessor."""

    resume_until: float
    """Until when nobody has missed the predecessor; seconds of ``time.monotonic()``."""
    weight: int
    """The sum of tracked weights that it advertised with: checks have no result yet."""


def write(path: Path, namespace: int, leaving: Iterable[Leaving], now: float) -> None:
    """Leaves word of routers that send their last advertisement after ``now``; raises ``OSError``."""
    document = {
        "schema": SCHEMA,
        "boot": _boot(),
        "network_namespace": namespace,
        "routers": [
            {
                "identity": _identity(router.config),
                "priority": router.config.priority,
                "weight": router.weight,
                "resume_until": now + _unnoticed(router.config),
            }
            for router in leaving
        ],
    }
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def remove(path: Path) -> None:
    """Takes word back that was left."""
    with contextlib.suppress(OSError):
        path.unlink()


def take(path: Path, namespace: int) -> list[Any]:
    """Reads what a predecessor left, once: the file is gone afterwards. Empty where there is nothing.

    Raises ``HandoverError`` where there is something that was not meant for this process.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise HandoverError(f"{path}: {error.strerror}") from None
    with open(descriptor, "rb") as file:
        remove(path)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
            raise HandoverError(f"{path} can be written by others, expected a file of user id {os.geteuid()} alone")
        content = file.read(LARGEST + 1)
    try:
        document = json.loads(content)
        if document["schema"] != SCHEMA:
            raise HandoverError(f"{path} has schema {document['schema']}, expected {SCHEMA}")
        if (document["boot"], document["network_namespace"]) != (_boot(), namespace):
            raise HandoverError(f"{path} is of another boot or network namespace")
        return list(document["routers"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HandoverError(f"{path} cannot be understood: {error!r}") from None


def inheritance(config: VirtualRouterConfig, left: Iterable[Any], now: float) -> Inheritance | str | None:
    """What a router inherits of what was left; a sentence where it could and must not, None where nothing was left."""
    identity = _identity(config)
    for entry in left:
        try:
            theirs, priority = dict(entry["identity"]), int(entry["priority"])
            weight, until = int(entry["weight"]), float(entry["resume_until"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            return f"what was left cannot be understood: {error!r}"
        if any(theirs.get(name) != identity[name] for name in ("interface", "family", "vrid")):
            continue
        changed = [name for name, value in identity.items() if theirs.get(name) != value]
        if changed:
            return f"{', '.join(changed)} changed in between"
        if config.priority < priority:
            return f"its priority is {config.priority}, that of its predecessor was {priority}"
        # However long the predecessor thought: a wrong number must not keep two masters apart from the truth.
        if not now < until <= now + _unnoticed(config):
            return f"it came {max(0.0, now - until):.2f} s too late"
        return Inheritance(until, weight)
    return None


def _unnoticed(config: VirtualRouterConfig) -> float:
    return unnoticed_silence(config.advertisement_interval, config.down_advertisements) - MARGIN


def _identity(config: VirtualRouterConfig) -> dict[str, Any]:
    """What the others see of a router, in words that stay the same from one version of the program to the next."""
    return {
        "interface": config.interface,
        "family": config.family,
        "vrid": config.vrid,
        "version": int(config.version),
        "interval": config.advertisement_interval,
        "group": None if config.multicast_group is None else str(config.multicast_group),
        "peers": sorted(str(peer.address) for peer in config.unicast_peers),
        "addresses": [
            f"{virtual.address}/{virtual.prefix_length} dev {virtual.device}" for virtual in config.all_addresses
        ],
    }


def _boot() -> str:
    return _BOOT.read_text(encoding="ascii").strip()
