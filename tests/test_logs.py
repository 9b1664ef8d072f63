"""How often the log says the same, and how often whoever sends packets can make it say something new."""

from __future__ import annotations

from vrrpd.logs import RepeatLimiter


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_of_equal_messages_passes_and_then_one_a_minute_with_a_count() -> None:
    clock = Clock()
    limiter = RepeatLimiter(clock)
    assert limiter.allow("a") == 0
    assert [limiter.allow("a") for _ in range(5)] == [None] * 5
    assert limiter.allow("b") == 0
    clock.now += 60.0
    assert limiter.allow("a") == 5
    clock.now += 60.0
    assert limiter.allow("a") == 0


def test_messages_that_are_all_different_pass_200_times_a_minute_and_are_counted() -> None:
    clock = Clock()
    limiter = RepeatLimiter(clock)
    answers = [limiter.allow(number) for number in range(10_000)]
    assert answers == [0] * 200 + [None] * 9_800
    clock.now += 60.0
    assert limiter.allow("new") == 9_800
    assert limiter.allow("newer") == 0


def test_what_is_remembered_is_bounded() -> None:
    limiter = RepeatLimiter(Clock(), maximum_keys=4, maximum_lines=1_000)
    for number in range(100):
        assert limiter.allow(number) == 0
    assert limiter.allow(99) is None
    assert limiter.allow(0) == 0, "forgotten, and new again"
