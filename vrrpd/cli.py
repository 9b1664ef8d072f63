"""The command line: ``vrrpd run``, ``vrrpd config``, ``vrrpd status``.

Exit codes: 0 done, 1 the configuration is wrong (or ``status --ready`` says no), 2 the command line is wrong,
3 the daemon cannot run or cannot be asked here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import Final

from vrrpd import __version__, namespaces, rundir
from vrrpd.config import keepalived, render
from vrrpd.config.model import Configuration, ConfigurationError, Diagnostic

DEFAULT_FILE: Final = "/etc/keepalived/keepalived.conf"
OK, WRONG_CONFIGURATION, CANNOT_RUN = 0, 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "run":
                return _run(options)
            case "config":
                return _config(options)
            case _:
                return _status(options)
    except BrokenPipeError:
        # Whoever read our output has gone (`vrrpd status | head`): nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 128 + 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vrrpd", description="A VRRP router for Linux.")
    parser.add_argument("--version", action="version", version=f"vrrpd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the daemon in the foreground")
    _add_source(run)
    _add_place(run)
    run.add_argument("--log-format", choices=("text", "json"), default="text", help="default: %(default)s")
    run.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="default: %(default)s"
    )

    config = commands.add_parser("config", help="check a configuration and print what it means")
    _add_source(config)
    config.add_argument("--json", action="store_true", help="print JSON (docs/schema/config.schema.json)")

    status = commands.add_parser("status", help="show what a running daemon does")
    _add_place(status)
    status.add_argument("--json", action="store_true", help="print JSON (docs/schema/status.schema.json)")
    status.add_argument("--ready", action="store_true", help="print nothing, exit 0 when every router can do its work")
    return parser


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--file", metavar="FILE", help=f"keepalived.conf to read (default: {DEFAULT_FILE})")
    parser.add_argument("-i", "--config-id", metavar="ID", help="value for @ID lines (default: short host name)")
    parser.add_argument("--strict", action="store_true", help="treat warnings as errors")


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--netns", metavar="NAME", help="network namespace: a name of `ip netns`, or a path")
    parser.add_argument("--instance", metavar="NAME", help="name of this daemon among several in one namespace")


def _load(options: argparse.Namespace) -> tuple[Configuration, tuple[Diagnostic, ...]]:
    """Reads the configuration that the options name; raises ``ConfigurationError``."""
    path = options.file or DEFAULT_FILE
    if options.file is None and os.environ.get("OPENSHIFT_HA_VIRTUAL_IPS"):
        message = (
            "OPENSHIFT_HA_VIRTUAL_IPS is set: configuration by environment is not built yet in this version; "
            "give a file with -f, or unset it"
        )
        raise ConfigurationError((Diagnostic(message, file="environment"),))
    configuration, warnings = keepalived.load(path, config_id=options.config_id)
    if options.strict and warnings:
        raise ConfigurationError(tuple(Diagnostic(w.message, w.file, w.line) for w in warnings))
    return configuration, warnings


def _config(options: argparse.Namespace) -> int:
    try:
        configuration, warnings = _load(options)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return WRONG_CONFIGURATION
    for warning in warnings:
        print(warning, file=sys.stderr)
    if options.json:
        json.dump(render.to_json(configuration), sys.stdout, indent=2)
        print()
    else:
        print(render.to_keepalived_conf(configuration), end="")
    sys.stdout.flush()
    return OK


def _run(options: argparse.Namespace) -> int:
    # Imported here: `vrrpd config` and `vrrpd status` have no use for netlink, and it takes a while.
    from vrrpd import logs
    from vrrpd.claims import ClaimedElsewhere
    from vrrpd.daemon import Daemon, StartupError

    # A reload asked for before the daemon listens is no reason to end: the file is about to be read.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    handler = logs.set_up(options.log_format, options.log_level)
    log = handler.logger
    try:
        configuration, warnings = _load(options)
    except ConfigurationError as error:
        for diagnostic in error.diagnostics:
            log.error("%s", diagnostic)
        return WRONG_CONFIGURATION
    for warning in warnings:
        log.warning("%s", warning)
    instance = options.instance or configuration.settings.instance or rundir.DEFAULT_INSTANCE
    namespace = options.netns or configuration.settings.network_namespace
    try:
        if namespace:
            namespaces.enter_namespace(namespace)
    except OSError as error:
        log.error("cannot enter network namespace %s (%s): %s", namespace, error.filename, error.strerror)
        return CANNOT_RUN
    if missing := namespaces.missing_capabilities():
        log.error("this process lacks %s: run vrrpd as root, or grant it", " and ".join(missing))
        return CANNOT_RUN
    _raise_descriptor_limit()

    async def run() -> None:
        handler.attach(asyncio.get_running_loop())
        try:
            await Daemon(configuration, lambda: _load(options), instance).run()
        finally:
            handler.detach()

    try:
        asyncio.run(run())
    except (StartupError, ClaimedElsewhere) as error:
        log.error("%s", error)
        return CANNOT_RUN
    return OK


def _status(options: argparse.Namespace) -> int:
    from vrrpd import status
    from vrrpd.control import ControlError, ask

    try:
        path = str(namespaces.namespace_path(options.netns)) if options.netns else "/proc/self/ns/net"
        document = ask("status", rundir.network_namespace_id(path), options.instance or rundir.DEFAULT_INSTANCE)
    except OSError as error:
        print(f"vrrpd: no network namespace {options.netns} ({error.filename}): {error.strerror}", file=sys.stderr)
        return CANNOT_RUN
    except ControlError as error:
        print(f"vrrpd: {error}", file=sys.stderr)
        return CANNOT_RUN
    if options.ready:
        problems = status.not_ready(document)
        for problem in problems:
            print(f"vrrpd: not ready: {problem}", file=sys.stderr)
        return WRONG_CONFIGURATION if problems else OK
    if options.json:
        json.dump(document, sys.stdout, indent=2)
        print()
    else:
        print(status.text_table(document), end="")
    sys.stdout.flush()
    return OK


def _raise_descriptor_limit() -> None:
    """Every virtual router holds a claim and a sending socket: 254 of them outgrow the usual 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
