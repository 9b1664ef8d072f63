"""Closing what takes long to close: the kernel waits until no processor looks at a packet socket any more, 10 to 30 ms.

Advertisements that are due in that time would be late by as much.
"""

from __future__ import annotations

import threading
from typing import Protocol


class Closable(Protocol):
    """Something that is open."""

    def close(self) -> None:
        """Closes it."""


def close_aside(closable: Closable) -> None:
    """Closes in a thread of its own what nobody uses any more; here, where there is no room for a thread."""
    try:
        threading.Thread(target=closable.close, name="closing", daemon=True).start()
    except RuntimeError:
        closable.close()
