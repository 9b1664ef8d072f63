"""Comments, continuation, include, conditions and parameters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vrrpd.config.keepalived import load
from vrrpd.config.model import ConfigurationError
from vrrpd.config.report import Report
from vrrpd.config.source import Source


def lines(text: str, config_id: str = "lb1", environment: dict[str, str] | None = None) -> list[str]:
    report = Report()
    source = Source(report, config_id, environment or {})
    found = [line.text for line in source.lines_of_text(text, "/etc/keepalived/keepalived.conf")]
    assert not report.diagnostics
    return found


def said(text: str, environment: dict[str, str] | None = None) -> list[str]:
    report = Report()
    list(Source(report, "lb1", environment or {}).lines_of_text(text, "k.conf"))
    return [str(diagnostic) for diagnostic in report.diagnostics]


def said_of_file(path: Path) -> list[str]:
    report = Report()
    list(Source(report, "lb1", {}).lines_of_file(str(path)))
    return [str(diagnostic).replace(str(path.parent) + "/", "") for diagnostic in report.diagnostics]


def test_comments_end_with_the_line() -> None:
    assert lines("a ! b\n# c\nd #e\n}# g\n\n  f  \r\n") == ["a", "d", "}", "f"]


def test_comment_characters_mean_nothing_in_double_quotes_or_behind_a_backslash() -> None:
    assert lines('auth_pass "a#b!c" # d\nauth_pass a\\#b\n') == ['auth_pass "a#b!c"', "auth_pass a\\#b"]


def test_a_backslash_continues_a_line_and_keeps_its_first_number() -> None:
    report = Report()
    found = list(Source(report, "", {}).lines_of_text("a \\\n b\nc", "k.conf"))
    assert [(line.text, line.place.line) for line in found] == [("a  b", 1), ("c", 3)]


def test_a_byte_order_mark_is_no_text() -> None:
    assert lines("\ufeffa") == ["a"]


def test_conditions_keep_or_drop_a_line() -> None:
    assert lines("@lb1 a\n@lb2 b\n@^lb1 c\n@^lb2 d\n  @lb1\te") == ["a", "d", "e"]


def test_parameters_are_replaced_by_their_value_at_that_time() -> None:
    text = "$BASE=10.2.${SUB}\n$SUB=0\n${BASE}.100/32\n$SUB=10\n${BASE}.100/32\nx $SUB y"
    assert lines(text) == ["10.2.0.100/32", "10.2.10.100/32", "x 10 y"]


def test_conditions_choose_definitions_and_can_stand_in_them() -> None:
    assert lines("@lb1 $P=240\n@lb2 $P=200\npriority $P\n$IF=@lb2\n$IF nothing\n$IF=@lb1\n$IF something") == [
        "priority 240",
        "something",
    ]


def test_a_parameter_of_several_lines_gives_several_lines() -> None:
    definition = "$INSTANCE= \\\nvrrp_instance VI_${N} { \\\n@lb2 no \\\n  priority 1${N} \\\n}\n"
    text = definition + "$N=1\n$INSTANCE\n$N=2\n$INSTANCE"
    assert lines(text) == ["vrrp_instance VI_1 {", "priority 11", "}", "vrrp_instance VI_2 {", "priority 12", "}"]


def test_definitions_within_a_parameter_take_effect_in_order() -> None:
    assert lines("$RS= \\\nreal ${N}\n$VS= \\\n$N=1 \\\n$RS \\\n$N=2 \\\n$RS\n$VS") == ["real 1", "real 2"]


def test_predefined_parameters() -> None:
    assert lines("${_PWD} ${_INSTANCE} ${_HASH}${_BANG} ${_ENV PASS}", environment={"PASS": "$X y"}) == [
        "/etc/keepalived lb1 #! $X y"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~SEQ(N, 1, 3) a", "k.conf:1: ~SEQ is not supported, expected the lines it stands for, written out"),
        ("~SEQx(N, 1) a", "k.conf:1: ~SEQx is not supported, expected the lines it stands for, written out"),
        ("~LST(N, 1) a", "k.conf:1: ~LST is not supported, expected the lines it stands for, written out"),
        ("priority ${_RANDOM 1 5}", "k.conf:1: ${_RANDOM} is not supported, expected a fixed value"),
        ("a ${_ENV NONE}", "k.conf:1: environment variable NONE is not set, expected a value"),
        ("a ${X}", "k.conf:1: ${X} is not defined, expected a line $X=VALUE before it"),
        ("a $X", "k.conf:1: warning: $X is not defined and stays as it is"),
        ('a "${X}"', "k.conf:1: warning: ${X} is not defined and stays as it is"),
        ("$_PWD=x", "k.conf:1: $_PWD is predefined, expected another name"),
        ("auth_pass p#ss", "k.conf:1: warning: # begins a comment in the middle of a word, expected a blank or quotes"),
        ("a\0b", "k.conf:1: the line holds a NUL byte, expected text"),
        ("include /nonexistent/x", "k.conf:1: warning: include of /nonexistent/x matches no file"),
        ("includem /nonexistent/*", "k.conf:1: includem of /nonexistent/* matches no file"),
        ("include", "k.conf:1: include has 0 values, expected the name of one file or pattern"),
        ("include {a,b}", "k.conf:1: include has 3 values, expected the name of one file or pattern"),
        ("include x{a,b}y", "k.conf:1: include of x{a,b}y: braces are not supported, expected one line for each"),
        (
            "include /*/*/*/*.conf",
            "k.conf:1: include of /*/*/*/*.conf, expected wildcards in at most 3 path components",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, expected: str) -> None:
    assert said(text) == [expected]


def test_a_dollar_in_quotes_is_left_alone_without_a_word() -> None:
    assert lines('script "awk $HOME $1"') == ['script "awk $HOME $1"']


def test_a_parameter_made_of_itself_ends() -> None:
    assert said("$A=$A\n$A") == [
        "k.conf:2: ${A} makes the configuration too large, or contains itself: reading stopped here"
    ]
    assert said("$A= \\\n$A \\\n$A\n$A") == ["k.conf:4: parameters are nested more than 16 deep: reading stopped here"]


def test_a_parameter_that_doubles_itself_ends() -> None:
    text = "".join(f"$A{n}=${{A{n + 1}}}${{A{n + 1}}}\n" for n in range(40)) + "$A40=x\n$A0\n"
    assert said(text)[0].endswith("makes the configuration too large, or contains itself: reading stopped here")


def test_includes_are_relative_to_their_file_and_sorted(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "main.conf").write_text("a\ninclude conf.d/*.conf\nz\n")
    (tmp_path / "conf.d" / "2.conf").write_text("two\n")
    (tmp_path / "conf.d" / "1.conf").write_text("one\ninclude inner\n")
    (tmp_path / "conf.d" / "inner").write_text("inner\n")
    report = Report()
    found = list(Source(report, "", {}).lines_of_file(str(tmp_path / "main.conf")))
    assert [line.text for line in found] == ["a", "one", "inner", "two", "z"]
    assert found[2].place.file == str(tmp_path / "conf.d" / "inner")
    assert found[2].place.line == 1


def test_an_include_that_goes_in_a_circle_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("include b.conf\n")
    (tmp_path / "b.conf").write_text("\ninclude a.conf\n")
    [message] = said_of_file(tmp_path / "a.conf")
    assert message == "b.conf:2: include of a.conf goes in a circle, expected a file not yet being read"


def test_the_depth_of_includes_is_bounded(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}").write_text(f"include {number + 1}\n")
    assert said_of_file(tmp_path / "0") == ["15:1: include is nested more than 16 files deep"]


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "main.conf").write_text("include dir\n")
    (tmp_path / "dir").mkdir()
    assert said_of_file(tmp_path / "main.conf") == ["main.conf:1: dir: not a regular file, expected a text file"]
    assert said_of_file(tmp_path / "none.conf") == ["none.conf: cannot be read: No such file or directory"]


def test_a_device_without_end_is_refused() -> None:
    assert said_of_file(Path("/dev/zero")) == ["zero: not a regular file, expected a text file"]


def test_a_file_can_come_through_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"vrrp_instance a { interface e\n virtual_router_id 1\n virtual_ipaddress { 192.0.2.1 } }")
    os.close(writer)
    try:
        configuration, _ = load(f"/dev/fd/{reader}")
    finally:
        os.close(reader)
    assert configuration.routers[0].name == "a"


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big.conf").write_text("# x\n" * 300_000)
    assert said_of_file(tmp_path / "big.conf") == [
        "big.conf: the configuration is larger than 1048576 bytes: reading stopped here"
    ]


def test_bytes_that_are_no_utf8_are_allowed_in_comments_only(tmp_path: Path) -> None:
    path = tmp_path / "latin1.conf"
    path.write_bytes(b"a # caf\xe9\nb\xe9\n")
    assert said_of_file(path) == [
        "latin1.conf:2: 'b\\udce9' is not UTF-8, expected UTF-8 text outside of comments",
    ]


def test_the_pattern_of_an_include_is_bound_to_a_thousand_files(tmp_path: Path) -> None:
    (tmp_path / "main.conf").write_text("include d/*\n")
    (tmp_path / "d").mkdir()
    for number in range(1001):
        (tmp_path / "d" / str(number)).touch()
    assert said_of_file(tmp_path / "main.conf") == [
        "main.conf:1: more than 1000 files are included: reading stopped here"
    ]


def test_load_takes_the_host_name_for_conditions(tmp_path: Path) -> None:
    short = os.uname().nodename.partition(".")[0]
    path = tmp_path / "k.conf"
    path.write_text(f"@{short} nonsense\n@^{short} never\n")
    with pytest.raises(ConfigurationError) as caught:
        load(str(path))
    assert "unknown keyword nonsense" in str(caught.value)
    assert "never" not in str(caught.value)
