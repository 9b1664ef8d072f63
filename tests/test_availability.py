"""The rule for what a machine may not have, which all tests that need more than Python share."""

from __future__ import annotations

import pytest

from tests.availability import unavailable


def test_a_machine_that_lacks_something_skips_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="no network namespaces"):
        unavailable("no network namespaces")


@pytest.mark.parametrize("value", ["true", "1", "True"])
def test_where_the_tests_count_it_fails_with_the_same_reason(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.fail.Exception, match=r"no network namespaces \(CI is set: these tests must run\)"):
        unavailable("no network namespaces")
