"""The ledger of requirements: docs/requirements.json and the ``requirement`` markers of the tests, as docs/rfc9568.md.

``python -m tests.ledger`` writes the page; a test fails when it is stale. The tests are read by ast and never run, so
that those which need root or a package count as well. An entry's ``open`` says why no test proves it; it is shown
while there is none. An entry's ``note`` is always shown.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "docs" / "requirements.json"
PAGE = ROOT / "docs" / "rfc9568.md"
LEVELS = ("MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "POLICY")
WRITE_IT = "python -m tests.ledger"

HEAD = """\
# What the RFCs ask for, and which test proves it

Written by `{write_it}` from `requirements.json` and the `requirement` markers of the tests; do not edit it.

RFC 9568 is VRRPv3, RFC 3768 and 2338 are version 2. They say Active where vrrpd says MASTER, Initialize for INIT;
FAULT is keepalived's. POLICY marks what no RFC asks for: interoperability, safety, keepalived's manners.

{total} requirements: {proved} with tests, {unproved} without, each with its reason.
"""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One rule, in a few words of our own."""

    id: str
    level: str
    source: str
    """Document and section; empty for a policy of our own."""
    rule: str
    open: str = ""
    """Why no test proves it, or what is not done."""
    note: str = ""
    """What to know about it, proved or not."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One test that carries a requirement's id."""

    path: str
    test: str


class LedgerError(Exception):
    """A marker that cannot be read, or one that names no requirement."""


def read_requirements(text: str) -> tuple[dict[str, str], list[Requirement]]:
    """The headings by the prefix of an id, and all requirements in order."""
    document = json.loads(text)
    return document["groups"], [Requirement(**entry) for entry in document["requirements"]]


def markers(node: ast.AST) -> Iterator[str]:
    """The ids of every ``pytest.mark.requirement(...)`` within a piece of source."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "requirement":
            for argument in call.args:
                if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                    raise LedgerError(f"line {argument.lineno}: a requirement is not written out as a string")
                yield argument.value


def proofs_of(source: str, path: str) -> Iterator[tuple[str, Proof]]:
    """Each id that a test file names, with the test that names it; a class or ``pytestmark`` speaks for all in it."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                for decorator in node.decorator_list:
                    yield from ((found, Proof(path, node.name)) for found in markers(decorator))
            case ast.Assign(targets=[ast.Name(id="pytestmark")]):
                yield from ((found, Proof(path, "the whole file")) for found in markers(node.value))


def collect(folder: Path) -> dict[str, list[Proof]]:
    """All proofs in a folder of tests, by requirement."""
    found: dict[str, list[Proof]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        name = path.relative_to(folder.parent).as_posix()
        try:
            for requirement, proof in proofs_of(path.read_text(), name):
                proofs = found.setdefault(requirement, [])
                if proof not in proofs:
                    proofs.append(proof)
        except LedgerError as error:
            raise LedgerError(f"{name}: {error}") from error
    return found


def render(groups: Mapping[str, str], requirements: list[Requirement], proofs: Mapping[str, list[Proof]]) -> str:
    """The page. Raises ``LedgerError`` for a proof of something that is no requirement."""
    known = {requirement.id for requirement in requirements}
    for unknown in sorted(set(proofs) - known):
        raise LedgerError(f"{proofs[unknown][0].path}: {unknown} is not in docs/requirements.json")
    proved = sum(requirement.id in proofs for requirement in requirements)
    total = len(requirements)
    lines = [HEAD.format(write_it=WRITE_IT, total=total, proved=proved, unproved=total - proved)]
    heading = ""
    for requirement in requirements:
        group = groups[requirement.id.rpartition("-")[0]]
        if group != heading:
            lines.append(f"## {group}\n")
            heading = group
        where = f", {requirement.source}" if requirement.source else ""
        lines.append(f"**{requirement.id}** ({requirement.level}{where}) {requirement.rule}")
        if requirement.note:
            lines.append(f"*{requirement.note}*")
        if requirement.id in proofs:
            lines += ["", *(f"- `{proof.path}` {proof.test}" for proof in proofs[requirement.id])]
        else:
            lines += ["", f"- no test: {requirement.open}"]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Writes the page."""
    groups, requirements = read_requirements(REQUIREMENTS.read_text())
    PAGE.write_text(render(groups, requirements, collect(ROOT / "tests")))


if __name__ == "__main__":
    main()
