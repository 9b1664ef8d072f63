"""What names Kubernetes takes: objects, labels, images, keys of a ConfigMap. Patterns, and what to tell who missed one.

Sources: DNS-1123 subdomains for names of objects, the syntax of labels, and the reference grammar of container images.
"""

from __future__ import annotations

import re
from typing import Final

_DNS_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_LABEL_WORD: Final = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_IMAGE_PART: Final = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"

_OBJECT_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_DNS_LABEL}(?:\.{_DNS_LABEL})*", re.ASCII)
_NAMESPACE: Final = re.compile(rf"(?=.{{1,63}}\Z){_DNS_LABEL}", re.ASCII)
_LABEL_KEY: Final = re.compile(
    rf"(?:(?=[^/]{{1,253}}/){_DNS_LABEL}(?:\.{_DNS_LABEL})*/)?{_LABEL_WORD}",
    re.ASCII,
)
_LABEL_VALUE: Final = re.compile(rf"(?:{_LABEL_WORD})?", re.ASCII)
_IMAGE: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[-A-Za-z0-9.]*[A-Za-z0-9])?(?::[0-9]{1,5})?/)?"
    rf"{_IMAGE_PART}(?:/{_IMAGE_PART})*"
    r"(?::[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_CONFIG_MAP_KEY: Final = re.compile(r"(?!\.{1,2}\Z)(?!\.\.)[-._a-zA-Z0-9]{1,253}", re.ASCII)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

LONGEST_LABEL: Final = 63
"""Characters: a configuration's name is a label of its pods too."""

OBJECT_NAME_EXPECTED: Final = "lower-case letters, digits, - and ., beginning and ending with a letter or digit"


def is_object_name(text: str) -> bool:
    """Whether it can name a ServiceAccount, ConfigMap, Secret, Deployment or DaemonSet."""
    return bool(_OBJECT_NAME.fullmatch(text))


def is_namespace(text: str) -> bool:
    """Whether it can name a namespace."""
    return bool(_NAMESPACE.fullmatch(text))


def is_label_key(text: str) -> bool:
    """Whether it can be the key of a label."""
    return bool(_LABEL_KEY.fullmatch(text))


def is_label_value(text: str) -> bool:
    """Whether it can be the value of a label."""
    return bool(_LABEL_VALUE.fullmatch(text))


def is_image(text: str) -> bool:
    """Whether it can name a container image."""
    return bool(_IMAGE.fullmatch(text))


def is_config_map_key(text: str) -> bool:
    """Whether a file of that name can be in a ConfigMap."""
    return bool(_CONFIG_MAP_KEY.fullmatch(text))


def is_variable(text: str) -> bool:
    """Whether it can name an environment variable."""
    return bool(_VARIABLE.fullmatch(text))
