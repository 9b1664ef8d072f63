"""Values of a configuration come near no shell: programs are run by exec, with a list of words.

Read from the source: a call that starts a shell is found wherever it stands. Two helpers are looked at by name: the one
constant shell line that there is, and the one ``-c`` of our own interpreter.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vrrpd
from vrrpd.net.firewall import LIST_MARKED

ROOT = Path(vrrpd.__file__).parent
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"}
OF_A_SHELL = {
    ("os", "system"),
    ("os", "popen"),
    ("subprocess", "getoutput"),
    ("subprocess", "getstatusoutput"),
    ("asyncio", "create_subprocess_shell"),
    ("pty", "spawn"),
}


def sources() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def dotted(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.Attribute):
        return (*dotted(node.value), node.attr)
    return (node.id,) if isinstance(node, ast.Name) else ()


def shells(source: str) -> list[str]:
    """Every place of a source that starts a shell, or could."""
    found = []
    for call in calls(ast.parse(source)):
        if dotted(call.func)[-2:] in OF_A_SHELL:
            found.append(f"{call.lineno}: {'.'.join(dotted(call.func))}")
        for keyword in call.keywords:
            if keyword.arg == "shell":
                found.append(f"{call.lineno}: shell=")
    for node in ast.walk(ast.parse(source)):
        words: list[ast.expr] = []
        if isinstance(node, ast.Call):
            words = node.args
        elif isinstance(node, ast.List | ast.Tuple):
            words = node.elts
        constants = [word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)]
        if constants and constants[0] in SHELLS and any(word.startswith("-") for word in constants[1:]):
            found.append(f"{node.lineno}: {' '.join(constants)}")  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize(
    "source",
    [
        "os.system(f'check {name}')",
        "subprocess.run(command, shell=True)",
        "subprocess.Popen(['sh', '-c', text])",
        "run('bash', '-c', text)",
        "Command(('/bin/sh', '-c', text))",
        "await asyncio.create_subprocess_shell(text)",
        "os.popen(text)",
    ],
)
def test_a_shell_would_be_found(source: str) -> None:
    assert len(shells(source)) == 1


def test_no_source_starts_a_shell_but_for_one_constant_line() -> None:
    found = {str(path.relative_to(ROOT)): shells(path.read_text()) for path in sources()}
    assert {name: places for name, places in found.items() if places}.keys() == {"net/firewall.py"}
    assert [place.split(": ")[1] for place in found["net/firewall.py"]] == ["sh -c sh"]


def test_the_one_shell_line_is_constant_and_gets_its_values_as_arguments() -> None:
    """It greps a node's rule set, which is more than we would like to read; tool and mark come in as $1 and $2."""
    assert LIST_MARKED == '"$1" -w 2 -S | grep -F -e "$2"'
    tree = ast.parse((ROOT / "net" / "firewall.py").read_text())
    (call,) = (call for call in calls(tree) if any(isinstance(a, ast.Constant) and a.value == "-c" for a in call.args))
    written = [ast.unparse(argument) for argument in call.args]
    assert written == ["'sh'", "'-c'", "LIST_MARKED", "'sh'", "tool", "mark"]


def test_programs_are_started_only_by_the_script_helper_and_the_lab() -> None:
    starting = {
        str(path.relative_to(ROOT))
        for path in sources()
        for call in calls(ast.parse(path.read_text()))
        if dotted(call.func)[:1] == ("subprocess",)
        or dotted(call.func)[-1:] == ("create_subprocess_exec",)
        or (
            dotted(call.func)[:1] == ("os",)
            and dotted(call.func)[-1].startswith(("exec", "spawn", "posix_spawn", "fork"))
        )
    }
    assert {name for name in starting if not name.startswith("lab/")} == {"scripts/helper.py", "scripts/runner.py"}
