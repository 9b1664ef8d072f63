"""``vrrpd manifest`` and deploy/: what is printed is what Kubernetes takes, and what the manuals' commands expect."""

from __future__ import annotations

import base64
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vrrpd.cli import main
from vrrpd.config import environment
from vrrpd.config.host import HostFacts
from vrrpd.manifests import emitter, flag_parser
from vrrpd.manifests.flags import Flags
from vrrpd.manifests.request import FLAG_OF

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
VERSIONS = ("1.25", "1.29", "1.33")
"""Kubernetes of OpenShift 4.12, 4.16 and 4.20."""
LOADERS: list[Any] = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]
"""PyYAML's own reader, and libyaml, of which the reader of kubectl and oc is a translation."""

VIPS = "--virtual-ips=192.0.2.4-6"
IMAGE = "--images=registry.example.com/ha/vrrpd:0.1"

Object = dict[str, Any]


class Printed:
    """What one run of the command has printed."""

    def __init__(self, code: int, output: str, told: str) -> None:
        self.code = code
        self.output = output
        self.told = told.splitlines()

    @property
    def documents(self) -> list[Object]:
        return list(yaml.safe_load_all(self.output))

    def only(self, kind: str) -> Object:
        (found,) = [one for one in self.documents if one["kind"] == kind]
        return found

    @property
    def workload(self) -> Object:
        return self.documents[-1]

    @property
    def pod(self) -> Object:
        spec: Object = self.workload["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Object:
        (container,) = self.pod["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def environment(self) -> dict[str, str]:
        return {one["name"]: one["value"] for one in self.container["env"]}


Run = Callable[..., Printed]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str, code: int = 0) -> Printed:
        capsys.readouterr()
        seen = main(["manifest", *arguments])
        out, err = capsys.readouterr()
        assert seen == code, err
        return Printed(seen, out, err)

    return run


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    def script(content: str | bytes, name: str = "check.sh") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return script


# -- what Kubernetes takes --------------------------------------------------------------------------------------------

ENUMS: dict[tuple[str | int, ...], set[str]] = {
    ("kind",): {"ServiceAccount", "ConfigMap", "Deployment", "DaemonSet"},
    ("spec", "strategy", "type"): {"Recreate", "RollingUpdate"},
    ("spec", "updateStrategy", "type"): {"OnDelete", "RollingUpdate"},
    ("spec", "template", "spec", "containers", 0, "imagePullPolicy"): {"Always", "IfNotPresent", "Never"},
    **{
        ("spec", "template", "spec", "containers", 0, "volumeMounts", index, "mountPropagation"): {
            "None",
            "HostToContainer",
            "Bidirectional",
        }
        for index in range(4)
    },
}
"""Words that the schemas leave open and the API server does not."""


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def problems(one: Object) -> Iterator[str]:
    """Everything for which an API server would refuse an object, or that would keep its pods from starting."""
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{version}: {error}"
    for path, words in ENUMS.items():
        word = at(one, path)
        if word is not None and word not in words:
            yield f"{path}: {word}"
    template = at(one, ("spec", "template"))
    if template is None:
        return
    labels = template["metadata"]["labels"]
    if not one["spec"]["selector"]["matchLabels"].items() <= labels.items():
        yield f"the selector {one['spec']['selector']} does not match {labels}"
    volumes = {volume["name"] for volume in template["spec"]["volumes"]}
    for container in template["spec"]["containers"]:
        for mount in container["volumeMounts"]:
            if mount["name"] not in volumes:
                yield f"no volume {mount['name']}"
        for port in container["ports"]:
            if port["hostPort"] != port["containerPort"]:
                yield f"hostNetwork wants both ports to be the same: {port}"
        names = [variable["name"] for variable in container["env"]]
        if len(names) != len(set(names)):
            yield f"a variable is given twice: {names}"


ALL_FLAGS = (
    "ipf-ha",
    "--virtual-ips=192.0.2.4-6,2001:db8::1f39-1f3b",
    "--virtual-ip-groups=2",
    "-i",
    "br-ex",
    "-w",
    "1936",
    "-r",
    "3",
    "-l",
    "router=us-west-ha,f5rampnode=true",
    "--service-account=ha",
    "--check-interval=5",
    "--vrrp-id-offset=10",
    "--preemption-strategy=nopreempt",
    "--iptables-chain=OPENSHIFT-FIREWALL",
    "--images=registry.example.com/ha/${component}:v${version}",
    "--type=keepalived",
    "--namespace=ha",
    "--image-pull-secret=one,two",
    "--image-pull-secret=three",
    "-e",
    "VRRPD_NODES=192.0.2.251,192.0.2.252,192.0.2.253",
    "--dry-run",
    "--create",
)


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])
@pytest.mark.parametrize("arguments", [(VIPS, IMAGE), ALL_FLAGS], ids=["few flags", "all flags"])
def test_every_object_validates_strictly_against_the_schemas_of_kubernetes(
    run: Run, script: Callable[..., str], kind: str, arguments: tuple[str, ...]
) -> None:
    scripts = (
        f"--check-script={script('#!/bin/bash')}",
        f"--notify-script={script(b'#!/bin/sh' + bytes([0xFF]), 'n')}",
    )
    printed = run(*arguments, *scripts, f"--kind={kind}")
    assert [one["kind"] for one in printed.documents] == ["ServiceAccount", "ConfigMap", kind]
    for one in printed.documents:
        assert list(problems(one)) == []


@pytest.mark.parametrize(
    ("path", "key", "value", "told"),
    [
        (("spec", "template", "spec"), "privileged", True, "'privileged' was unexpected"),
        (("spec", "template", "spec", "containers", 0), "privileged", True, "'privileged' was unexpected"),
        (("spec", "template", "spec", "volumes", 3, "configMap"), "defaultMode", "0755", "'0755' is not"),
        (("spec", "template", "spec", "containers", 0, "env", 5), "value", 2, "2 is not"),
        (("spec",), "replicas", "2", "'2' is not"),
        (("spec", "strategy"), "type", "recreate", "recreate"),
        (("spec", "template", "spec", "containers", 0), "imagePullPolicy", "IfNotPresen", "IfNotPresen"),
        (("spec", "template", "metadata", "labels"), "ipfailover", "other", "does not match"),
        (("spec", "template", "spec", "containers", 0, "volumeMounts", 3), "name", "scripts", "no volume scripts"),
        (("spec", "template", "spec", "containers", 0, "ports", 0), "hostPort", 63001, "both ports"),
    ],
)
def test_a_manifest_with_a_mistake_does_not_pass_for_valid(
    run: Run, path: tuple[str | int, ...], key: str, value: object, told: str
) -> None:
    workload = deepcopy(run(VIPS, IMAGE).workload)
    assert list(problems(workload)) == []
    at(workload, path)[key] = value
    found = list(problems(workload))
    assert found
    assert told in found[0]


def test_the_manuals_deployment_is_refused_only_for_privileged_under_the_pod_spec(run: Run) -> None:
    workload = run(VIPS, IMAGE).workload
    workload["spec"]["template"]["spec"]["privileged"] = True
    assert len(list(problems(workload))) == len(VERSIONS)
    del workload["spec"]["template"]["spec"]["privileged"]
    assert list(problems(workload)) == []
    assert workload["spec"]["template"]["spec"]["containers"][0]["securityContext"] == {"privileged": True}


# -- the flags --------------------------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_oc_adm_ipfailover(run: Run) -> None:
    printed = run(VIPS)
    assert printed.only("ServiceAccount") == {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "ipfailover"},
    }
    assert printed.only("ConfigMap")["metadata"]["name"] == "ipfailover-scripts"
    assert printed.only("ConfigMap")["data"] == {}
    workload = printed.workload
    assert workload["apiVersion"] == "apps/v1"
    assert workload["kind"] == "Deployment"
    assert workload["metadata"] == {"name": "ipfailover", "labels": {"ipfailover": "ipfailover"}}
    assert workload["spec"]["strategy"] == {"type": "Recreate"}
    assert workload["spec"]["replicas"] == 2
    assert workload["spec"]["selector"] == {"matchLabels": {"ipfailover": "ipfailover"}}
    assert workload["spec"]["template"]["metadata"] == {"labels": {"ipfailover": "ipfailover"}}
    assert printed.pod["nodeSelector"] == {"ipfailover": "ipfailover"}
    assert printed.pod["serviceAccountName"] == "ipfailover"
    assert printed.pod["hostNetwork"] is True
    assert "imagePullSecrets" not in printed.pod
    assert printed.environment == {
        "OPENSHIFT_HA_CONFIG_NAME": "ipfailover",
        "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.4-6",
        "OPENSHIFT_HA_MONITOR_PORT": "80",
        "OPENSHIFT_HA_VRRP_ID_OFFSET": "0",
        "OPENSHIFT_HA_REPLICA_COUNT": "2",
        "OPENSHIFT_HA_IPTABLES_CHAIN": "INPUT",
        "OPENSHIFT_HA_PREEMPTION": "preempt_delay 300",
        "OPENSHIFT_HA_CHECK_INTERVAL": "2",
    }


def test_the_container_is_what_the_manuals_commands_expect(run: Run) -> None:
    printed = run(VIPS, IMAGE)
    container = {key: value for key, value in printed.container.items() if key != "env"}
    assert container == {
        "name": "openshift-ipfailover",
        "image": "registry.example.com/ha/vrrpd:0.1",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"privileged": True},
        "ports": [{"containerPort": 63000, "hostPort": 63000}],
        "volumeMounts": [
            {
                "name": "lib-modules",
                "mountPath": "/lib/modules",
                "readOnly": True,
                "mountPropagation": "HostToContainer",
            },
            {"name": "host-slash", "mountPath": "/host", "readOnly": True, "mountPropagation": "HostToContainer"},
            {
                "name": "etc-sysconfig",
                "mountPath": "/etc/sysconfig",
                "readOnly": True,
                "mountPropagation": "HostToContainer",
            },
            {"name": "config-volume", "mountPath": "/etc/keepalive"},
        ],
        "livenessProbe": {"initialDelaySeconds": 10, "exec": {"command": ["pgrep", "keepalived"]}},
        "readinessProbe": {
            "initialDelaySeconds": 10,
            "timeoutSeconds": 5,
            "exec": {"command": ["vrrpd", "status", "--ready"]},
        },
    }
    assert printed.pod["volumes"] == [
        {"name": "lib-modules", "hostPath": {"path": "/lib/modules"}},
        {"name": "host-slash", "hostPath": {"path": "/"}},
        {"name": "etc-sysconfig", "hostPath": {"path": "/etc/sysconfig"}},
        {"name": "config-volume", "configMap": {"name": "ipfailover-scripts", "defaultMode": 493}},
    ]


def test_every_flag_gets_to_its_place(run: Run, script: Callable[..., str]) -> None:
    check, notify = script("#!/bin/bash\n"), script("#!/bin/sh\n", "notify.sh")
    printed = run(*ALL_FLAGS, f"--check-script={check}", f"--notify-script={notify}")
    workload = printed.workload
    assert [one["metadata"]["namespace"] for one in printed.documents] == ["ha", "ha", "ha"]
    assert workload["metadata"]["name"] == "ipf-ha"
    assert workload["spec"]["selector"] == {"matchLabels": {"ipfailover": "ipf-ha"}}
    assert workload["spec"]["replicas"] == 3
    assert printed.only("ServiceAccount")["metadata"]["name"] == "ha"
    assert printed.pod["serviceAccountName"] == "ha"
    assert printed.pod["nodeSelector"] == {"router": "us-west-ha", "f5rampnode": "true"}
    assert printed.pod["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}, {"name": "three"}]
    assert printed.container["ports"] == [{"containerPort": 63010, "hostPort": 63010}]
    assert re.fullmatch(r"registry\.example\.com/ha/keepalived-ipfailover:v\d[\d.]*", printed.container["image"])
    assert printed.environment == {
        "OPENSHIFT_HA_CONFIG_NAME": "ipf-ha",
        "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.4-6,2001:db8::1f39-1f3b",
        "OPENSHIFT_HA_VIP_GROUPS": "2",
        "OPENSHIFT_HA_NETWORK_INTERFACE": "br-ex",
        "OPENSHIFT_HA_MONITOR_PORT": "1936",
        "OPENSHIFT_HA_VRRP_ID_OFFSET": "10",
        "OPENSHIFT_HA_REPLICA_COUNT": "3",
        "OPENSHIFT_HA_IPTABLES_CHAIN": "OPENSHIFT-FIREWALL",
        "OPENSHIFT_HA_NOTIFY_SCRIPT": "/etc/keepalive/notify.sh",
        "OPENSHIFT_HA_CHECK_SCRIPT": "/etc/keepalive/check.sh",
        "OPENSHIFT_HA_PREEMPTION": "nopreempt",
        "OPENSHIFT_HA_CHECK_INTERVAL": "5",
        "VRRPD_NODES": "192.0.2.251,192.0.2.252,192.0.2.253",
    }


def test_long_flags_are_as_good_as_short_ones(run: Run) -> None:
    long = run(VIPS, IMAGE, "--interface=eth1", "--watch-port=0", "--replicas=4", "--selector=a=b", "--output=yaml")
    short = run(VIPS, IMAGE, "-ieth1", "-w", "0", "-r4", "-l", "a=b", "-oyaml")
    assert long.output == short.output


def test_a_daemon_set_replaces_its_pods_one_after_the_other(run: Run) -> None:
    printed = run(VIPS, IMAGE, "--kind=daemonset")
    assert printed.workload["kind"] == "DaemonSet"
    assert printed.workload["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 1},
    }
    assert "replicas" not in printed.workload["spec"]
    assert "OPENSHIFT_HA_REPLICA_COUNT" not in printed.environment
    assert printed.pod == run(VIPS, IMAGE, "--kind=DaemonSet").pod
    assert run(VIPS, IMAGE, "--kind=DaemonSet", "-r5").environment["OPENSHIFT_HA_REPLICA_COUNT"] == "5"


@pytest.mark.parametrize("offset", [0, 10, 251])
def test_two_configurations_do_not_want_the_same_port(run: Run, offset: int) -> None:
    printed = run(VIPS, IMAGE, f"--vrrp-id-offset={offset}")
    assert printed.container["ports"] == [{"containerPort": 63000 + offset, "hostPort": 63000 + offset}]
    assert printed.environment["OPENSHIFT_HA_VRRP_ID_OFFSET"] == str(offset)


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("router=us-west-ha", {"router": "us-west-ha"}),
        ("router==us-west-ha", {"router": "us-west-ha"}),
        ("node-role.kubernetes.io/worker=", {"node-role.kubernetes.io/worker": ""}),
        ("a=1, b=010", {"a": "1", "b": "010"}),
        ("", None),
    ],
)
def test_a_selector_becomes_the_node_selector(run: Run, selector: str, selected: dict[str, str] | None) -> None:
    assert run(VIPS, IMAGE, f"--selector={selector}").pod.get("nodeSelector") == selected


def test_a_flag_that_is_empty_sets_no_variable(run: Run) -> None:
    printed = run(VIPS, IMAGE, "--iptables-chain=", "--watch-port=", "--check-interval=", "--preemption-strategy=")
    assert set(printed.environment) == {
        "OPENSHIFT_HA_CONFIG_NAME",
        "OPENSHIFT_HA_VIRTUAL_IPS",
        "OPENSHIFT_HA_VRRP_ID_OFFSET",
        "OPENSHIFT_HA_REPLICA_COUNT",
    }
    assert any("--iptables-chain is not set" in line for line in printed.told)


@pytest.mark.parametrize(
    "switches",
    [
        ["--dry-run", "name"],
        ["--dry-run=true", "name"],
        ["--dry-run=client", "name"],
        ["--create", "--dry-run=server", "name"],
    ],
)
def test_a_dry_run_is_what_it_always_is(run: Run, switches: list[str]) -> None:
    printed = run(VIPS, IMAGE, *switches)
    assert printed.workload["metadata"]["name"] == "name"
    assert printed.told == []


@pytest.mark.parametrize("switches", [["--create"], ["--create=true"], ["--create", "--dry-run=false"]])
def test_create_says_that_nothing_was_created_and_how_to_do_it(run: Run, switches: list[str]) -> None:
    printed = run(VIPS, IMAGE, *switches)
    assert printed.output == run(VIPS, IMAGE).output
    assert printed.told == [
        "vrrpd manifest: --create: nothing has been created, vrrpd talks to no cluster; pipe this output into "
        "`oc apply -f -`"
    ]
    assert run(VIPS, IMAGE, "--create=false").told == []


def test_json_says_what_yaml_says(run: Run, script: Callable[..., str]) -> None:
    arguments = [*ALL_FLAGS, f"--check-script={script('#!/bin/bash')}"]
    text = run(*arguments).output
    printed = run(*arguments, "-o", "json")
    whole = json.loads(printed.output)
    assert whole == {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": list(yaml.safe_load_all(text))}
    assert "defaultMode: 0755\n" in text
    assert '"defaultMode": 493' in printed.output
    assert "vrrpd manifest:   oc adm policy add-scc-to-user privileged -z ha -n ha" in printed.told


def test_the_policy_lines_stand_above_the_objects_as_comments(run: Run) -> None:
    comments = [line for line in run(VIPS, IMAGE).output.splitlines() if line.startswith("#")]
    assert "#   oc adm policy add-scc-to-user privileged -z ipfailover" in comments
    assert "#   oc adm policy add-scc-to-user hostnetwork -z ipfailover" in comments
    assert "#   oc label node NODE ipfailover=ipfailover" in comments
    assert run(VIPS, IMAGE).output.startswith("# IP failover ipfailover")


def test_an_image_that_exists_nowhere_but_here_is_warned_of(run: Run) -> None:
    (told,) = run(VIPS).told
    assert told.startswith("vrrpd manifest: warning: --images is not given: localhost/vrrpd:latest")
    assert run(VIPS, IMAGE).told == []


def test_one_replica_is_warned_of(run: Run) -> None:
    assert run(VIPS, IMAGE, "-r1").told == [
        "vrrpd manifest: warning: --replicas is 1: there is no other node to fail over to, expected 2 or more"
    ]


def test_the_daemon_reads_what_the_manifest_says_without_a_word(run: Run) -> None:
    variables = run(*ALL_FLAGS).environment | {"VRRPD_NODE_ADDRESS": "192.0.2.252"}
    configuration, _ = environment.parse(variables, HostFacts())
    assert [router.vrid for router in configuration.routers] == [11, 12]
    assert [router.name for router in configuration.routers] == ["ipf_ha_VIP_1", "ipf_ha_VIP_2"]
    assert {router.interface for router in configuration.routers} == {"br-ex"}
    assert not any(router.preempt for router in configuration.routers)


# -- odd values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("value", ["true", "010", "1.2.3.4-6", "0x1f", "1e3", "12:30:45", "null", "~", "off", "2"])
def test_a_value_that_yaml_would_misread_is_still_the_text_it_was(run: Run, loader: Any, value: str) -> None:
    printed = run(VIPS, IMAGE, f"--env=ODD={value}")
    *_, workload = yaml.load_all(printed.output, Loader=loader)
    assert workload["spec"]["template"]["spec"]["containers"][0]["env"][-1] == {"name": "ODD", "value": value}


@pytest.mark.parametrize("value", ["true", "010", "null", "yes"])
def test_a_name_that_yaml_would_misread_is_still_the_name(run: Run, value: str) -> None:
    printed = run(value, VIPS, IMAGE, f"--selector={value}={value}", f"--service-account={value}")
    assert printed.workload["metadata"] == {"name": value, "labels": {"ipfailover": value}}
    assert printed.pod["nodeSelector"] == {value: value}
    assert printed.pod["serviceAccountName"] == value
    assert f'{value}": "{value}"' in printed.output


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "content",
    [
        "#!/bin/bash\n\techo a: b # c\n",
        "#!/bin/bash\n# first\r\n# second\r\n",
        "#!/bin/bash\necho 'no line end'",
        "#!/bin/bash\n\n\n",
        "#!/bin/bash\n---\n...\n# %TAG\n- a: {b}\n",
        "#!/bin/bash\n# späße \U0001f600 \u2028\n",
        "#!/bin/bash\necho trailing   \n \n\t\n",
    ],
    ids=["tabs and colons", "CR LF", "no line end", "blank lines", "markers", "beyond ASCII", "blanks"],
)
def test_a_script_arrives_as_it_was(run: Run, script: Callable[..., str], loader: Any, content: str) -> None:
    printed = run(VIPS, IMAGE, f"--check-script={script(content)}")
    _, config_map, _ = yaml.load_all(printed.output, Loader=loader)
    assert config_map["data"] == {"check.sh": content}
    as_json = run(VIPS, IMAGE, f"--check-script={script(content)}", "-ojson")
    assert json.loads(as_json.output)["items"][1]["data"] == {"check.sh": content}
    assert printed.told == []


def test_a_script_that_is_no_text_travels_as_binary_data(run: Run, script: Callable[..., str]) -> None:
    content = b"\x7fELF\x02\x01\x00\xff"
    config_map = run(VIPS, IMAGE, f"--check-script={script(content, 'check')}").only("ConfigMap")
    assert base64.b64decode(config_map["binaryData"]["check"]) == content
    assert config_map["data"] == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("echo hello\n", "does not begin with #!"),
        ("", "does not begin with #!"),
        ("\ufeff#!/bin/bash\n", "does not begin with #!"),
        ("#!/bin/bash\r\nexit 0\r\n", "CR LF"),
    ],
)
def test_a_script_that_cannot_run_is_warned_of(run: Run, script: Callable[..., str], content: str, told: str) -> None:
    (line,) = run(VIPS, IMAGE, f"--notify-script={script(content)}").told
    assert line.startswith("vrrpd manifest: warning: --notify-script: ")
    assert told in line


def test_one_script_may_serve_twice(run: Run, script: Callable[..., str]) -> None:
    path = script("#!/bin/bash\n")
    printed = run(VIPS, IMAGE, f"--check-script={path}", f"--notify-script={path}")
    assert list(printed.only("ConfigMap")["data"]) == ["check.sh"]
    assert printed.environment["OPENSHIFT_HA_CHECK_SCRIPT"] == "/etc/keepalive/check.sh"
    assert printed.environment["OPENSHIFT_HA_NOTIFY_SCRIPT"] == "/etc/keepalive/check.sh"


def test_scripts_of_a_config_map_that_is_there_are_named_by_their_path_in_the_pod(run: Run) -> None:
    printed = run(VIPS, IMAGE, "--check-script=/etc/keepalive/mine.sh", "--config-map=keepalived-checkscript")
    assert [one["kind"] for one in printed.documents] == ["ServiceAccount", "Deployment"]
    assert printed.pod["volumes"][3]["configMap"]["name"] == "keepalived-checkscript"
    assert printed.environment["OPENSHIFT_HA_CHECK_SCRIPT"] == "/etc/keepalive/mine.sh"
    assert "# The ConfigMap keepalived-checkscript has to be there" in printed.output


def test_scripts_on_the_node_and_in_the_image_need_no_config_map(run: Run) -> None:
    printed = run(VIPS, IMAGE, "--check-script=/host/opt/a", "--env=OPENSHIFT_HA_NOTIFY_SCRIPT=/usr/local/bin/notify")
    assert printed.environment["OPENSHIFT_HA_CHECK_SCRIPT"] == "/host/opt/a"
    assert printed.environment["OPENSHIFT_HA_NOTIFY_SCRIPT"] == "/usr/local/bin/notify"
    assert printed.only("ConfigMap")["data"] == {}


ODD = st.one_of(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=90),
    st.text(alphabet=" \t\n\r-#:a'\"|>%{}[]&*!0x9_yn\\", max_size=40),
    st.sampled_from(["true", "Off", "y", "010", "0o7", "1_000", "-", "=", "<<", ".inf", "a: b", "a #b", "\n\n", " \n"]),
)
VALUES = st.recursive(
    st.one_of(ODD, ODD.map(emitter.Quoted), st.integers(), st.booleans(), st.integers(0, 4095).map(emitter.Octal)),
    lambda inner: st.one_of(
        st.dictionaries(ODD, inner, max_size=3),
        st.lists(inner.filter(lambda value: not isinstance(value, list)), max_size=3),
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("text", ["\tx\ny\n", "\n\tx\n", " x\ny", "\n x\n", "\n", "\n\n", " \n", "x\n\n\n", "x\n\n y"])
def test_a_text_that_begins_or_ends_in_blanks_is_read_back_the_same(loader: Any, text: str) -> None:
    document: dict[str, Any] = {"before": text, "list": [text, {"within": text}], "after": "word"}
    assert yaml.load(emitter.to_yaml([document]), Loader=loader) == document


@given(st.lists(st.dictionaries(ODD, VALUES, min_size=1, max_size=3), min_size=1, max_size=2))
def test_whatever_is_written_is_read_back_the_same(documents: list[dict[str, Any]]) -> None:
    text = emitter.to_yaml(documents, ["a comment"])
    for loader in LOADERS:
        assert list(yaml.load_all(text, Loader=loader)) == documents
    assert json.loads(emitter.to_json(documents)) == documents


# -- errors -----------------------------------------------------------------------------------------------------------


def test_all_errors_are_told_at_once_and_nothing_is_printed(run: Run) -> None:
    printed = run(
        "A b",
        "--virtual-ips=192.0.2.9-4",
        "--virtual-ip-groups=some",
        "-i",
        "an-interface-too-long",
        "-w",
        "77777",
        "-r",
        "0",
        "-l",
        "router",
        "--service-account=Me",
        "--check-script=missing/check.sh",
        "--check-interval=never",
        "--notify-script=/etc/keepalive/notify.sh",
        "--vrrp-id-offset=255",
        "--preemption-strategy=preempt_delay soon",
        "--iptables-chain=-A",
        "--images=Not an image",
        "--type=heartbeat",
        "--kind=Pod",
        "--namespace=a.b",
        "--image-pull-secret=?",
        "--env=VRRPD_NODES",
        "-o",
        "name",
        code=2,
    )
    assert printed.output == ""
    assert [line.removeprefix("vrrpd manifest: ").split(" expected ")[0] for line in printed.told] == [
        "--output is name,",
        "NAME is 'A b',",
        "--kind is Pod,",
        "--type is heartbeat,",
        "--vrrp-id-offset is 255,",
        "--replicas is 0,",
        "--notify-script is /etc/keepalive/notify.sh, a path in the pod,",
        "--check-script is missing/check.sh: no such file or directory,",
        "--env is VRRPD_NODES,",
        "--namespace is a.b,",
        "--images is 'Not an image',",
        "--image-pull-secret is ?,",
        "--service-account is Me,",
        "--selector holds router,",
        "--virtual-ips: range 192.0.2.9-4 ends before it begins,",
        "--virtual-ip-groups is some,",
        "--interface is an-interface-too-long,",
        "--watch-port is 77777,",
        "--check-interval is never,",
        "--preemption-strategy is 'preempt_delay soon',",
        "--iptables-chain is -A,",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--virtual-ips is not set, expected virtual addresses such as 192.0.2.4-6,192.0.2.9"),
        ([VIPS, "-l", "a=1,a=2"], "--selector asks for a twice with different values, expected one"),
        ([VIPS, "-l", "a in (b)"], "--selector holds 'a in (b)', expected labels such as router=us-west-ha"),
        ([VIPS, "-r", "many"], "--replicas is many, expected a whole number from 1 to 254"),
        ([VIPS, "--env=A=1", "--env=A=2"], "--env gives A twice, expected once"),
        (
            [VIPS, "--env=OPENSHIFT_HA_REPLICA_COUNT=7"],
            "--env gives OPENSHIFT_HA_REPLICA_COUNT, expected --replicas for that",
        ),
        ([VIPS, f"{'x' * 64}"], "NAME is "),
        ([VIPS, "--check-script=/tmp"], "--check-script is /tmp, which is not a file, expected a script"),
        ([VIPS, "--vrrp-id-offset=254"], "--vrrp-id-offset is 254: group 2 of 3 (ipfailover_VIP_2) would get"),
        (
            [VIPS, "--env=VRRPD_VERSION=2"],
            "--vrrp-id-offset is not set, expected with VRRPD_VERSION=2 the one that the old pods use",
        ),
        ([VIPS, "--env=VRRPD_VERSION=4"], "VRRPD_VERSION is 4, expected a whole number from 2 to 3"),
    ],
)
def test_an_error_names_the_flag_what_was_seen_and_what_was_expected(run: Run, arguments: list[str], told: str) -> None:
    printed = run(IMAGE, *arguments, code=2)
    assert printed.output == ""
    assert printed.told[0].startswith(f"vrrpd manifest: {told}")


def test_a_configuration_may_have_the_name_that_old_pods_have(run: Run) -> None:
    arguments = ["--env=OPENSHIFT_HA_CONFIG_NAME=ipf-1", "--env=VRRPD_VERSION=2", "--vrrp-id-offset=10"]
    printed = run("ipf-new", VIPS, IMAGE, *arguments)
    assert printed.workload["metadata"]["name"] == "ipf-new"
    assert printed.environment["OPENSHIFT_HA_CONFIG_NAME"] == "ipf-1"
    assert printed.environment["OPENSHIFT_HA_VRRP_ID_OFFSET"] == "10"
    assert printed.told == []


def test_255_addresses_are_too_many_groups_behind_offset_1_and_fit_in_20(run: Run) -> None:
    many = "--virtual-ips=192.0.2.1-254,198.51.100.1"
    printed = run(IMAGE, many, "--vrrp-id-offset=1", code=2)
    assert "--vrrp-id-offset is 1: group 255 of 255 (ipfailover_VIP_255)" in "\n".join(printed.told)
    printed = run(IMAGE, many, "--vrrp-id-offset=1", "--virtual-ip-groups=20")
    assert printed.environment["OPENSHIFT_HA_VIP_GROUPS"] == "20"


def test_scripts_of_the_same_name_are_told_apart(run: Run, script: Callable[..., str]) -> None:
    check, notify = script("#!/bin/sh\n"), script("#!/bin/bash\n", "other/check.sh")
    printed = run(VIPS, IMAGE, f"--check-script={check}", f"--notify-script={notify}", code=2)
    assert "have the same name in the ConfigMap, expected different ones" in printed.told[0]


def test_a_local_script_and_one_of_an_existing_config_map_do_not_go_together(
    run: Run, script: Callable[..., str]
) -> None:
    arguments = ["--check-script=/etc/keepalive/a", f"--notify-script={script('#!/bin/sh')}", "--config-map=x"]
    printed = run(VIPS, IMAGE, *arguments, code=2)
    assert printed.told[0].endswith("expected both to be local files, or both below /etc/keepalive")


def test_scripts_that_no_config_map_holds_are_refused(run: Run, script: Callable[..., str]) -> None:
    printed = run(VIPS, IMAGE, f"--check-script={script('#!/bin/sh' + 'x' * 1048576)}", code=2)
    assert "expected at most 1048576, which a ConfigMap holds" in printed.told[0]


def test_every_flag_that_fills_a_variable_is_one_that_the_command_has(run: Run) -> None:
    names = {f"--{field.name.replace('_', '-')}" for field in fields(Flags)} | {"NAME"}
    assert set(FLAG_OF.values()) <= names


def test_the_command_runs_where_the_terminal_speaks_no_utf_8(script: Callable[..., str]) -> None:
    path = script("#!/bin/bash\n# späße\n")
    arguments = [VIPS, IMAGE, f"--check-script={path}"]
    done = subprocess.run(
        [sys.executable, "-m", "vrrpd", "manifest", *arguments],
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert "# späße\n" in done.stdout.decode("utf-8")


# -- deploy/ ----------------------------------------------------------------------------------------------------------


def deployed() -> list[str]:
    return sorted(path.name for path in DEPLOY.glob("*.yaml"))


def test_deploy_is_what_the_generator_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "tools" / "write-deploy"), str(tmp_path)], timeout=60, check=True)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(written) == deployed()
    assert written == {name: (DEPLOY / name).read_text() for name in deployed()}


@pytest.mark.parametrize("name", ["serviceaccount.yaml", "configmap.yaml", "deployment.yaml", "daemonset.yaml"])
def test_every_manifest_of_deploy_validates_strictly(name: str) -> None:
    assert list(problems(yaml.safe_load((DEPLOY / name).read_text()))) == []


def test_the_kustomize_base_names_files_that_are_there_and_an_image_that_is_used() -> None:
    base = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
    assert base["kind"] == "Kustomization"
    kinds = [yaml.safe_load((DEPLOY / name).read_text())["kind"] for name in base["resources"]]
    assert kinds == ["ServiceAccount", "ConfigMap", "Deployment"]
    deployment = yaml.safe_load((DEPLOY / "deployment.yaml").read_text())
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert base["images"] == [{"name": "localhost/vrrpd", "newName": "localhost/vrrpd", "newTag": "latest"}]
    assert image == "localhost/vrrpd:latest"


@pytest.mark.parametrize("arguments", [["MASTER"], ["BACKUP"], ["FAULT"], ["STOP"]])
def test_the_example_notify_script_says_each_state(arguments: list[str]) -> None:
    script = DEPLOY / "scripts" / "mynotifyscript.sh"
    done = subprocess.run(
        [str(script), "INSTANCE", "ipf_VIP_1", *arguments, "100"],
        capture_output=True,
        timeout=10,
        check=True,
        text=True,
    )
    assert done.stdout.startswith("ipf_VIP_1: ")
    assert done.stderr == ""


def commands(page: Path) -> list[str]:
    """The calls of ``vrrpd manifest`` in the blocks of a page."""
    blocks = re.findall(r"^ *```\n(.*?)^ *```$", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.strip() for line in "\n".join(blocks).replace("\\\n", " ").splitlines()]
    return [line.partition("|")[0].partition(" > ")[0] for line in lines if line.startswith("vrrpd manifest")]


def test_the_page_has_every_flag() -> None:
    with pytest.raises(SystemExit), redirect_stdout(StringIO()) as shown:
        flag_parser().parse_args(["--help"])
    flags = set(
        re.findall(r"(?<![\w=-])--?[a-z][-a-z]*", shown.getvalue().partition("options:")[2].partition("example:")[0])
    )
    page = (ROOT / "docs" / "openshift.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| -")]
    assert flags - {"-h", "--help"} == {flag.strip() for row in rows for flag in row.split(",")}


@pytest.mark.parametrize("page", [ROOT / "docs" / "openshift.md", DEPLOY / "README.md"], ids=lambda page: page.name)
def test_the_commands_of_the_documentation_work(run: Run, monkeypatch: pytest.MonkeyPatch, page: Path) -> None:
    monkeypatch.chdir(ROOT)
    found = commands(page)
    assert len(found) == page.read_text().count("\nvrrpd manifest ") + page.read_text().count("   vrrpd manifest ") > 0
    for line in found:
        printed = run(*shlex.split(line)[2:])
        for one in printed.documents:
            assert list(problems(one)) == []
