"""Which source counts, what is printed of it and what is left of it: the command line without a daemon."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path

import pytest

from vrrpd import host, sources
from vrrpd.cli import main
from vrrpd.config.host import HostFacts
from vrrpd.config.keepalived import parse
from vrrpd.config.model import Configuration
from vrrpd.config.variables import NAMES
from vrrpd.sources import EnvironmentSource

DOCS = Path(__file__).parents[1] / "docs"
FILE = (
    "vrrp_instance VI_1 {\n interface eth0\n virtual_router_id 51\n version 3\n virtual_ipaddress { 192.0.2.100 }\n}\n"
)
VARIABLES = {
    "OPENSHIFT_HA_CONFIG_NAME": "ipf-1",
    "OPENSHIFT_HA_VIRTUAL_IPS": "192.0.2.101",
    "OPENSHIFT_HA_IPTABLES_CHAIN": "INPUT",
    "OPENSHIFT_HA_NETWORK_INTERFACE": "lo",
}


@pytest.fixture
def default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default file, which is not there, and an environment without variables of ours."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "keepalived" / "keepalived.conf"
    monkeypatch.setattr("vrrpd.cli.DEFAULT_FILE", str(path))
    # Sources that the command line makes are given no other place.
    monkeypatch.setattr(
        EnvironmentSource.__init__, "__kwdefaults__", {"strict": False, "explicit": False, "copy": str(path)}
    )
    return path


@pytest.fixture
def variables(default_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_file_that_is_named_counts_before_the_environment(
    variables: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "-f", str(written(tmp_path / "mine.conf", FILE))]) == 0
    assert "vrrp_instance VI_1 {" in capsys.readouterr().out


def test_the_environment_counts_before_the_default_file_and_it_is_said(
    variables: None, default_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(default_file, FILE)
    assert main(["config"]) == 0
    output = capsys.readouterr()
    assert "vrrp_instance ipf_1_VIP_1 {" in output.out
    assert f"environment: warning: there is {default_file} too: the environment counts" in output.err


def test_the_default_file_counts_without_either(default_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(default_file, FILE)
    assert main(["config"]) == 0
    assert "vrrp_instance VI_1 {" in capsys.readouterr().out


def test_from_env_reads_the_environment_whatever_is_set(default_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--from-env"]) == 1
    assert "environment: OPENSHIFT_HA_VIRTUAL_IPS is not set, expected" in capsys.readouterr().err


def test_from_env_and_a_file_exclude_each_other(default_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["config", "--from-env", "-f", "x"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_what_is_printed_of_the_environment_means_the_same_as_a_file(
    variables: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["config"]) == 0
    file = written(tmp_path / "printed.conf", capsys.readouterr().out)
    assert main(["config", "-f", str(file), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert first.pop("source") == "environment"
    assert again.pop("source") == str(file)
    assert again == first


def test_strict_makes_warnings_of_the_environment_errors(
    variables: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "--strict"]) == 0
    monkeypatch.setenv("OPENSHIFT_HA_PREEMPTION", "preempt_nodelay 300")
    assert main(["config", "--strict"]) == 1
    assert "environment: OPENSHIFT_HA_PREEMPTION is 'preempt_nodelay 300'" in capsys.readouterr().err


def test_explain_prints_what_the_page_shows(
    default_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line.removeprefix("    ") for line in (DOCS / "openshift.md").read_text().splitlines()]
    start = next(index for index, line in enumerate(lines) if line.startswith("$ export"))
    end = next(index for index, line in enumerate(lines) if line.startswith("## Several"))
    commands = [line for line in lines[start:end] if line.startswith("$ ")]
    for command in commands[:-1]:
        for assignment in command.removeprefix("$ export ").split():
            monkeypatch.setenv(*assignment.split("=", 1))
    assert commands[-1] == "$ vrrpd config --from-env --explain"
    assert main(["config", "--from-env", "--explain"]) == 0
    assert capsys.readouterr().out.strip().splitlines() == lines[start + len(commands) : end - 1]


def test_explain_as_json_and_without_a_list_of_nodes(
    variables: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "--explain"]) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "the nodes are not known: give VRRPD_NODES" in output.err
    monkeypatch.setenv("VRRPD_NODES", "192.0.2.11,192.0.2.12")
    monkeypatch.setenv("VRRPD_NODE_ADDRESS", "192.0.2.11")
    assert main(["config", "--explain", "--json"]) == 0
    (spread,) = json.loads(capsys.readouterr().out)
    assert spread["groups"][0]["priorities"] == {"192.0.2.11": 254, "192.0.2.12": 244}
    monkeypatch.setenv("VRRPD_PRIORITY", "100")
    assert main(["config", "--explain"]) == 0
    assert "VRRPD_PRIORITY sets the priority by hand" in capsys.readouterr().err


def test_explain_of_a_file_says_why_there_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--explain", "-f", str(written(tmp_path / "mine.conf", FILE))]) == 0
    assert "gives each priority itself" in capsys.readouterr().err


@pytest.fixture
def leave(default_file: Path, caplog: pytest.LogCaptureFixture) -> Callable[[], tuple[Configuration, str]]:
    """Leaves a copy and gives the configuration and what was logged."""

    def work() -> tuple[Configuration, str]:
        caplog.clear()
        source = EnvironmentSource(VARIABLES, copy=str(default_file))
        configuration, _ = source.load()
        with caplog.at_level(logging.INFO, "vrrpd"):
            source.leave_a_copy(configuration)
        return configuration, caplog.text

    return work


def test_the_effective_configuration_is_left_where_people_look_and_replaced_at_the_next_start(
    default_file: Path, leave: Callable[[], tuple[Configuration, str]]
) -> None:
    for _ in range(2):
        configuration, log = leave()
        assert f"the effective configuration is in {default_file}" in log
        assert default_file.read_text().startswith("# Written by vrrpd")
        assert parse(default_file.read_text(), file="environment", router_id_default="x")[0] == configuration
    assert default_file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in default_file.parent.iterdir()] == ["keepalived.conf"]


def test_a_file_that_somebody_else_wrote_is_left_alone(
    default_file: Path, leave: Callable[[], tuple[Configuration, str]]
) -> None:
    written(default_file, FILE)
    assert "is somebody's own file" in leave()[1]
    assert default_file.read_text() == FILE


def test_a_place_that_cannot_be_written_is_one_line_in_the_log(
    default_file: Path, leave: Callable[[], tuple[Configuration, str]]
) -> None:
    default_file.parent.write_text("no directory")
    log = leave()[1]
    assert log.count("\n") == 1
    assert f"the effective configuration is not written to {default_file}: " in log


def test_warnings_about_the_environment_are_told_once_however_often_it_is_read() -> None:
    source = EnvironmentSource({**VARIABLES, "OPENSHIFT_HA_SMTP_SERVER": "192.0.2.25"}, explicit=True)
    assert any("no mail is sent" in one.message for one in source.load()[1])
    assert source.load()[1] == ()


def test_an_interface_that_was_chosen_once_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    address = ip_interface("192.0.2.11/24")
    before = HostFacts("node1", {"ens3": (address,)}, "ens3")
    after = HostFacts("node1", {"ens3": (address,), "eth0": ()}, "ens3")
    unset = {name: value for name, value in VARIABLES.items() if name != "OPENSHIFT_HA_NETWORK_INTERFACE"}
    source = EnvironmentSource(unset, explicit=True)
    for facts in (before, after):
        monkeypatch.setattr(host, "gather", lambda facts=facts: facts)
        assert source.load()[0].routers[0].interface == "ens3"
    assert EnvironmentSource(unset, explicit=True).load()[0].routers[0].interface == "eth0"


def test_wrong_variables_of_the_log_are_warnings_beside_a_file() -> None:
    (problem,) = sources.bad_log_options({"VRRPD_LOG_FORMAT": "xml", "VRRPD_LOG_LEVEL": "debug"})
    assert str(problem) == "environment: warning: VRRPD_LOG_FORMAT is 'xml', expected text or json"


def test_the_default_route_is_the_best_ipv4_one_else_the_best_ipv6_one(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth1\t00000000\t010200C0\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"
        "eth2\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    zeros, full = "0" * 32, f"{'0' * 32} 00 {'0' * 32} 00"
    (tmp_path / "ipv6_route").write_text(
        f"{full} {zeros} ffffffff 00000001 00000000 00200200       lo\n"
        f"{full} fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth3\n"
    )
    assert host.default_interface(tmp_path) == "eth2"
    (tmp_path / "route").write_text("Iface\tDestination\n")
    assert host.default_interface(tmp_path) == "eth3"
    (tmp_path / "ipv6_route").unlink()
    assert host.default_interface(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", ""),
        ('# options\nKEEPALIVED_OPTIONS="-D -d"\n', "-D -d"),
        ("export KEEPALIVED_OPTIONS=-D # why\n", "-D"),
        ('KEEPALIVED_OPTIONS=""\n', ""),
        ('KEEPALIVED_OPTIONS="-D\n', '"-D'),
        ("OTHER=1\n", ""),
    ],
)
def test_the_old_daemons_options_are_found(tmp_path: Path, text: str, options: str) -> None:
    file = written(tmp_path / "sysconfig" / "keepalived", text)
    assert host.old_options(file) == options
    assert host.old_options(tmp_path / "missing") == ""


def test_the_facts_of_this_host_hold_its_loopback() -> None:
    facts = host.gather()
    assert facts.problem == ""
    assert facts.host_name == os.uname().nodename
    assert "127.0.0.1/8" in [str(one) for one in facts.interfaces["lo"]] or facts.interfaces["lo"] == ()
