"""Imports go down only: each part of the package is read (by ast, nothing is run) and held to what it may import.

cli -> daemon -> {agenda, lookout} -> {unit, links, rounds, rehearsal, checks, notify}
    -> {config, net, runner} -> protocol
lab -> protocol
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODEL = "vrrpd.config.model"

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "vrrpd.protocol": ("vrrpd.protocol",),
    "vrrpd.config": ("vrrpd.config", "vrrpd.protocol"),
    "vrrpd.net": ("vrrpd.net", "vrrpd.protocol", MODEL),
    "vrrpd.runner": ("vrrpd.protocol",),
    "vrrpd.rounds": ("vrrpd.protocol", "vrrpd.runner"),
    "vrrpd.links": ("vrrpd.net", "vrrpd.protocol", "vrrpd.runner", MODEL),
    "vrrpd.rehearsal": ("vrrpd.net", "vrrpd.protocol", "vrrpd.runner", "vrrpd.settings", MODEL),
    "vrrpd.agenda": (
        "vrrpd.links",
        "vrrpd.net",
        "vrrpd.protocol",
        "vrrpd.rounds",
        "vrrpd.runner",
    ),
    "vrrpd.unit": (
        "vrrpd.checks",
        "vrrpd.faults",
        "vrrpd.handover",
        "vrrpd.net",
        "vrrpd.protocol",
        "vrrpd.runner",
        "vrrpd.settings",
        MODEL,
    ),
    "vrrpd.lookout": ("vrrpd.conflicts", "vrrpd.logs", "vrrpd.net", "vrrpd.protocol", "vrrpd.unit", MODEL),
    "vrrpd.scripts": ("vrrpd.scripts", MODEL),
    "vrrpd.checks": ("vrrpd.checks", "vrrpd.scripts", MODEL),
    "vrrpd.notify": ("vrrpd.notify", "vrrpd.scripts", MODEL),
    "vrrpd.manifests": ("vrrpd.manifests", "vrrpd.config"),
    "vrrpd.lab": ("vrrpd.lab", "vrrpd.protocol"),
}
"""What a module or package may import of the project; those without a row (daemon, cli, ...) may import everything."""

IMPURE = ("asyncio", "socket", "time", "random", "logging", "os")
PYROUTE2 = ("vrrpd.net.netlink", "vrrpd.lab")


def within(module: str, package: str) -> bool:
    """True for the package itself and everything in it."""
    return module == package or module.startswith(package + ".")


def module_name(path: Path) -> str:
    """The dotted name of a file of the project."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> list[Path]:
    """Every module of the daemon's package."""
    return sorted((ROOT / "vrrpd").rglob("*.py"))


def imports(source: str, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Every module that a source imports, wherever in it, with ``from a import b`` as ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def forbidden(module: str, imported: str) -> str | None:
    """Why a module must not import another one; None where it may."""
    if within(imported, "scapy"):
        return "scapy is for tests"
    if within(imported, "pyroute2") and not any(within(module, place) for place in PYROUTE2):
        return f"pyroute2 is for {' and '.join(PYROUTE2)}"
    if within(module, "vrrpd.protocol") and any(within(imported, name) for name in IMPURE):
        return "the protocol is pure"
    if within(imported, "vrrpd") and imported != "vrrpd.__version__":
        for part, allowed in MAY_IMPORT.items():
            if within(module, part) and not any(within(imported, name) for name in allowed):
                return f"{part} may import {', '.join(allowed)}"
    return None


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_a_module_imports_only_what_is_below_it(path: Path) -> None:
    module = module_name(path)
    found = {
        f"{module} imports {imported}: {why}"
        for imported in imports(path.read_text(), module, is_package=path.name == "__init__.py")
        if (why := forbidden(module, imported))
    }
    assert not found


def test_the_package_is_there_to_be_read() -> None:
    assert {"vrrpd.protocol.router", "vrrpd.runner", MODEL} <= {module_name(path) for path in modules()}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vrrpd.protocol.router", "import time"),
        ("vrrpd.protocol.router", "from asyncio import sleep"),
        ("vrrpd.protocol.router", "def late():\n    import os.path"),
        ("vrrpd.protocol.router", "from vrrpd.config.model import Router"),
        ("vrrpd.protocol.router", "from ..config import model"),
        ("vrrpd.protocol.router", "from .. import runner"),
        ("vrrpd.config.keepalived", "from vrrpd.net import netlink"),
        ("vrrpd.config.keepalived", "from .. import daemon"),
        ("vrrpd.net.sockets", "from vrrpd.config.keepalived import parse"),
        ("vrrpd.net.sockets", "from vrrpd.runner import Runner"),
        ("vrrpd.net.sockets", "import pyroute2"),
        ("vrrpd.runner", "import vrrpd.net"),
        ("vrrpd.agenda", "from vrrpd.unit import RouterUnit"),
        ("vrrpd.rehearsal", "from vrrpd.agenda import Agenda"),
        ("vrrpd.lookout", "from vrrpd.daemon import Daemon"),
        ("vrrpd.checks", "from vrrpd.daemon import Daemon"),
        ("vrrpd.notify", "from vrrpd.protocol.actions import StateName"),
        ("vrrpd.lab.bridge", "from vrrpd.net.netlink import Netlink"),
        ("vrrpd.daemon", "from scapy.all import IP"),
        ("vrrpd.daemon", "from pyroute2 import IPRoute"),
    ],
)
def test_an_import_that_goes_up_or_sideways_is_found(module: str, source: str) -> None:
    assert [imported for imported in imports(source, module) if forbidden(module, imported)]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vrrpd.protocol.router", "from .timing import Version"),
        (
            "vrrpd.config.environment",
            "from vrrpd.config.model import Router\nfrom vrrpd.protocol.timing import Version",
        ),
        ("vrrpd.net.netlink", "import pyroute2\nfrom vrrpd.config.model import Router"),
        ("vrrpd.lab.bridge", "from pyroute2 import IPRoute\nfrom vrrpd.protocol.packet import decode"),
        ("vrrpd.daemon", "from vrrpd.net import netlink\nimport asyncio"),
        ("vrrpd.checks", "from vrrpd.config import model"),
    ],
)
def test_an_import_that_goes_down_is_left_alone(module: str, source: str) -> None:
    assert not [imported for imported in imports(source, module) if forbidden(module, imported)]
