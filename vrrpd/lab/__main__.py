"""``python -m vrrpd.lab`` says whether this machine allows a lab: exit code 0, or 77 with the reason."""

from __future__ import annotations

import sys

from vrrpd.lab.errors import EXIT_UNAVAILABLE, LabUnavailable
from vrrpd.lab.privileges import ensure_privileges


def main() -> int:
    """Say whether a lab can be built here; the exit code too."""
    try:
        ensure_privileges()
    except LabUnavailable as problem:
        print(problem, file=sys.stderr)
        return EXIT_UNAVAILABLE
    print("a lab can be built here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
