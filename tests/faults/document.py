"""The part of docs/faults.md that is made of the list of rows and of measured figures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.daemons import ROOT
from tests.faults.registry import ROWS, Role, Row
from tests.faults.stage import VRRPD, Result

PAGE: Final = ROOT / "docs" / "faults.md"
BEGIN: Final = "<!-- from here on written by `make faults` -->"
END: Final = "<!-- until here -->"

UNMET_SHOWN: Final = 2
"""Conditions that did not hold which a note tells; what follows from the first says little."""


@dataclass(frozen=True, slots=True)
class Report:
    """The results of a whole run, and of what machine they are."""

    results: tuple[Result, ...]
    programs: dict[str, str]
    """Name and version, ours first."""
    machine: dict[str, Any]
    day: str
    rounds: int

    def of(self, row: str, role: Role, program: str) -> list[Result]:
        """All plays of one case."""
        return [result for result in self.results if (result.row, result.role, result.program) == (row, role, program)]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "day": self.day,
            "rounds": self.rounds,
            "programs": self.programs,
            "machine": self.machine,
            "results": [{**asdict(result), "role": result.role.value} for result in self.results],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Report:
        """The inverse of ``to_json``; plays of rows that are not run with their daemon (any more) are left out."""
        results = (
            Result(**{**entry, "role": Role(entry["role"]), "unmet": tuple(entry["unmet"])})
            for entry in document["results"]
        )
        kept = (
            result
            for result in results
            if result.row in ROWS and (result.program == VRRPD or ROWS[result.row].only_vrrpd is None)
        )
        return cls(tuple(kept), document["programs"], document["machine"], document["day"], document["rounds"])


def outage(results: Sequence[Result]) -> str:
    """The median of the longest silences, in words; nothing where there are no results."""
    measured = [result.outage_ms for result in results if result.outage_ms is not None]
    if not results:
        return ""
    if len(measured) <= len(results) // 2:
        return "not over"
    median = statistics.median(measured)
    return "none" if median == 0 else f"{median:.0f} ms"


def unmet(results: Iterable[Result]) -> list[str]:
    """What did not hold in any of the plays, each once."""
    return list(dict.fromkeys(what for result in results for what in result.unmet))


def table(report: Report) -> list[str]:
    """The table, and a note for everything in it that is not as it must be."""
    programs = list(report.programs)
    head = ["Fault", *(f"{role.value}: {program}" for role in Role for program in programs)]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    notes: list[str] = []
    for row in ROWS.values():
        cells = [row.title]
        for role in Role:
            for program in programs:
                results = report.of(row.key, role, program)
                cell = outage(results) or ("not run" if row.only_vrrpd else "-")
                if failed := unmet(results):
                    count = sum(bool(result.unmet) for result in results)
                    what = "; ".join(failed[:UNMET_SHOWN])
                    notes.append(f"{row.title}, {role.value}, {program}, {count} of {len(results)}: {what}")
                    cell += f" ({len(notes)})"
                cells.append(cell)
        lines.append("| " + " | ".join(cells) + " |")
    if notes:
        lines += ["", "What did not hold:", "", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]
    return lines


def head(report: Report) -> list[str]:
    """Where the figures come from."""
    machine = report.machine
    versions = ", ".join(report.programs.values())
    load = machine["load_at_start"]
    busy = f" The machine was not quiet: load {load:.1f} at the start." if load > 1 else ""
    return [
        f"Measured {report.day} with {versions}; Linux {machine['kernel'].split('-')[0]}, {machine['cores']} cores "
        f"({machine['cpu']}). Median of {report.rounds}.{busy}"
    ]


def explanation(row: Row) -> list[str]:
    """What one row does and proves."""
    if row.master == row.backup or row.backup.rstrip(".") in ("The same", row.master.rstrip(".")):
        must = f"*Both:* {row.master}"
    else:
        must = f"*MASTER:* {row.master} *BACKUP:* {row.backup}"
    other = f" Not run with another daemon: {row.only_vrrpd}." if row.only_vrrpd else ""
    return [f"**{row.title}** (`{row.key}`). {row.done} {must}{other}", ""]


def generated(report: Report) -> str:
    """Everything between the two marks of the page."""
    lines = [*head(report), "", *table(report), "", "## What each row does, and what must happen", ""]
    for row in ROWS.values():
        lines += explanation(row)
    return "\n".join(lines).strip()


def written(page: str, report: Report) -> str:
    """The page with the generated part replaced; raises ValueError where its marks are not found."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE.name} has no marks {BEGIN!r} and {END!r} around what is written by this program")
    return f"{before}{BEGIN}\n\n{generated(report)}\n\n{END}{after}"


def write_page(report: Report, page: Path = PAGE) -> None:
    """Put the figures into the page."""
    page.write_text(written(page.read_text(encoding="utf-8"), report), encoding="utf-8")
