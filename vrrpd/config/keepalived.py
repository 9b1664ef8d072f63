"""keepalived.conf to a ``Configuration``: the file format that users have.

``load`` reads a file, ``parse`` a text. What the top of a file understands is in the table here, the blocks have theirs
in ``global_defs``, ``scripts`` and ``instances``. All problems are found before any is told; a file with an error gives
no configuration at all.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from vrrpd.config import scripts
from vrrpd.config.global_defs import GLOBAL_DEFS, PROCESS, complete_settings
from vrrpd.config.instances import VRRP_INSTANCE, complete_router
from vrrpd.config.keywords import Draft, NoEffect, OtherHalf, Refused, Skipped, Table, Works, not_printable, read_block
from vrrpd.config.lexer import Statement, statements
from vrrpd.config.model import Configuration, Diagnostic
from vrrpd.config.report import Place, Report, seen
from vrrpd.config.script_files import examine
from vrrpd.config.source import Line, Source
from vrrpd.config.validate import settle

ALIASES: Final = {
    "mcast_src_ip": ("mcast_src_ip", "unicast_src_ip"),
    "unicast_peer": ("unicast_peer", "unicast_fault_no_peer"),
}
"""Keywords under which a setting may have been given, where there are several."""

DEFAULT_PATH: Final = "/etc/keepalived/keepalived.conf"
DEFAULT_SCRIPT_USER: Final = "keepalived_script"
"""keepalived runs scripts as this user where it exists, so a machine that has it expects the same."""

BLOCKS: Final = frozenset({"global_defs", "vrrp_script", "vrrp_instance", "vrrp_sync_group"})
"""Blocks that stand at the top only: within another block they mean that its brace was forgotten."""


HEALTH_INPUTS: Final = "define health inputs as vrrp_script"
STATIC: Final = "the daemon handles only addresses of virtual routers; use the network configuration of the system"


TOP_LEVEL: Final[Table] = {
    **PROCESS,
    "vrrp_sync_group": Refused("virtual routers do not change state together"),
    "static_ipaddress": Refused(STATIC),
    "static_routes": Refused(STATIC),
    "static_rules": Refused(STATIC),
    "track_file": NoEffect(HEALTH_INPUTS),
    "vrrp_track_file": NoEffect(HEALTH_INPUTS),
    "vrrp_track_process": NoEffect(HEALTH_INPUTS),
    "track_process": NoEffect(HEALTH_INPUTS),
    "bfd_instance": NoEffect(HEALTH_INPUTS),
    "track_group": NoEffect("it is for static addresses, routes and rules"),
    "garp_group": NoEffect("garp_interval and gna_interval of the virtual router limit the rate"),
    "interface_up_down_delays": NoEffect("a change of a link counts at once"),
    "linkbeat_interfaces": NoEffect("the kernel reports the state of links"),
    "virtual_server": OtherHalf(),
    "virtual_server_group": OtherHalf(),
    "real_server": OtherHalf(),
    "SSL": OtherHalf(),
}
"""Every keyword at the top of a file but the blocks that ``FileContent`` gathers."""


class FileContent:
    """What the blocks at the top of a configuration said, in order."""

    def __init__(self) -> None:
        self.settings = Draft(Place())
        self.checks: list[Draft] = []
        self.routers: list[Draft] = []
        self.skipped = Skipped()

    def global_defs(self, statement: Statement, draft: Draft, report: Report) -> None:
        if statement.values and statement.block is not None:
            report.warning(statement.place, f"global_defs has a value: {seen(statement.values[0])} is ignored")
        self._block(statement, self.settings, GLOBAL_DEFS, "global_defs", report)

    def vrrp_script(self, statement: Statement, draft: Draft, report: Report) -> None:
        self._named(statement, self.checks, scripts.VRRP_SCRIPT, report)

    def vrrp_instance(self, statement: Statement, draft: Draft, report: Report) -> None:
        self._named(statement, self.routers, VRRP_INSTANCE, report)

    def _named(self, statement: Statement, drafts: list[Draft], table: Table, report: Report) -> None:
        keyword = statement.keyword
        if len(statement.values) != 1 or not_printable(statement.values[0]):
            given = seen(" ".join(statement.values)) if statement.values else "missing"
            report.error(
                statement.place, f"name of {keyword} is {given}, expected one name, in quotes if it has blanks"
            )
            return
        draft = Draft(statement.place, statement.values[0])
        drafts.append(draft)
        self._block(statement, draft, table, f"{keyword} {seen(draft.name)}", report)

    def _block(self, statement: Statement, draft: Draft, table: Table, where: str, report: Report) -> None:
        if statement.block is None:
            report.error(statement.place, f"{where} has no block, expected {{ ... }}")
            return
        own = []
        for inner in statement.block:
            if inner.keyword in BLOCKS and inner.keyword not in table:
                report.error(
                    inner.place,
                    f"{inner.keyword} within {where} of {statement.place}, expected a }} that closes it before",
                )
            else:
                own.append(inner)
        read_block(own, draft, table, where, report, self.skipped)

    def top(self) -> Table:
        """Every keyword at the top of a file."""
        blocks = {
            "global_defs": Works(self.global_defs, repeatable=True),
            "vrrp_script": Works(self.vrrp_script, repeatable=True),
            "vrrp_instance": Works(self.vrrp_instance, repeatable=True),
        }
        return {**TOP_LEVEL, **blocks}


def load(
    path: str,
    *,
    router_id_default: str | None = None,
    config_id: str | None = None,
    environment: Mapping[str, str] | None = None,
    examine_scripts: bool = True,
) -> tuple[Configuration, tuple[Diagnostic, ...]]:
    """The configuration in a file, and the warnings about it.

    ``config_id`` is what ``@id`` lines are compared with (default: the host name up to its first dot), ``environment``
    what ``${_ENV NAME}`` reads (default: the process's). Raises ConfigurationError with every problem found. Reads the
    disk and the user database: not for the event loop.
    """
    report = Report()
    source = Source(report, config_id or _short_host_name(), os.environ if environment is None else environment)
    default_user = DEFAULT_SCRIPT_USER if _user_exists(DEFAULT_SCRIPT_USER) else None
    return _read(source.lines_of_file(path), path, report, router_id_default, default_user, examine_scripts)


def parse(
    content: str,
    *,
    file: str = "keepalived.conf",
    router_id_default: str = "",
    config_id: str = "",
    environment: Mapping[str, str] | None = None,
) -> tuple[Configuration, tuple[Diagnostic, ...]]:
    """The configuration in a text that is treated as the content of ``file``, and the warnings about it.

    Looks at no script and at no user; reads the disk only for ``include``. Raises ConfigurationError.
    """
    report = Report()
    source = Source(report, config_id, environment or {})
    return _read(source.lines_of_text(content, file), file, report, router_id_default, None, examine_scripts=False)


def _read(
    lines: Iterable[Line],
    file: str,
    report: Report,
    router_id_default: str | None,
    default_user: str | None,
    examine_scripts: bool,
) -> tuple[Configuration, tuple[Diagnostic, ...]]:
    content = FileContent()
    found = statements(lines, report)
    broken_shape = report.fatal
    read_block(found, content.settings, content.top(), "the configuration", report, content.skipped)
    content.skipped.tell(report)
    settings = complete_settings(content.settings, _host_name() if router_id_default is None else router_id_default)
    if settings.script_user is None:
        settings = replace(settings, script_user=default_user)
    user, group = settings.script_user, settings.script_group
    checks = tuple(scripts.complete_check(draft, user, group, report) for draft in content.checks)
    routers = tuple(
        complete_router(draft, content.settings, checks, (user, group), report) for draft in content.routers
    )
    configuration = Configuration(
        settings=settings,
        checks=checks,
        routers=routers,
        source=file,
        leftovers_are_ours=content.settings.get("leftovers_are_ours", bool) or False,
    )

    def locate(router: int, keyword: str, entry: int) -> Place | None:
        draft = content.routers[router]
        names = ALIASES.get(keyword, (keyword,))
        if draft.broken.intersection(names):
            return None
        # What comes from global_defs is wrong there, not in the router that uses it.
        if keyword == "mcast_dst_ip" and not draft.given(keyword):
            return content.settings.place_of(f"vrrp_mcast_group{routers[router].family}")
        return next((draft.place_of(name, entry) for name in names if draft.given(name)), draft.place)

    if routers or not broken_shape:
        configuration = settle(configuration, report, locate, lambda check: content.checks[check].place)
    if examine_scripts:
        configuration = examine(configuration, report, locate, lambda check: content.checks[check].place_of("script"))
    report.raise_if_fatal()
    return configuration, report.diagnostics


def _host_name() -> str:
    return socket.gethostname()


def _short_host_name() -> str:
    return _host_name().partition(".")[0]


def _user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
