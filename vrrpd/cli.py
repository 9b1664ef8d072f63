"""The command line: ``vrrpd run``, ``vrrpd config``, ``vrrpd status``, ``vrrpd manifest``.

Exit codes: 0 done, 1 the configuration is wrong (or ``status --ready`` says no), 2 the command line is wrong,
3 the daemon cannot run or cannot be asked here, or it ended by an error of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from vrrpd import __version__, namespaces, rundir
from vrrpd.config import environment, render
from vrrpd.config.model import ConfigurationError
from vrrpd.config.variables import CHOICES
from vrrpd.realtime import run_in_real_time
from vrrpd.sources import DEFAULT_FILE, EnvironmentSource, FileSource, Source, bad_log_options

PROCESS_NAME_VARIABLE: Final = "VRRPD_PROCESS_NAME"
"""Set in the container image: the manuals' liveness probe is ``pgrep keepalived``."""
MANIFEST: Final = "manifest"
Command = Callable[[argparse.Namespace], int]
OK, WRONG_CONFIGURATION, CANNOT_RUN = 0, 1, 3

LOG_OPTIONS: Final = {"--log-format": "VRRPD_LOG_FORMAT", "--log-level": "VRRPD_LOG_LEVEL"}
LOG_DEFAULTS: Final = {"VRRPD_LOG_FORMAT": "text", "VRRPD_LOG_LEVEL": "info"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == [MANIFEST]:
        # It has a parser of its own: its flags, and what is behind them, would be a tenth of a daemon's start.
        return _guarded(_manifest, argparse.Namespace(arguments=given[1:]))
    options = _parser().parse_args(given)
    return _guarded(options.handler, options)


def _guarded(command: Command, options: argparse.Namespace) -> int:
    try:
        return command(options)
    except BrokenPipeError:
        # Whoever read our output has gone (`vrrpd status | head`): nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 128 + 2
    except Exception:
        if command is not _run:
            raise
        # Python's own exit code for it, 1, is that of a wrong configuration, with which systemd does not try again.
        logging.getLogger("vrrpd").exception("the daemon ends by an error of its own")
        return CANNOT_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vrrpd", description="A VRRP router for Linux.")
    parser.add_argument("--version", action="version", version=f"vrrpd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the daemon in the foreground")
    _add_source(run)
    _add_place(run)
    for option, variable in LOG_OPTIONS.items():
        default = f"default: {variable} in the environment, else {LOG_DEFAULTS[variable]}"
        run.add_argument(option, choices=CHOICES[variable], help=default)
    run.add_argument(
        "--realtime", action="store_true", help="before all ordinary processes (SCHED_RR), and never paged out"
    )

    run.add_argument(
        "--keep-vips",
        action="store_true",
        help="at SIGTERM leave the addresses for seconds to a successor that goes on at once (SIGINT: never)",
    )

    config = commands.add_parser("config", help="check a configuration and print what it means")
    _add_source(config).add_argument(
        "--from-env", action="store_true", help="read OPENSHIFT_HA_* and VRRPD_* even when no virtual address is set"
    )
    config.add_argument(
        "--explain", action="store_true", help="print which node should hold what (environment with a list of nodes)"
    )
    config.add_argument("--json", action="store_true", help="print JSON (docs/schema/config.schema.json)")

    status = commands.add_parser("status", help="show what a running daemon does")
    _add_place(status)
    status.add_argument("--json", action="store_true", help="print JSON (docs/schema/status.schema.json)")
    status.add_argument("--ready", action="store_true", help="print nothing, exit 0 when every router can do its work")
    manifest = commands.add_parser(
        MANIFEST, help="print the Kubernetes objects of an ipfailover configuration", add_help=False
    )
    for command, handler in ((run, _run), (config, _config), (status, _status)):
        command.set_defaults(handler=handler)
    manifest.set_defaults(handler=_manifest, arguments=[])
    return parser


def _add_source(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """Adds the options that say where the configuration comes from; returns the group of those that exclude others."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        help="keepalived.conf to read (default: the environment when OPENSHIFT_HA_VIRTUAL_IPS is set, "
        f"else {DEFAULT_FILE})",
    )
    parser.add_argument("-i", "--config-id", metavar="ID", help="value for @ID lines (default: short host name)")
    parser.add_argument("--strict", action="store_true", help="treat warnings as errors")
    return group


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--netns", metavar="NAME", help="network namespace: a name of `ip netns`, or a path")
    parser.add_argument("--instance", metavar="NAME", help="name of this daemon among several in one namespace")


def _source(options: argparse.Namespace) -> Source:
    """Where the configuration comes from: ``-f``, else the environment when it holds one, else the default file."""
    explicit = getattr(options, "from_env", False)
    if explicit or (options.file is None and environment.asked_for(os.environ)):
        return EnvironmentSource(os.environ, strict=options.strict, explicit=explicit)
    return FileSource(options.file or DEFAULT_FILE, config_id=options.config_id, strict=options.strict)


def _config(options: argparse.Namespace) -> int:
    source = _source(options)
    try:
        configuration, warnings = source.load()
        spreads = source.spreads() if options.explain else ()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return WRONG_CONFIGURATION
    for warning in warnings:
        print(warning, file=sys.stderr)
    if options.explain:
        if not spreads:
            print(f"vrrpd: {source.why_no_spread()}", file=sys.stderr)
        if options.json:
            json.dump([spread.to_json() for spread in spreads], sys.stdout, indent=2)
            print()
        else:
            print("\n".join(spread.explain() for spread in spreads), end="")
    elif options.json:
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
    from vrrpd.privileges import missing_capabilities

    # A reload asked for before the daemon listens is no reason to end: the file is about to be read.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log_format, log_level = (_log_option(options, option) for option in LOG_OPTIONS)
    handler = logs.set_up("json" if log_format == "json" else "text", log_level)
    log = handler.logger
    source = _source(options)
    try:
        # Before the configuration is read: the environment is about the host as it is in there.
        if options.netns:
            namespaces.enter_namespace(options.netns)
    except OSError as error:
        log.error("cannot enter network namespace %s (%s): %s", options.netns, error.filename, error.strerror)
        return CANNOT_RUN
    try:
        configuration, warnings = source.load()
    except ConfigurationError as error:
        for diagnostic in error.diagnostics:
            log.log(logging.ERROR if diagnostic.fatal else logging.WARNING, "%s", diagnostic)
        return WRONG_CONFIGURATION
    if isinstance(source, FileSource):
        warnings += bad_log_options(os.environ)
    for warning in warnings:
        log.warning("%s", warning)
    instance = options.instance or configuration.settings.instance or rundir.DEFAULT_INSTANCE
    namespace = configuration.settings.network_namespace
    try:
        if namespace and not options.netns:
            namespaces.enter_namespace(namespace)
    except OSError as error:
        log.error("cannot enter network namespace %s (%s): %s", namespace, error.filename, error.strerror)
        return CANNOT_RUN
    if missing := missing_capabilities():
        log.error("this process lacks %s: run vrrpd as root, or grant it", " and ".join(missing))
        return CANNOT_RUN
    if options.realtime:
        for problem in run_in_real_time():
            log.warning("--realtime goes on without %s", problem)
    _raise_descriptor_limit()
    _name_process(os.environ.get(PROCESS_NAME_VARIABLE) or "vrrpd")
    source.leave_a_copy(configuration)

    async def run() -> None:
        handler.attach(asyncio.get_running_loop())
        try:
            await Daemon(configuration, source.load, instance, keep_vips=options.keep_vips).run()
        finally:
            handler.detach()
        # All is said and done. What an event loop and an interpreter do at their end takes another ten milliseconds, at
        # the very moment at which a backup on the same host takes over, and keeps a successor waiting; and it waits for
        # a thread that may be reading a configuration from a disk that does not answer.
        os._exit(OK)

    try:
        asyncio.run(run())
    except (StartupError, ClaimedElsewhere) as error:
        log.error("%s", error)
    return CANNOT_RUN


def _manifest(options: argparse.Namespace) -> int:
    from vrrpd import manifests

    return manifests.main(options.arguments)


def _status(options: argparse.Namespace) -> int:
    from vrrpd import status
    from vrrpd.control import ControlError, ask

    try:
        path = str(namespaces.namespace_path(options.netns)) if options.netns else "/proc/self/ns/net"
        document = ask("status", rundir.network_namespace_id(path), options.instance or _usual_instance())
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


def _usual_instance() -> str:
    """The instance that a daemon started in this environment has: within a pod `vrrpd status` needs no option."""
    return environment.instance_name(os.environ) if environment.asked_for(os.environ) else rundir.DEFAULT_INSTANCE


def _log_option(options: argparse.Namespace, option: str) -> str:
    """The value of an option for the log: as given, else from the environment, else its default."""
    variable = LOG_OPTIONS[option]
    given = getattr(options, option.removeprefix("--").replace("-", "_"))
    value = given or os.environ.get(variable, "").strip()
    return value if value in CHOICES[variable] else LOG_DEFAULTS[variable]


def _raise_descriptor_limit() -> None:
    """Every virtual router holds a claim and a sending socket: 254 of them outgrow the usual 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _name_process(name: str) -> None:
    """Sets what ``ps`` and ``pgrep`` show, however the daemon was started; the kernel keeps the first 15 bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)
