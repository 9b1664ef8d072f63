"""The ledger of requirements: docs/requirements.json and the markers of the tests, as docs/rfc9568.md.

``@pytest.mark.requirement("RX-3")`` stands on a test that sees the rule kept where it applies,
``@pytest.mark.counter_case("RX-3")`` on one that sees what becomes of the opposite: what breaks the rule is refused,
or what the rule does not cover does not happen. A test that sees both has both.

``python -m tests.ledger`` writes the page; a test fails when it is stale. The tests are read by ast and never run, so
that those which need root or a package count as well. An entry's ``counter`` names its counter-case, where it has one.
Its ``open`` says why a test is missing; it is shown while one is, and has to go when none is. Its ``note`` is always
shown.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "docs" / "requirements.json"
PAGE = ROOT / "docs" / "rfc9568.md"
LEVELS = ("MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "POLICY")
BINDING = ("MUST", "MUST NOT")
WRITE_IT = "python -m tests.ledger"

HEAD = """\
# What the RFCs ask for, and which test proves it

Written by `{write_it}` from `requirements.json` and the markers of the tests; do not edit it.

RFC 9568 is VRRPv3, RFC 3768 and 2338 are version 2. They say Active where vrrpd says MASTER, Initialize for INIT;
FAULT is keepalived's. POLICY marks what no RFC asks for: interoperability, safety, keepalived's manners.

A *counter-case* is what breaks the rule and has to be refused, or what the rule does not cover and must not happen.
Of a rule about received packets: one that keeps it is taken, one that breaks it is discarded. Its tests are listed
after those that see the rule kept; a test that sees both stands in both lists. A rule without a counter-case is a
layout, a formula or a ban without exceptions, or its opposite is another rule: HDR-5 says how packets are sent, RX-3
what becomes of those that were sent otherwise.

Where a test is missing, the reason is given.

| | requirements | with a test | without | counter-cases | with a test | without |
|---|---|---|---|---|---|---|
{counts}
"""


class Kind(Enum):
    """What a marker says about its test."""

    KEPT = "requirement"
    """The rule is kept where it applies."""
    COUNTER = "counter_case"
    """What breaks the rule is refused, or what it does not cover does not happen."""


ABSENT = {Kind.KEPT: "no test", Kind.COUNTER: "no test of the counter-case"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One rule, in a few words of our own."""

    id: str
    level: str
    source: str
    """Document and section; empty for a policy of our own."""
    rule: str
    counter: str = ""
    """What breaks the rule, or what it does not cover; empty where there is no such thing."""
    open: str = ""
    """Why a test is missing, or what is not done."""
    note: str = ""
    """What to know about it, proved or not."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One test that carries a requirement's id."""

    path: str
    test: str


@dataclass(slots=True)
class Proofs:
    """The tests of one requirement."""

    kept: list[Proof] = field(default_factory=list)
    counter: list[Proof] = field(default_factory=list)

    def of(self, kind: Kind) -> list[Proof]:
        """Those that carry one kind of marker."""
        return self.kept if kind is Kind.KEPT else self.counter


class LedgerError(Exception):
    """A marker that cannot be read, or one that names no requirement or a counter-case that is none."""


def read_requirements(text: str) -> tuple[dict[str, str], list[Requirement]]:
    """The headings by the prefix of an id, and all requirements in order."""
    document = json.loads(text)
    return document["groups"], [Requirement(**entry) for entry in document["requirements"]]


def markers(node: ast.AST) -> Iterator[tuple[Kind, str]]:
    """The ids of every ``pytest.mark.requirement(...)`` and ``counter_case(...)`` within a piece of source."""
    kinds = {kind.value: kind for kind in Kind}
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in kinds:
            for argument in call.args:
                if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                    raise LedgerError(f"line {argument.lineno}: a requirement is not written out as a string")
                yield kinds[call.func.attr], argument.value


def proofs_of(source: str, path: str) -> Iterator[tuple[str, Kind, Proof]]:
    """Each id that a test file names, with the test that names it; a class or ``pytestmark`` speaks for all in it."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                for decorator in node.decorator_list:
                    yield from ((found, kind, Proof(path, node.name)) for kind, found in markers(decorator))
            case ast.Assign(targets=[ast.Name(id="pytestmark")]):
                yield from ((found, kind, Proof(path, "the whole file")) for kind, found in markers(node.value))


def collect(folder: Path) -> dict[str, Proofs]:
    """All proofs in a folder of tests, by requirement."""
    found: dict[str, Proofs] = {}
    for path in sorted(folder.rglob("test_*.py")):
        name = path.relative_to(folder.parent).as_posix()
        try:
            for requirement, kind, proof in proofs_of(path.read_text(), name):
                proofs = found.setdefault(requirement, Proofs()).of(kind)
                if proof not in proofs:
                    proofs.append(proof)
        except LedgerError as error:
            raise LedgerError(f"{name}: {error}") from error
    return found


def missing(requirement: Requirement, proofs: Proofs) -> list[Kind]:
    """The kinds of tests that a requirement asks for and does not have."""
    kinds = [Kind.KEPT, Kind.COUNTER] if requirement.counter else [Kind.KEPT]
    return [kind for kind in kinds if not proofs.of(kind)]


def faults(requirements: list[Requirement], proofs: Mapping[str, Proofs]) -> list[str]:
    """What is wrong with the ledger, a line each: a test is missing and no reason is given, or one that nothing needs.

    Raises ``LedgerError`` for a proof of something that is no requirement, or of a counter-case that none names.
    """
    known = {requirement.id: requirement for requirement in requirements}
    for found, its_proofs in sorted(proofs.items()):
        if found not in known:
            path = [*its_proofs.kept, *its_proofs.counter][0].path
            raise LedgerError(f"{path}: {found} is not in docs/requirements.json")
        if its_proofs.counter and not known[found].counter:
            path = its_proofs.counter[0].path
            raise LedgerError(f'{path}: {found} has no "counter" in docs/requirements.json')
    wrong = []
    for requirement in requirements:
        lacking = missing(requirement, proofs.get(requirement.id, Proofs()))
        if requirement.open and not lacking:
            wrong.append(f'{requirement.id}: has all its tests, so the reason in "open" has to go')
        if not requirement.open:
            wrong += [
                f'{requirement.id} ({requirement.level}): {ABSENT[kind]}, and no reason in "open"' for kind in lacking
            ]
    return wrong


def counts(requirements: list[Requirement], proofs: Mapping[str, Proofs]) -> Iterator[str]:
    """The rows of the table at the head: the rules that bind, the others, and all."""
    binding = [requirement for requirement in requirements if requirement.level in BINDING]
    others = [requirement for requirement in requirements if requirement.level not in BINDING]
    for name, rows in (("MUST, MUST NOT", binding), ("the others", others), ("all", requirements)):
        lacking = {row.id: missing(row, proofs.get(row.id, Proofs())) for row in rows}
        named = sum(bool(row.counter) for row in rows)
        unproved, unshown = (sum(kind in kinds for kinds in lacking.values()) for kind in Kind)
        cells = (len(rows), len(rows) - unproved, unproved, named, named - unshown, unshown)
        yield f"| {name} | {' | '.join(map(str, cells))} |"


def render(groups: Mapping[str, str], requirements: list[Requirement], proofs: Mapping[str, Proofs]) -> str:
    """The page."""
    lines = [HEAD.format(write_it=WRITE_IT, counts="\n".join(counts(requirements, proofs)))]
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
        its_proofs = proofs.get(requirement.id, Proofs())
        lacking = missing(requirement, its_proofs)
        lines += ["", *listed(its_proofs.kept)]
        if Kind.KEPT in lacking:
            lines.append(f"- {ABSENT[Kind.KEPT]}: {requirement.open}")
        if requirement.counter:
            lines += ["", f"Counter-case: {requirement.counter}.", "", *listed(its_proofs.counter)]
        if Kind.COUNTER in lacking:
            lines.append(f"- {ABSENT[Kind.COUNTER]}: {requirement.open}")
        lines.append("")
    return "\n".join(lines)


def listed(proofs: list[Proof]) -> Iterator[str]:
    """A line for each test."""
    return (f"- `{proof.path}` {proof.test}" for proof in proofs)


def main() -> None:
    """Writes the page, and says what is wrong with the ledger."""
    groups, requirements = read_requirements(REQUIREMENTS.read_text())
    proofs = collect(ROOT / "tests")
    for fault in faults(requirements, proofs):
        print(fault, file=sys.stderr)
    PAGE.write_text(render(groups, requirements, proofs))


if __name__ == "__main__":
    main()
