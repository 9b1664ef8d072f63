"""Scripts on disk: missing, not executable, not safe for root. Real files in real directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.config.reading import instance
from vrrpd.config.keepalived import load
from vrrpd.config.model import Command, Configuration
from vrrpd.config.script_files import danger_of, problem_of, writable_by_others

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "check.sh"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def loaded(tmp_path: Path, script: str, secure: bool = False) -> tuple[Configuration, list[str]]:
    path = tmp_path / "keepalived.conf"
    security = "enable_script_security" if secure else ""
    path.write_text(
        f"global_defs {{\nscript_user root\n{security}\n}}\nvrrp_script web {{\nscript {script}\n}}\n"
        + instance(f"notify_master {script}")
    )
    configuration, diagnostics = load(str(path))
    return configuration, [str(diagnostic).replace(str(tmp_path), "") for diagnostic in diagnostics]


def test_a_good_script_is_not_talked_about(tmp_path: Path, script: Path) -> None:
    assert loaded(tmp_path, str(script))[1] == []


def test_a_missing_script_is_a_warning_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "none.sh"
    assert loaded(tmp_path, str(path))[1] == [
        "/keepalived.conf:6: warning: vrrp_script web: /none.sh: no such file or directory, expected a program; "
        "until then every run is a failed check",
        "/keepalived.conf:12: warning: (VI_1) notify_master: /none.sh: no such file or directory, expected a program",
    ]


def test_a_script_that_is_not_executable_is_a_warning(tmp_path: Path, script: Path) -> None:
    script.chmod(0o644)
    assert problem_of(Command((str(script),))) == f"{script} is not executable, expected a program"
    assert problem_of(Command((str(tmp_path),))) == f"{tmp_path} is not a file, expected a program"


def test_a_user_or_group_may_be_a_number_and_a_name_has_to_exist(script: Path) -> None:
    assert problem_of(Command((str(script),), user="64999", group="64998")) is None
    assert problem_of(Command((str(script),), user="no-such-user")) == "user no-such-user does not exist"
    assert problem_of(Command((str(script),), group="no-such-group")) == "group no-such-group does not exist"
    script.chmod(0o777)
    assert danger_of(Command((str(script),), user="64999", group="64998")) is None
    assert danger_of(Command((str(script),), user="0")) is not None


def test_the_first_word_is_looked_up_in_path() -> None:
    assert problem_of(Command(("true",))) is None
    assert problem_of(Command(("no-such-program",))) == "no-such-program is not in PATH, expected a program"


def test_a_user_or_group_that_does_not_exist_is_named() -> None:
    assert problem_of(Command(("true",), "no-such-user")) == "user no-such-user does not exist"
    assert problem_of(Command(("true",), "root", "no-such-group")) == "group no-such-group does not exist"


@needs_root
def test_a_script_that_others_can_write_does_not_run_as_root(tmp_path: Path, script: Path) -> None:
    script.chmod(0o777)
    configuration, told = loaded(tmp_path, str(script), secure=True)
    reason = f"{script} can be written by others than root (enable_script_security)"
    assert configuration.checks[0].security_problem == reason
    assert configuration.routers[0].notify.master is None
    assert told == [
        f"/keepalived.conf:6: warning: vrrp_script web: {reason}; every run is a failed check".replace(
            str(tmp_path), ""
        ),
        f"/keepalived.conf:12: warning: (VI_1) notify_master: {reason}; it is not run".replace(str(tmp_path), ""),
    ]


@needs_root
def test_a_script_that_cannot_run_yet_is_no_way_round_script_security(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    path = theirs / "check.sh"
    reason = f"{theirs} belongs to user 65534, expected root (enable_script_security)"

    def refused() -> None:
        configuration, _ = loaded(tmp_path, str(path), secure=True)
        assert configuration.checks[0].security_problem == reason
        assert configuration.routers[0].notify.master is None

    refused()  # There is none: user 65534 may make one.
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)
    refused()
    path.chmod(0o755)
    refused()


@needs_root
def test_what_does_not_exist_is_as_safe_as_the_directory_in_which_it_would_be_made(tmp_path: Path) -> None:
    missing = tmp_path / "none.sh"
    assert writable_by_others(str(missing)) is None
    # The sticky bit keeps what is there, and lets everybody make what is not.
    tmp_path.chmod(0o1777)
    assert writable_by_others(str(missing)) == (
        f"{missing} does not exist, and others than root can write in {tmp_path} (enable_script_security)"
    )


@needs_root
def test_without_script_security_nothing_is_looked_at(tmp_path: Path, script: Path) -> None:
    script.chmod(0o777)
    assert loaded(tmp_path, str(script))[1] == []


@needs_root
def test_a_directory_or_owner_other_than_root_is_named(tmp_path: Path, script: Path) -> None:
    assert writable_by_others(str(script)) is None
    tmp_path.chmod(0o777)
    assert writable_by_others(str(script)) == (
        f"{tmp_path} can be written by others than root (enable_script_security)"
    )
    tmp_path.chmod(0o755)
    os.chown(script, 65534, 0)
    assert writable_by_others(str(script)) == (
        f"{script} belongs to user 65534, expected root (enable_script_security)"
    )


@needs_root
def test_a_symbolic_link_is_no_fault_but_what_it_leads_to_can_be(tmp_path: Path, script: Path) -> None:
    link = tmp_path / "link.sh"
    link.symlink_to("../" + tmp_path.name + "/check.sh")
    os.lchown(link, 65534, 65534)
    assert writable_by_others(str(link)) is None
    script.chmod(0o757)
    assert writable_by_others(str(link)) == f"{script} can be written by others than root (enable_script_security)"


@needs_root
def test_a_link_that_others_could_turn_round_is_a_fault(tmp_path: Path, script: Path) -> None:
    open_directory = tmp_path / "open"
    open_directory.mkdir()
    open_directory.chmod(0o777)
    link = open_directory / "link.sh"
    link.symlink_to(script)
    assert writable_by_others(str(link)) == (
        f"{open_directory} can be written by others than root (enable_script_security)"
    )


@needs_root
def test_a_link_in_a_directory_where_everybody_may_make_one_has_to_be_root_s(tmp_path: Path, script: Path) -> None:
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    link = sticky / "link.sh"
    link.symlink_to(script)
    assert writable_by_others(str(link)) is None
    os.lchown(link, 65534, 65534)
    assert writable_by_others(str(link)) == (f"{link} is a symbolic link of others than root (enable_script_security)")


def test_scripts_run_as_keepalived_s_user_where_it_exists(
    tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vrrpd.config.keepalived.DEFAULT_SCRIPT_USER", "daemon")
    path = tmp_path / "keepalived.conf"
    path.write_text(f"vrrp_script web {{\nscript {script}\n}}\n" + instance(""))
    configuration, _ = load(str(path))
    assert configuration.settings.script_user == "daemon"
    assert configuration.checks[0].probe == Command((str(script),), "daemon")


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    link = tmp_path / "a"
    link.symlink_to("a")
    found = writable_by_others(str(link))
    assert found is not None
    # Who is not root may be told first that the directory is his own.
    assert found.endswith("leads through more than 40 symbolic links") or os.geteuid() != 0
