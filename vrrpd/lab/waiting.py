"""Waiting for a condition with a deadline, instead of sleeping for a guessed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

POLL_INTERVAL: Final = 0.005
"""Seconds between two looks at the condition."""


def wait_until(predicate: Callable[[], T | None], timeout: float = 5.0, what: str = "the condition") -> T:
    """Call ``predicate`` until it returns something true and return that.

    Raises TimeoutError, naming ``what``, when that has not happened after ``timeout`` seconds; the predicate is
    called at least twice, so that a machine that stood still for the whole time does not fail a condition that holds.
    """
    deadline = time.monotonic() + timeout
    while True:
        late = time.monotonic() >= deadline
        if result := predicate():
            return result
        if late:
            raise TimeoutError(f"waited {timeout:g} s for {what}, in vain")
        time.sleep(POLL_INTERVAL)
