"""The example in docs/lab.md does what the text says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import vrrpd

pytestmark = pytest.mark.netns

SOURCE = Path(vrrpd.__file__).parent.parent


def test_the_example_of_the_document_runs(privileges: None, environment: dict[str, str]) -> None:
    text = (SOURCE / "docs" / "lab.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"r2 took over \d+\.\d ms after r1's last advertisement\n", done.stdout), done.stdout
    assert "192.0.2.100" in done.stdout
