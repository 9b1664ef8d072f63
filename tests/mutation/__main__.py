"""``python -m tests.mutation``: puts each mutant into a copy of the tree and runs the tests that must kill it.

Every killer of a mutant is run for itself and has to fail: a mutant that only one of them notices is half alive. The
exit status is 1 if anything survives. With words as arguments only the mutants whose names contain one of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutation.mutants import MUTANTS, Mutant

ROOT: Final = Path(__file__).parents[2]
LIMIT: Final = 120
"""Seconds for one killer; a mutant that hangs is dead."""
NOTICED: Final = 1
"""pytest's exit status where a test has failed: anything else is no proof."""


def copy_tree(target: Path) -> None:
    """Copies what the core's tests need."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("vrrpd", "tests"):
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", target)


def mutated(mutant: Mutant, text: str) -> str:
    """The file with the change; raises ``ValueError`` where its place is not found once."""
    found = text.count(mutant.old)
    if found != 1:
        raise ValueError(f"{mutant.name}: the old text occurs {found} times in {mutant.file}, expected once")
    return text.replace(mutant.old, mutant.new)


def survivors(mutant: Mutant, tree: Path) -> list[str]:
    """The killers that do not notice."""
    path = tree / mutant.file
    text = path.read_text()
    path.write_text(mutated(mutant, text))
    try:
        return [killer for killer in mutant.killers if not _notices(killer, tree)]
    finally:
        path.write_text(text)


def _notices(killer: str, tree: Path) -> bool:
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not budget", killer]
    try:
        result = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return True
    return result.returncode == NOTICED


def main(words: Sequence[str]) -> int:
    """The command."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]
    alive = 0
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        tree = Path(directory)
        copy_tree(tree)
        for mutant in chosen:
            unnoticed = survivors(mutant, tree)
            alive += bool(unnoticed)
            what = f"SURVIVED {', '.join(unnoticed)}" if unnoticed else "killed  "
            print(f"{what} {Path(mutant.file).name:10} {mutant.name}", flush=True)
    killed = len(chosen) - alive
    print(f"{killed} of {len(chosen)} mutants killed in {time.monotonic() - begin:.0f} s")
    return 1 if alive or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
