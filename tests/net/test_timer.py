"""The kernel timer against the real kernel, the deadline queue against a naive model."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrrpd.net import timer as timer_module
from vrrpd.net.timer import DeadlineQueue, KernelTimer


def readable(timer: KernelTimer, seconds: float) -> bool:
    return bool(select.select([timer], [], [], seconds)[0])


@pytest.fixture(params=["libc", "default"])
def timer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelTimer]:
    if request.param == "libc":
        monkeypatch.setattr(timer_module, "_open", timer_module._open_with_libc)
    timer = KernelTimer()
    yield timer
    timer.close()


def test_a_timer_fires_once_its_deadline_has_come_and_not_before(timer: KernelTimer) -> None:
    deadline = time.monotonic() + 0.05
    timer.arm(deadline)
    assert readable(timer, 10)
    assert time.monotonic() >= deadline


def test_a_deadline_in_the_past_fires_at_once(timer: KernelTimer) -> None:
    timer.arm(time.monotonic() - 100)
    assert readable(timer, 10)


@pytest.mark.parametrize("deadline", [0.0, -5.0])
def test_a_deadline_of_zero_or_less_is_the_past_and_does_not_disarm(timer: KernelTimer, deadline: float) -> None:
    timer.arm(deadline)
    assert readable(timer, 10)


def test_a_timer_fires_only_once(timer: KernelTimer) -> None:
    timer.arm(time.monotonic())
    assert readable(timer, 10)
    timer.acknowledge()
    assert not readable(timer, 0)


def test_a_disarmed_timer_does_not_fire(timer: KernelTimer) -> None:
    timer.arm(time.monotonic() + 0.01)
    timer.arm(None)
    assert not readable(timer, 0.03)


def test_moving_a_deadline_earlier_and_later_takes_effect(timer: KernelTimer) -> None:
    timer.arm(time.monotonic() + 1000)
    timer.arm(time.monotonic() + 0.01)
    assert readable(timer, 10)
    timer.arm(time.monotonic() + 1000)
    assert not readable(timer, 0)


def test_the_same_deadline_can_be_armed_again_after_it_was_acknowledged(timer: KernelTimer) -> None:
    deadline = time.monotonic()
    timer.arm(deadline)
    assert readable(timer, 10)
    timer.acknowledge()
    timer.arm(deadline)
    assert readable(timer, 10)


def test_acknowledging_a_timer_that_was_moved_keeps_it_running(timer: KernelTimer) -> None:
    timer.arm(time.monotonic())
    assert readable(timer, 10)
    timer.arm(time.monotonic() + 0.01)
    timer.acknowledge()
    assert readable(timer, 10)


@pytest.mark.parametrize("deadline", [1e300, float("inf")])
def test_a_deadline_beyond_all_uptime_is_no_error(timer: KernelTimer, deadline: float) -> None:
    timer.arm(deadline)
    assert not readable(timer, 0)


def test_arming_for_the_time_already_armed_makes_no_system_call() -> None:
    timer = KernelTimer()
    deadline = time.monotonic() + 1000
    timer.arm(deadline)
    timer.close()
    timer.arm(deadline)
    with pytest.raises(OSError, match="Bad file descriptor"):
        timer.arm(deadline + 1)


def test_closing_twice_is_harmless(timer: KernelTimer) -> None:
    timer.close()
    timer.close()


def test_an_empty_queue_has_no_deadline() -> None:
    queue = DeadlineQueue[str]()
    assert queue.next_deadline is None
    assert queue.due(1e9) == []


def test_keys_come_due_in_the_order_of_their_deadlines() -> None:
    queue = DeadlineQueue[str]()
    queue.schedule("late", 3.0)
    queue.schedule("early", 1.0)
    queue.schedule("middle", 2.0)
    assert sorted(queue) == ["early", "late", "middle"]
    assert queue.due(2.5) == ["early", "middle"]
    assert list(queue) == ["late"]
    assert queue.next_deadline == 3.0


def test_a_key_moved_later_is_not_due_at_its_old_deadline() -> None:
    queue = DeadlineQueue[str]()
    queue.schedule("a", 1.0)
    queue.schedule("b", 2.0)
    queue.schedule("a", 5.0)
    assert queue.next_deadline == 2.0
    assert queue.due(4.0) == ["b"]
    assert queue.due(5.0) == ["a"]
    assert len(queue) == 0


def test_moving_a_key_later_leaves_the_heap_alone() -> None:
    queue = DeadlineQueue[str]()
    queue.schedule("a", 1.0)
    for moved in range(1000):
        queue.schedule("a", 1.0 + moved)
    assert len(queue._heap) == 1


def test_moving_a_key_earlier_again_and_again_does_not_grow_the_heap_without_bound() -> None:
    queue = DeadlineQueue[str]()
    for moved in range(10_000):
        queue.schedule("a", -float(moved))
    assert len(queue._heap) < 100
    assert queue.due(0.0) == ["a"]
    assert queue.next_deadline is None


TIMES = st.integers(0, 12).map(float)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("schedule"), st.integers(0, 5), st.one_of(st.none(), TIMES)),
        st.tuples(st.just("due"), st.just(0), TIMES),
        st.tuples(st.just("next"), st.just(0), st.none()),
    ),
    max_size=80,
)


@given(STEPS)
def test_the_queue_does_what_a_plain_dictionary_of_deadlines_does(
    steps: list[tuple[str, int, float | None]],
) -> None:
    queue = DeadlineQueue[int]()
    model: dict[int, float] = {}
    for step, key, moment in steps:
        if step == "schedule":
            queue.schedule(key, moment)
            if moment is None:
                model.pop(key, None)
            else:
                model[key] = moment
            assert queue.deadline(key) == moment
        elif step == "due":
            assert moment is not None
            taken = queue.due(moment)
            deadlines = [model.pop(key) for key in taken]
            assert deadlines == sorted(deadlines)
            assert all(deadline <= moment for deadline in deadlines)
            assert all(deadline > moment for deadline in model.values())
        else:
            assert queue.next_deadline == min(model.values(), default=None)
        assert len(queue) == len(model)
