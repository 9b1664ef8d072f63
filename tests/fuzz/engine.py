"""A fuzzer that needs nothing but Python: mutations of good inputs, seeded, so that a run can be repeated.

It knows nothing of coverage; it keeps inputs that the target understood in a way that no input before did (by the size
class and the outcome), which is enough to go deeper than one mutation. The coverage-guided way is ``__main__``'s.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 1 << 16
"""Bytes of an input."""
SLOW: Final = 5.0
"""Seconds that one input may take, on a machine that is busy with other things."""
KEPT: Final = 200


@dataclass(frozen=True)
class Finding:
    """An input that a target could not bear."""

    data: bytes
    what: str


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    inputs: int
    understood: int
    seconds: float
    finding: Finding | None


def mutated(data: bytes, pool: Sequence[bytes], words: Sequence[bytes], chance: random.Random) -> bytes:
    """One to six changes of an input."""
    content = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(content))
        match chance.randrange(9):
            case 0 if content:
                content[at % len(content)] ^= 1 << chance.randrange(8)
            case 1 if content:
                content[at % len(content)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 2:
                del content[at : at + chance.randint(1, 16)]
            case 3:
                content[at:at] = chance.randbytes(chance.randint(1, 16))
            case 4:
                content[at:at] = chance.choice(words)
            case 5:
                word = chance.choice(words)
                content[at : at + len(word)] = word
            case 6:
                piece = bytes(content[at : at + chance.randint(1, 64)])
                content[at:at] = piece * chance.choice((1, 1, 2, 50))
            case 7:
                other = chance.choice(pool)
                cut = chance.randint(0, len(other))
                content[at:] = other[cut:]
            case _:
                content = content[:at]
    return bytes(content[:LONGEST])


def attempt(run: Callable[[bytes], bool], data: bytes) -> tuple[bool, Finding | None]:
    """Gives a target one input."""
    begun = time.monotonic()
    try:
        understood = run(data)
    except Exception:
        return False, Finding(data, traceback.format_exc())
    took = time.monotonic() - begun
    return understood, Finding(data, f"took {took:.1f} s, expected at most {SLOW:g}") if took > SLOW else None


def fuzz(
    run: Callable[[bytes], bool],
    seeds: Sequence[bytes],
    words: Sequence[bytes],
    *,
    seed: int,
    inputs: int | None = None,
    seconds: float | None = None,
) -> Outcome:
    """Tries the seeds and then mutations of them, so many or for so long, until something is found."""
    chance = random.Random(seed)
    pool = list(seeds)
    seen: set[tuple[bool, int]] = set()
    begun = time.monotonic()
    count = understood = 0
    while (inputs is None or count < inputs) and (seconds is None or time.monotonic() - begun < seconds):
        data = seeds[count] if count < len(seeds) else mutated(chance.choice(pool), pool, words, chance)
        count += 1
        fits, finding = attempt(run, data)
        understood += fits
        if finding is not None:
            return Outcome(count, understood, time.monotonic() - begun, finding)
        kind = (fits, len(data).bit_length())
        if fits and (kind not in seen or chance.random() < 0.02):
            seen.add(kind)
            if len(pool) >= len(seeds) + KEPT:
                pool[chance.randrange(len(seeds), len(pool))] = data
            else:
                pool.append(data)
    return Outcome(count, understood, time.monotonic() - begun, None)


def shrunk(run: Callable[[bytes], bool], data: bytes, tries: int = 2000) -> bytes:
    """A shorter input with which the target fails, too."""
    size = max(1, len(data) // 2)
    while size and tries > 0:
        at = 0
        while at < len(data) and tries > 0:
            shorter = data[:at] + data[at + size :]
            tries -= 1
            if attempt(run, shorter)[1] is not None:
                data = shorter
            else:
                at += size
        size //= 2
    return data
