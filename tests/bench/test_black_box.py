"""The benchmark sees the daemons from outside only: it imports the lab, and nothing of vrrpd."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_layering import ROOT, imports, module_name, within

FROM_INSIDE = {"test_micro.py": "measures parts", "timeline.py": "is the daemon, with a stop watch"}
FILES = sorted(path for path in (ROOT / "bench").rglob("*.py") if path.name not in FROM_INSIDE)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_module_imports_nothing_of_the_daemon(path: Path) -> None:
    found = imports(path.read_text(), module_name(path), is_package=path.name == "__init__.py")
    assert not [name for name in found if within(name, "vrrpd") and not within(name, "vrrpd.lab")]


def test_the_benchmark_is_there_to_be_read() -> None:
    assert {"bench.wire", "bench.stage", "bench.soak.measure"} <= {module_name(path) for path in FILES}
