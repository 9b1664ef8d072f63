"""The command ``vrrpd manifest``: flags in, manifests out. What is printed goes to ``oc apply -f -`` as it is.

Problems, warnings and advice go to standard error. Exit codes: 0 printed, 2 something about the flags is wrong.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from vrrpd.config.model import ConfigurationError
from vrrpd.config.report import seen
from vrrpd.manifests import emitter, objects
from vrrpd.manifests.flags import Flags
from vrrpd.manifests.request import COMPONENT, DEFAULT_IMAGE, DEFAULT_REPLICAS, Request, understand

PRINTED, WRONG = 0, 2
OUTPUTS: Final = ("yaml", "json")
EXAMPLE: Final = """\
example:
  vrrpd manifest ipfailover --virtual-ips=192.0.2.100-103 --interface=eth0 \\
      --selector=router=us-west-ha --replicas=4 --images=registry.example.com/ha/vrrpd:0.1 | oc apply -f -
"""

_NAME: Final = "vrrpd manifest"


def main(arguments: Sequence[str]) -> int:
    """Prints what the flags ask for; returns the exit code."""
    return run(flag_parser().parse_args(arguments))


def flag_parser() -> argparse.ArgumentParser:
    """What understands the command's flags; ``run`` takes what it parsed."""
    parser = argparse.ArgumentParser(
        prog=_NAME,
        description="Prints ServiceAccount, ConfigMap and Deployment (or DaemonSet) of an ipfailover configuration.\n"
        "The flags are those of `oc adm ipfailover`. No cluster is asked or changed.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    default = Flags()
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", default=default.name, help="the configuration's name (default: %(default)s)")
    add("--virtual-ips", metavar="LIST", default="", help="addresses and ranges: 192.0.2.4-6,192.0.2.9 (required)")
    add("-i", "--interface", default="", help="interface for VRRP and the addresses (default: eth0 if there is one)")
    add(
        "-w",
        "--watch-port",
        metavar="PORT",
        default=default.watch_port,
        help="TCP port to check (default: 80; 0: none)",
    )
    add("-r", "--replicas", metavar="N", help=f"pods, as many as nodes are selected (default: {DEFAULT_REPLICAS})")
    add("-l", "--selector", metavar="LABELS", help="nodes to run on (default: ipfailover=NAME; empty: any)")
    add("--service-account", metavar="NAME", default=default.service_account, help="(default: %(default)s)")
    add(
        "--check-script", metavar="FILE", default="", help="script here, put into the ConfigMap; or its path in the pod"
    )
    add("--check-interval", metavar="SECONDS", default=default.check_interval, help="(default: %(default)s)")
    add("--notify-script", metavar="FILE", default="", help="as --check-script, run at each change of state")
    add("--vrrp-id-offset", metavar="N", help="virtual router ids begin behind it, 0 to 254 (default: 0)")
    add("--virtual-ip-groups", metavar="N", default="", help="virtual routers to make (default: one for each address)")
    add("--preemption-strategy", metavar="WORDS", default=default.preemption_strategy, help="(default: %(default)s)")
    add("--iptables-chain", metavar="CHAIN", default=default.iptables_chain, help="(default: %(default)s; empty: none)")
    add(
        "--images",
        metavar="IMAGE",
        help=f"${{component}} stands for {COMPONENT}, ${{version}} for vrrpd's version (default: {DEFAULT_IMAGE})",
    )
    add("--type", default=default.type, help="keepalived, the only type there is")
    add("--kind", default=default.kind, help="Deployment or DaemonSet (default: %(default)s)")
    add("-n", "--namespace", help="put it into the objects (default: the namespace they are applied in)")
    add("--config-map", metavar="NAME", help="name of the ConfigMap with the scripts (default: NAME-scripts)")
    add(
        "--image-pull-secret", metavar="NAME", dest="image_pull_secrets", action="append", default=[], help="repeatable"
    )
    add(
        "-e", "--env", metavar="NAME=VALUE", action="append", default=[], help="one more variable, such as VRRPD_NODES="
    )
    add("-o", "--output", metavar="FORMAT", default="yaml", help="yaml or json (default: %(default)s)")
    _add_switch(parser, "--dry-run", ("client", "server"), "accepted: nothing is ever changed")
    _add_switch(parser, "--create", (), "print, and say how to create what is printed")
    return parser


def _add_switch(parser: argparse.ArgumentParser, flag: str, values: tuple[str, ...], what: str) -> None:
    """A flag that stands alone, or has a truth value or one of ``values`` behind ``=``, never behind a blank."""
    parser.add_argument(flag, action="store_true", help=what)
    # With the `=` in their names these are flags of their own: a word behind the flag stays what it is, a NAME.
    yes = [f"{flag}={value}" for value in ("true", *values)]
    no = [f"{flag}={value}" for value in ("false", *(["none"] if values else []))]
    destination = flag.removeprefix("--").replace("-", "_")
    parser.add_argument(*yes, dest=destination, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(*no, dest=destination, action="store_false", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Prints what the flags ask for; returns the exit code."""
    given: dict[str, Any] = {field.name: getattr(options, field.name) for field in fields(Flags)}
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    flags = Flags(**given)
    bad_output = options.output not in OUTPUTS
    if bad_output:
        _tell(f"--output is {seen(options.output)}, expected {' or '.join(OUTPUTS)}")
    try:
        request, warnings = understand(flags)
    except ConfigurationError as error:
        for diagnostic in error.diagnostics:
            _tell(str(diagnostic))
        return WRONG
    if bad_output:
        return WRONG
    for warning in warnings:
        _tell(str(warning))
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Scripts are in UTF-8, whatever the terminal speaks.
        sys.stdout.reconfigure(encoding="utf-8")
    print(as_yaml(request) if options.output == "yaml" else as_json(request), end="", flush=True)
    if options.output == "json":
        for line in objects.what_to_do(request):
            _tell(line)
    if options.create and not options.dry_run:
        _tell("--create: nothing has been created, vrrpd talks to no cluster; pipe this output into `oc apply -f -`")
    return PRINTED


def as_yaml(request: Request) -> str:
    """The objects as YAML documents, under comments that say what else there is to do."""
    title = f"IP failover {request.name}, made by `vrrpd manifest`."
    return emitter.to_yaml(objects.objects(request), [title, *objects.what_to_do(request)])


def as_json(request: Request) -> str:
    """The same as one JSON document: a List."""
    return emitter.to_json(objects.as_list(objects.objects(request)))


def _tell(message: str) -> None:
    print(f"{_NAME}: {message}", file=sys.stderr)
