"""Whatever the input: a configuration, or the documented error, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.config.test_examples import HAPROXY_PAIR, IPV6_PAIR, OPENSHIFT_LIKE, UNICAST_PAIR_IN_A_CLOUD
from vrrpd.config.global_defs import GLOBAL_DEFS
from vrrpd.config.instances import AUTHENTICATION, VRRP_INSTANCE
from vrrpd.config.keepalived import load, parse
from vrrpd.config.model import Configuration, ConfigurationError, Diagnostic
from vrrpd.config.render import to_json, to_keepalived_conf
from vrrpd.config.scripts import VRRP_SCRIPT

EXAMPLES = (HAPROXY_PAIR, IPV6_PAIR, OPENSHIFT_LIKE, UNICAST_PAIR_IN_A_CLOUD)

keywords = st.sampled_from(
    sorted({*GLOBAL_DEFS, *VRRP_INSTANCE, *VRRP_SCRIPT, *AUTHENTICATION, "vrrp_instance", "vrrp_script", "global_defs"})
)
values = st.sampled_from(
    ["1", "255", "-1", "1.5", "on", "PASS", "MASTER", "192.0.2.1", "192.0.2.1/24", "fe80::1", "eth0", "dev", "weight",
     "label", "brd", "+", "reverse", '"a b"', "'x'", "</dev/tcp/a/1", "$A", "${A}", "${_ENV A}", "$A=$A", "@a", "@^a",
     "~SEQ(A,1)", "\\", '"', "'", "#", "!", "\\x00", "\\xff", "include", "*", "\0", "é", "0x10", "1e9", "9" * 400]
)  # fmt: skip
fragments = keywords | values | st.sampled_from(["{", "}", " ", "\n", "\n", " {\n", "\n}\n", " \\\n"])


def outcome(text: str) -> Configuration | None:
    configuration: Configuration | None = None
    try:
        configuration, told = parse(text)
    except ConfigurationError as error:
        told = error.diagnostics
    assert any(diagnostic.fatal for diagnostic in told) is (configuration is None)
    check_lines(told)
    return configuration


def check_lines(diagnostics: tuple[Diagnostic, ...]) -> None:
    for diagnostic in diagnostics:
        line = str(diagnostic)
        assert "\n" not in line
        line.encode()


def check_printing(configuration: Configuration) -> None:
    again, _ = parse(to_keepalived_conf(configuration))
    assert again == configuration
    to_json(configuration)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text(text: str) -> None:
    outcome(text)


@settings(max_examples=300, deadline=None)
@example(["vrrp_instance", " ", "1", " {\n", "virtual_ipaddress", " {\n", "192.0.2.1", "\n}\n", "\n}\n"])
@given(st.lists(fragments, max_size=60))
def test_any_heap_of_keywords(parts: list[str]) -> None:
    outcome("".join(f"{part} " for part in parts))


@settings(max_examples=300, deadline=None)
@given(
    text=st.sampled_from(EXAMPLES),
    edits=st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(["drop", "double", "insert", "replace"]), fragments),
        min_size=1,
        max_size=4,
    ),
)
def test_any_change_of_a_good_file(text: str, edits: list[tuple[int, str, str]]) -> None:
    words = text.replace("\n", " \n ").split(" ")
    for position, kind, fragment in edits:
        at = position % len(words)
        match kind:
            case "drop":
                del words[at]
            case "double":
                words.insert(at, words[at])
            case "insert":
                words.insert(at, fragment)
            case _:
                words[at] = fragment
    configuration = outcome(" ".join(words))
    if configuration is not None:
        check_printing(configuration)


@settings(max_examples=100, deadline=None)
@given(
    st.binary()
    | st.tuples(st.sampled_from(EXAMPLES), st.binary(), st.integers(0)).map(
        lambda parts: parts[0].encode()[: parts[2] % 500] + parts[1] + parts[0].encode()[parts[2] % 500 :]
    )
)
def test_any_bytes_in_a_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "keepalived.conf"
        path.write_bytes(content)
        try:
            load(str(path))
        except ConfigurationError as error:
            check_lines(error.diagnostics)


@pytest.mark.parametrize(
    "text",
    ["{" * 50_000, "}" * 50_000, "a{\n" * 15_000, '"' * 50_000, "' " * 25_000, "${X" * 15_000, "$X " * 15_000,
     "\\\n" * 25_000, "$A= \\\n" * 8_000, "@x " * 15_000, "#" * 50_000, "priority " + "9" * 50_000],
    ids=lambda text: repr(text[:4]),
)  # fmt: skip
def test_large_nonsense_ends(text: str) -> None:
    assert outcome(text) is None
    assert outcome(f"vrrp_instance a {{\n{text}\n}}") is None
