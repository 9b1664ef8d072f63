"""The ways in which a lab disappoints: this machine does not allow one, or something asked of it went wrong."""

from __future__ import annotations

from typing import Final

EXIT_UNAVAILABLE: Final = 77
"""Exit code of lab programs where the machine allows no namespaces: "skipped", as automake has it."""


class LabError(Exception):
    """Something asked of the lab did not work; the text says where, what was seen and what was expected."""


class LabUnavailable(LabError):
    """This process may not make network namespaces; the text says what is missing."""


class NotSupported(LabError):
    """This kernel does not have what was asked of the lab; the text says what."""
