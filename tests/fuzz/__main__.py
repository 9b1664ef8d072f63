"""``python -m tests.fuzz``: every target for a while, coverage-guided where atheris is installed.

``--seconds N`` for each target (default 30), ``--seed N`` (default: drawn and printed), ``--engine mutation`` without
atheris also where it is there, ``--replay FILE`` gives one input to one target. What a target could not bear is kept in
.cache/fuzz, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

FINDINGS = Path(".cache/fuzz")
INSTALL = "pip install '.[fuzz]'"


def main() -> int:
    """Runs what was asked for."""
    options = _options()
    if options.atheris:
        return _atheris(options.targets[0], options.seconds, options.seed)
    from tests.fuzz.targets import TARGETS

    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        print(f"fuzz: no target {', '.join(unknown)}, expected some of: {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    names = options.targets or list(TARGETS)
    if options.replay:
        understood = TARGETS[names[0]].run(Path(options.replay).read_bytes())
        print(f"{names[0]}: nothing wrong, {'understood' if understood else 'refused'}")
        return 0
    guided = options.engine != "mutation" and importlib.util.find_spec("atheris") is not None
    if options.engine == "atheris" and not guided:
        print(f"fuzz: atheris is not installed ({INSTALL}; not for every Python)", file=sys.stderr)
        return 2
    if not guided:
        why = "as asked for" if options.engine == "mutation" else f"atheris is not installed ({INSTALL})"
        print(f"fuzz: by plain mutation, not guided by coverage: {why}")
    print(f"fuzz: seed {options.seed}, {options.seconds:g} s for each of {len(names)} targets")
    return max(
        _in_a_process(name, options.seconds, options.seed) if guided else _mutate(name, options.seconds, options.seed)
        for name in names
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 31))
    parser.add_argument("--engine", choices=("auto", "atheris", "mutation"), default="auto")
    parser.add_argument("--replay", metavar="FILE")
    parser.add_argument("--atheris", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _mutate(name: str, seconds: float, seed: int) -> int:
    from tests.fuzz.corpus import SEEDS, WORDS
    from tests.fuzz.engine import fuzz, shrunk
    from tests.fuzz.targets import TARGETS

    run = TARGETS[name].run
    outcome = fuzz(run, SEEDS[name], WORDS[name], seed=seed, seconds=seconds)
    rate = outcome.inputs / max(outcome.seconds, 1e-9)
    print(f"{name}: {outcome.inputs} inputs, {outcome.understood} understood, {rate:.0f} a second", flush=True)
    if outcome.finding is None:
        return 0
    data = shrunk(run, outcome.finding.data)
    FINDINGS.mkdir(parents=True, exist_ok=True)
    file = FINDINGS / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    file.write_bytes(data)
    print(f"{outcome.finding.what}\n{name}: again with: python -m tests.fuzz {name} --replay {file}")
    return 1


def _in_a_process(name: str, seconds: float, seed: int) -> int:
    """Runs libFuzzer, which ends its process, in one of its own."""
    command = [sys.executable, "-m", "tests.fuzz", name, "--atheris", f"--seconds={seconds}", f"--seed={seed}"]
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    # It ends without a clean-up of its own.
    with tempfile.TemporaryDirectory(prefix="vrrpd-fuzz-", dir=place) as directory:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds + 120,
            env={**os.environ, "TMPDIR": directory},
        )
    lines = done.stderr.splitlines()
    last = next((line for line in reversed(lines) if "cov:" in line), "no coverage was measured")
    print(f"{name}: {last}", flush=True)
    if done.returncode != 0:
        print("\n".join(line for line in (done.stdout + done.stderr).splitlines()[-60:]))
        return 1
    return 0


def _atheris(name: str, seconds: float, seed: int) -> int:
    import atheris

    with atheris.instrument_imports(include=["vrrpd"]):
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.corpus import SEEDS, WORDS

    FINDINGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        corpus = Path(directory, "corpus")
        corpus.mkdir()
        for number, content in enumerate(SEEDS[name]):
            (corpus / str(number)).write_bytes(content)
        words = Path(directory, "words")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS[name]))
        run = TARGETS[name].run

        def one(data: bytes) -> None:
            run(data)

        arguments = [
            sys.argv[0],
            f"-max_total_time={max(1, int(seconds))}",
            f"-seed={seed}",
            "-timeout=20",
            "-max_len=8192",
            f"-dict={words}",
            f"-artifact_prefix={FINDINGS}{os.sep}{name}-",
            str(corpus),
        ]
        atheris.Setup(arguments, one)
        atheris.Fuzz()
    return 0


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
