"""Short ways to read a piece of configuration in a test."""

from __future__ import annotations

from textwrap import dedent, indent

from vrrpd.config.keepalived import parse
from vrrpd.config.model import Configuration, ConfigurationError, VirtualRouterConfig

FILE = "keepalived.conf"


def read(text: str, config_id: str = "", environment: dict[str, str] | None = None) -> Configuration:
    """The configuration in a text that must be valid."""
    return parse(dedent(text), file=FILE, config_id=config_id, environment=environment)[0]


def warnings(text: str, config_id: str = "") -> list[str]:
    """The warnings about a valid text, as a person reads them."""
    return [str(diagnostic) for diagnostic in parse(dedent(text), file=FILE, config_id=config_id)[1]]


def problems(text: str, config_id: str = "") -> list[str]:
    """All that is said about a text that must not be valid."""
    try:
        parse(dedent(text), file=FILE, config_id=config_id)
    except ConfigurationError as error:
        return [str(diagnostic) for diagnostic in error.diagnostics]
    raise AssertionError("the text was accepted")


def instance(body: str, name: str = "VI_1", vips: str = "192.0.2.100", vrid: int = 51) -> str:
    """A vrrp_instance with an interface on line 2, an id on line 3, addresses on line 4 and a body from line 5 on."""
    lines = [
        f"vrrp_instance {name} {{",
        "    interface eth0",
        f"    virtual_router_id {vrid}",
        f"    virtual_ipaddress {{ {vips} }}" if vips else "",
        indent(dedent(body).strip(), "    "),
        "}",
    ]
    return "\n".join(lines) + "\n"


def router(body: str = "", before: str = "", vips: str = "192.0.2.100") -> VirtualRouterConfig:
    """The router of ``instance``; ``before`` stands at the top of the file."""
    return read(instance(body, vips=vips) + dedent(before)).routers[0]
