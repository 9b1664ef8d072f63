"""The Kubernetes objects of a request, as plain data: ServiceAccount, ConfigMap, and a Deployment or DaemonSet.

Names that the manuals' commands use are kept: the container is openshift-ipfailover, the scripts are the volume
config-volume at /etc/keepalive. Knows nothing of flags and of how objects are written down.
"""

from __future__ import annotations

import base64
from typing import Final, TypeAlias

from vrrpd.manifests.emitter import Octal, Quoted, Value
from vrrpd.manifests.request import Request
from vrrpd.manifests.scripts import DIRECTORY, ScriptFile

Object: TypeAlias = dict[str, Value]

LABEL: Final = "ipfailover"
CONTAINER: Final = "openshift-ipfailover"
SCRIPTS: Final = "config-volume"
SCRIPTS_MODE: Final = Octal(0o755)
"""Scripts are run: without it they would not be executable."""
SERVICE_ACCOUNT_GROUPS: Final = ("privileged", "hostnetwork")
"""The security context constraints that the pods need on OpenShift."""


def objects(request: Request) -> list[Object]:
    """Everything to be created, in the order in which it is needed."""
    made = [_service_account(request)]
    if request.scripts is not None:
        made.append(_config_map(request, request.scripts))
    return [*made, _workload(request)]


def as_list(made: list[Object]) -> Object:
    """All objects as one, for JSON, which cannot hold several documents."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": made}


def what_to_do(request: Request) -> list[str]:
    """What an administrator has to do besides creating the objects, as lines of text."""
    account = request.service_account
    where = "" if request.namespace is None else f" -n {request.namespace}"
    selected = ",".join(f"{key}={value}" for key, value in request.node_selector)
    lines = [
        "Before the pods can start, as cluster administrator:",
        *(f"  oc adm policy add-scc-to-user {scc} -z {account}{where}" for scc in SERVICE_ACCOUNT_GROUPS),
    ]
    if not selected:
        lines.append("No nodes are selected: the scheduler may take any of them.")
    elif request.kind == "Deployment":
        lines += [
            f"Has to list {request.replicas} nodes, as many as there are replicas:",
            f"  oc get nodes -l {selected}",
        ]
    else:
        lines += ["Each node that this lists gets a pod:", f"  oc get nodes -l {selected}"]
    if selected and request.node_selector == ((LABEL, request.name),):
        lines += ["To select a node:", f"  oc label node NODE {selected}"]
    if request.scripts is None:
        lines.append(f"The ConfigMap {request.config_map} has to be there, with the scripts in it.")
    return lines


def _metadata(request: Request, name: str) -> Object:
    metadata: Object = {"name": name}
    if request.namespace is not None:
        metadata["namespace"] = request.namespace
    metadata["labels"] = _labels(request)
    return metadata


def _labels(request: Request) -> Object:
    return {LABEL: request.name}


def _service_account(request: Request) -> Object:
    metadata = _metadata(request, request.service_account)
    # Several configurations may share an account: it belongs to none of them.
    del metadata["labels"]
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def _config_map(request: Request, scripts: tuple[ScriptFile, ...]) -> Object:
    """The scripts; without any the map is there all the same, so that one can be added without changing the pods."""
    made: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(request, request.config_map),
        "data": {script.key: script.text for script in scripts if script.text is not None},
    }
    binary: Object = {
        script.key: base64.b64encode(script.content).decode("ascii") for script in scripts if script.text is None
    }
    if binary:
        made["binaryData"] = binary
    return made


def _workload(request: Request) -> Object:
    template: Object = {"metadata": {"labels": _labels(request)}, "spec": _pod(request)}
    selector: Object = {"matchLabels": _labels(request)}
    if request.kind == "DaemonSet":
        # One node after the other: the virtual addresses are never all away.
        strategy: Object = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
        spec: Object = {"updateStrategy": strategy, "selector": selector, "template": template}
    else:
        # Never old and new pods together: the port would keep the new ones from starting anyway.
        spec = {
            "strategy": {"type": "Recreate"},
            "replicas": request.replicas,
            "selector": selector,
            "template": template,
        }
    return {
        "apiVersion": "apps/v1",
        "kind": request.kind,
        "metadata": _metadata(request, request.name),
        "spec": spec,
    }


def _pod(request: Request) -> Object:
    spec: Object = {"serviceAccountName": request.service_account, "hostNetwork": True}
    if request.node_selector:
        spec["nodeSelector"] = {key: Quoted(value) for key, value in request.node_selector}
    spec["containers"] = [_container(request)]
    spec["volumes"] = [
        {"name": "lib-modules", "hostPath": {"path": "/lib/modules"}},
        {"name": "host-slash", "hostPath": {"path": "/"}},
        {"name": "etc-sysconfig", "hostPath": {"path": "/etc/sysconfig"}},
        {"name": SCRIPTS, "configMap": {"name": request.config_map, "defaultMode": SCRIPTS_MODE}},
    ]
    if request.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in request.pull_secrets]
    return spec


def _container(request: Request) -> Object:
    return {
        "name": CONTAINER,
        "image": request.image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"privileged": True},
        "ports": [{"containerPort": request.port, "hostPort": request.port}],
        "volumeMounts": [
            _mount("lib-modules", "/lib/modules"),
            _mount("host-slash", "/host"),
            _mount("etc-sysconfig", "/etc/sysconfig"),
            {"name": SCRIPTS, "mountPath": DIRECTORY},
        ],
        "env": [{"name": name, "value": Quoted(value)} for name, value in request.environment],
        "livenessProbe": {"initialDelaySeconds": 10, "exec": {"command": ["pgrep", "keepalived"]}},
        "readinessProbe": {
            "initialDelaySeconds": 10,
            # Starting Python takes longer than the usual second on a busy node.
            "timeoutSeconds": 5,
            "exec": {"command": ["vrrpd", "status", "--ready"]},
        },
    }


def _mount(name: str, path: str) -> Object:
    """A directory of the node; what the node mounts below it later is seen too."""
    return {"name": name, "mountPath": path, "readOnly": True, "mountPropagation": "HostToContainer"}
