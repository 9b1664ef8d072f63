"""Flags to a request that makes sense: every value looked at, every problem found before any is told.

What the daemon itself will read, its own reader of the environment judges here too, so that a pod never starts with
values that it refuses; its words about variables are turned into words about flags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from vrrpd import __version__
from vrrpd.config import environment
from vrrpd.config.host import HostFacts
from vrrpd.config.keywords import whole
from vrrpd.config.model import ConfigurationError, Diagnostic
from vrrpd.config.report import NOWHERE, Report, seen
from vrrpd.manifests import words
from vrrpd.manifests.flags import Flags
from vrrpd.manifests.scripts import ScriptFile, Scripts

DEFAULT_IMAGE: Final = "localhost/vrrpd:latest"
"""What ``make image`` builds."""
COMPONENT: Final = "keepalived-ipfailover"
"""What ``${component}`` in --images stands for."""
DEFAULT_REPLICAS: Final = 2
MOST_REPLICAS: Final = 254
"""More nodes could not all have a priority of their own."""
HIGHEST_OFFSET: Final = 254
FIRST_PORT: Final = 63000
"""Held by each pod of a configuration, so that the scheduler puts no two of them on one node."""
KINDS: Final = ("Deployment", "DaemonSet")

FLAG_OF: Final = {
    "OPENSHIFT_HA_CONFIG_NAME": "NAME",
    "OPENSHIFT_HA_VIRTUAL_IPS": "--virtual-ips",
    "OPENSHIFT_HA_VIP_GROUPS": "--virtual-ip-groups",
    "OPENSHIFT_HA_NETWORK_INTERFACE": "--interface",
    "OPENSHIFT_HA_MONITOR_PORT": "--watch-port",
    "OPENSHIFT_HA_VRRP_ID_OFFSET": "--vrrp-id-offset",
    "OPENSHIFT_HA_REPLICA_COUNT": "--replicas",
    "OPENSHIFT_HA_IPTABLES_CHAIN": "--iptables-chain",
    "OPENSHIFT_HA_NOTIFY_SCRIPT": "--notify-script",
    "OPENSHIFT_HA_CHECK_SCRIPT": "--check-script",
    "OPENSHIFT_HA_PREEMPTION": "--preemption-strategy",
    "OPENSHIFT_HA_CHECK_INTERVAL": "--check-interval",
}
"""The variables that flags fill, in the order in which the manuals list them."""
_SCRIPTS: Final = ("OPENSHIFT_HA_NOTIFY_SCRIPT", "OPENSHIFT_HA_CHECK_SCRIPT")
_NAME: Final = "OPENSHIFT_HA_CONFIG_NAME"
"""It may be given by --env too: beside old pods the configuration has their name, and the Deployment another."""
_VARIABLES: Final = re.compile(rf"\b(?:{'|'.join(FLAG_OF)})\b", re.ASCII)
_OF_A_NODE: Final = "this node's own address"
"""How the one warning begins that is about the node that a configuration runs on: here there is none."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be printed, complete and consistent."""

    name: str
    kind: str
    namespace: str | None
    image: str
    pull_secrets: tuple[str, ...]
    service_account: str
    node_selector: tuple[tuple[str, str], ...]
    replicas: int
    port: int
    environment: tuple[tuple[str, str], ...]
    config_map: str
    scripts: tuple[ScriptFile, ...] | None
    """None: the ConfigMap is there already."""


def understand(flags: Flags) -> tuple[Request, tuple[Diagnostic, ...]]:
    """The request that flags make, and warnings about it; raises ConfigurationError with every problem found."""
    report = Report()
    request = _Reader(flags, report).request()
    report.raise_if_fatal()
    return request, report.diagnostics


class _Reader:
    """One set of flags, read once."""

    def __init__(self, flags: Flags, report: Report) -> None:
        self._flags = flags
        self._report = report

    def request(self) -> Request:
        """Everything, with a problem reported wherever there is one."""
        flags = self._flags
        name = self._name()
        kind = self._kind()
        if flags.type != "keepalived":
            self._wrong("--type", flags.type, "keepalived, the only type there is")
        config_map = self._object_name("--config-map", flags.config_map, f"{name}-scripts")
        scripts = Scripts(self._report, flags.config_map is not None)
        offset = self._number("--vrrp-id-offset", flags.vrrp_id_offset, 0, HIGHEST_OFFSET, 0)
        replicas = self._number("--replicas", flags.replicas, 1, MOST_REPLICAS, DEFAULT_REPLICAS)
        variables = self._variables(name, kind, offset, replicas, scripts)
        scripts.check()
        request = Request(
            name=name,
            kind=kind,
            namespace=self._namespace(),
            image=self._image(),
            pull_secrets=self._pull_secrets(),
            service_account=self._object_name("--service-account", flags.service_account, "ipfailover"),
            node_selector=self._selector(name),
            replicas=replicas,
            port=FIRST_PORT + offset,
            environment=tuple((key, value) for key, value in variables.items() if value),
            config_map=config_map,
            scripts=None if scripts.config_map_is_theirs else scripts.files,
        )
        self._ask_the_daemon(dict(request.environment))
        if replicas == 1:
            self._warning("--replicas is 1: there is no other node to fail over to, expected 2 or more")
        return request

    # -- Kubernetes ---------------------------------------------------------------------------------------------------

    def _name(self) -> str:
        name = self._flags.name
        if words.is_object_name(name) and len(name) <= words.LONGEST_LABEL:
            return name
        self._wrong("NAME", name, f"at most {words.LONGEST_LABEL} {words.OBJECT_NAME_EXPECTED}")
        return Flags().name

    def _kind(self) -> str:
        for kind in KINDS:
            if self._flags.kind.lower() == kind.lower():
                return kind
        self._wrong("--kind", self._flags.kind, " or ".join(KINDS))
        return KINDS[0]

    def _object_name(self, flag: str, value: str | None, default: str) -> str:
        if value is None:
            return default
        if not words.is_object_name(value):
            self._wrong(flag, value, words.OBJECT_NAME_EXPECTED)
            return default
        return value

    def _namespace(self) -> str | None:
        namespace = self._flags.namespace
        if namespace is not None and not words.is_namespace(namespace):
            self._wrong("--namespace", namespace, "at most 63 lower-case letters, digits and -")
        return namespace

    def _pull_secrets(self) -> tuple[str, ...]:
        listed = [one for value in self._flags.image_pull_secrets for one in value.split(",")]
        for one in listed:
            self._object_name("--image-pull-secret", one, "")
        return tuple(dict.fromkeys(listed))

    def _image(self) -> str:
        given = self._flags.images
        if given is None:
            self._warning(
                f"--images is not given: {DEFAULT_IMAGE} is what `make image` builds; unless every node has it under "
                "that name, push it to a registry and name it there"
            )
            return DEFAULT_IMAGE
        image = given.replace("${component}", COMPONENT).replace("${version}", __version__)
        if not words.is_image(image):
            self._wrong(
                "--images",
                given,
                "an image such as registry.example.com/ha/vrrpd:0.1 (${component} and ${version} are replaced)",
            )
        return image

    def _selector(self, name: str) -> tuple[tuple[str, str], ...]:
        given = self._flags.selector
        if given is None:
            return (("ipfailover", name),)
        found: dict[str, str] = {}
        for word in given.split(",") if given else ():
            key, equals, value = (part.strip() for part in word.replace("==", "=", 1).partition("="))
            if not (equals and words.is_label_key(key) and words.is_label_value(value)):
                self._error(
                    f"--selector holds {seen(word)}, expected labels such as router=us-west-ha, with commas between"
                )
            elif found.get(key, value) != value:
                self._error(f"--selector asks for {key} twice with different values, expected one")
            else:
                found[key] = value
        return tuple(found.items())

    # -- the environment ----------------------------------------------------------------------------------------------

    def _variables(self, name: str, kind: str, offset: int, replicas: int, scripts: Scripts) -> dict[str, str]:
        flags = self._flags
        said = kind == "Deployment" or flags.replicas is not None
        result = {
            "OPENSHIFT_HA_CONFIG_NAME": name,
            "OPENSHIFT_HA_VIRTUAL_IPS": flags.virtual_ips.strip(),
            "OPENSHIFT_HA_VIP_GROUPS": flags.virtual_ip_groups.strip(),
            "OPENSHIFT_HA_NETWORK_INTERFACE": flags.interface.strip(),
            "OPENSHIFT_HA_MONITOR_PORT": flags.watch_port.strip(),
            "OPENSHIFT_HA_VRRP_ID_OFFSET": str(offset),
            "OPENSHIFT_HA_REPLICA_COUNT": str(replicas) if said else "",
            "OPENSHIFT_HA_IPTABLES_CHAIN": flags.iptables_chain.strip(),
            "OPENSHIFT_HA_NOTIFY_SCRIPT": scripts.path_in_pod("--notify-script", flags.notify_script),
            "OPENSHIFT_HA_CHECK_SCRIPT": scripts.path_in_pod("--check-script", flags.check_script),
            "OPENSHIFT_HA_PREEMPTION": flags.preemption_strategy.strip(),
            "OPENSHIFT_HA_CHECK_INTERVAL": flags.check_interval.strip(),
        }
        more: dict[str, str] = {}
        for one in flags.env:
            key, equals, value = one.partition("=")
            if not (equals and words.is_variable(key)):
                self._error(f"--env is {seen(one)}, expected NAME=VALUE such as VRRPD_NODES=192.0.2.1,192.0.2.2")
            elif key in more:
                self._error(f"--env gives {key} twice, expected once")
            elif key in FLAG_OF and key != _NAME and (result[key] or key not in _SCRIPTS):
                self._error(f"--env gives {key}, expected {FLAG_OF[key]} for that")
            else:
                more[key] = value
        return {**result, **more}

    def _ask_the_daemon(self, variables: dict[str, str]) -> None:
        """What the daemon would say to these variables at its start."""
        if self._flags.vrrp_id_offset is None:
            variables.pop("OPENSHIFT_HA_VRRP_ID_OFFSET")
        try:
            _, found = environment.parse(variables, HostFacts())
        except ConfigurationError as error:
            found = error.diagnostics
        for diagnostic in found:
            if diagnostic.message.startswith(_OF_A_NODE):
                continue
            message = _VARIABLES.sub(lambda match: FLAG_OF[match[0]], diagnostic.message)
            if diagnostic.fatal:
                self._error(message)
            else:
                self._warning(message)

    # -- words --------------------------------------------------------------------------------------------------------

    def _number(self, flag: str, text: str | None, low: int, high: int, default: int) -> int:
        if text is None:
            return default
        value = whole(text)
        if value is None or not low <= value <= high:
            self._wrong(flag, text, f"a whole number from {low} to {high}")
            return default
        return value

    def _wrong(self, what: str, value: str, expected: str) -> None:
        self._error(f"{what} is {seen(value)}, expected {expected}")

    def _error(self, message: str) -> None:
        self._report.error(NOWHERE, message)

    def _warning(self, message: str) -> None:
        self._report.warning(NOWHERE, message)
