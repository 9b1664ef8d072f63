"""The rows of the matrix, in the order of docs/faults.md: importing this package fills ``registry.ROWS``."""

from tests.faults.rows import process, wires, addresses, clock, floods, scripts, resources  # noqa: I001

__all__ = ["addresses", "clock", "floods", "process", "resources", "scripts", "wires"]
