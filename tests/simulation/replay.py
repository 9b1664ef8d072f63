"""``python -m tests.simulation.replay FILE|SEED``: plays one scenario, prints its transcript, and says what is wrong.

With ``--write`` the transcript goes beside the scenario, where the golden tests look for it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.simulation.episodes import generate
from tests.simulation.play import Play
from tests.simulation.scenario import Scenario, ScenarioError, parse


def transcript(scenario: Scenario) -> tuple[list[str], str | None]:
    """What happened, and what was wrong."""
    run = Play(scenario)
    try:
        run.run()
    except AssertionError as error:
        return run.lan.trace, str(error)
    return run.lan.trace, None


def golden_file(scenario: Path) -> Path:
    """Where the transcript of a scenario file is kept."""
    return scenario.with_suffix(".transcript")


def golden_text(lines: list[str]) -> str:
    """A transcript as it is kept."""
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="replay", description="Plays scenarios and prints what happens.")
    parser.add_argument("what", nargs="+", help="scenario files, or the seeds of a hunt")
    parser.add_argument("--write", action="store_true", help="write the transcript beside each file, print nothing")
    parser.add_argument("--scenario", action="store_true", help="print the scenario first (for a seed)")
    options = parser.parse_args(arguments)
    status = 0
    for what in options.what:
        try:
            scenario = generate(int(what)) if what.isdigit() else parse(Path(what).read_text())
        except (ScenarioError, OSError) as error:
            print(f"{what}: {error}", file=sys.stderr)
            return 2
        lines, wrong = transcript(scenario)
        if options.scenario:
            print(scenario)
        if options.write and not what.isdigit():
            golden_file(Path(what)).write_text(golden_text(lines))
        else:
            print("\n".join(lines))
        print(f"{what}: {wrong or 'all invariants hold'}", file=sys.stderr)
        status = 1 if wrong else status
    return status


if __name__ == "__main__":
    sys.exit(main())
