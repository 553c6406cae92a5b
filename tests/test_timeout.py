"""Deadline and cancellation, on a clock that the test turns."""

from __future__ import annotations

import copy
import pickle
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from lab_storage import OperationCancelledError, OperationTimeoutError, Timeout
from lab_storage.timeout import Signal


@attrs.define
class Clock:
    """A monotonic clock that stands still until it is turned."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that timeouts look at."""
    clock = Clock()
    monkeypatch.setattr("lab_storage.timeout.monotonic", clock)
    return clock


def seconds(number: float) -> timedelta:
    """Give so many seconds."""
    return timedelta(seconds=number)


class TestDeadline:
    """How much time has gone by, is left, or is over."""

    def test_counts_elapsed_and_left(self, clock: Clock) -> None:
        """What has gone by and what is left add up to the whole."""
        timeout = Timeout("Starting lab", seconds(30))
        clock.now += 12

        assert (12.0, 18.0) == (timeout.elapsed(), timeout.left())

    def test_left_raises_once_expired(self, clock: Clock) -> None:
        """At the deadline nothing is left, and the error says what, whose and how long."""
        timeout = Timeout("Starting lab", seconds(30), "jovyan")
        clock.now += 30

        with pytest.raises(OperationTimeoutError) as caught:
            timeout.left()

        error = caught.value
        assert ("Starting lab", "jovyan", 30.0, None) == error.args
        assert "Starting lab (user jovyan) timed out after 30.0 s" == str(error)

    def test_elapsed_goes_on_after_the_deadline(self, clock: Clock) -> None:
        """An expired timeout still measures the time."""
        timeout = Timeout("Starting lab", seconds(1))
        clock.now += 5

        assert 5.0 == timeout.elapsed()

    @pytest.mark.usefixtures("clock")
    def test_zero_is_expired_from_the_start(self) -> None:
        """No time at all is allowed, and over."""
        timeout = Timeout("Starting lab", timedelta(0))

        assert timeout.expired
        with pytest.raises(OperationTimeoutError):
            timeout.left()

    @pytest.mark.usefixtures("clock")
    def test_the_longest_timedelta_is_allowed(self) -> None:
        """Whoever wants to wait for ever may."""
        assert timedelta.max.total_seconds() == Timeout("Waiting", timedelta.max).left()

    @pytest.mark.usefixtures("clock")
    def test_jumps_of_the_wall_clock_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is the monotonic clock that counts."""
        timeout = Timeout("Starting lab", seconds(30))
        monkeypatch.setattr("time.time", lambda: 4e9)

        assert (0.0, 30.0) == (timeout.elapsed(), timeout.left())

    def test_a_negative_timeout_is_a_value_error(self) -> None:
        """Less than no time is a mistake of the caller's."""
        with pytest.raises(ValueError, match="must not be negative"):
            Timeout("Starting lab", seconds(-0.001))

    @pytest.mark.parametrize("timeout", [30, 30.0, None, "30"])
    def test_a_timeout_other_than_a_timedelta_is_a_type_error(self, timeout: Any) -> None:
        """Seconds as a number might be taken for something else."""
        with pytest.raises(TypeError, match=r"must be a datetime.timedelta, not "):
            Timeout("Starting lab", timeout)
        with pytest.raises(TypeError, match=r"must be a datetime.timedelta, not "):
            Timeout("Starting lab", seconds(1)).partial(timeout)

    def test_an_operation_other_than_a_text_is_a_type_error(self) -> None:
        """As when the parameters are in the wrong order."""
        with pytest.raises(TypeError, match="operation must be a str, not timedelta"):
            Timeout(seconds(1), "Starting lab")  # type: ignore[arg-type]


class TestCancel:
    """The handle to cancel by."""

    def test_left_raises_once_cancelled(self) -> None:
        """The error says what was cancelled, and whose lab it is."""
        timeout = Timeout("Starting lab", seconds(30), "jovyan")
        timeout.cancel()

        with pytest.raises(OperationCancelledError) as caught:
            timeout.left()

        assert ("Starting lab", "jovyan") == caught.value.args
        assert "Starting lab (user jovyan) was cancelled" == str(caught.value)

    def test_may_be_repeated(self) -> None:
        """Twice is as good as once."""
        timeout = Timeout("Starting lab", seconds(30))
        assert not timeout.cancelled
        timeout.cancel()
        timeout.cancel()

        assert timeout.cancelled

    def test_counts_more_than_the_deadline(self, clock: Clock) -> None:
        """Who cancelled wants to hear that, though it has expired since."""
        timeout = Timeout("Starting lab", seconds(1))
        timeout.cancel()
        clock.now += 2

        with pytest.raises(OperationCancelledError):
            timeout.left()

    def test_wakes_a_sleeper_in_another_thread(self) -> None:
        """A sleep of an hour ends at once."""
        timeout = Timeout("Starting lab", seconds(3600))
        sleeper = threading.Thread(target=timeout._sleep, args=(3600,))
        sleeper.start()
        timeout.cancel()
        sleeper.join(5)

        assert not sleeper.is_alive()

    def test_from_a_signal_handler_wakes_the_interrupted_thread(self) -> None:
        """The handler runs in the thread that sleeps, and must not wait for it."""
        timeout = Timeout("Starting lab", seconds(10))
        previous = signal.signal(signal.SIGALRM, lambda *_: timeout.cancel())
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            timeout._sleep(10)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

        assert timeout.elapsed() < 5

    def test_before_a_sleep_leaves_nothing_to_sleep(self) -> None:
        """Whoever comes late does not wait."""
        timeout = Timeout("Starting lab", seconds(10))
        timeout.cancel()
        timeout._sleep(10)

        assert timeout.elapsed() < 5

    def test_forgets_whom_it_need_not_wake_any_more(self) -> None:
        """A timeout that serves many calls does not grow by them."""
        timeout = Timeout("Starting lab", seconds(10))
        child = timeout.partial(seconds(5))
        for _ in range(3):
            child._sleep(0)

        assert ({}, {}) == (timeout._wakers, child._wakers)


class TestPartial:
    """A part of an operation."""

    @pytest.mark.usefixtures("clock")
    def test_ends_by_itself(self) -> None:
        """A short part of a long operation is short."""
        assert 5.0 == Timeout("Starting lab", seconds(30)).partial(seconds(5)).left()

    def test_ends_no_later_than_its_parent(self, clock: Clock) -> None:
        """A long part of what is nearly over is nearly over."""
        timeout = Timeout("Starting lab", seconds(30))
        clock.now += 20

        assert 10.0 == timeout.partial(seconds(60)).partial(timedelta.max).left()

    @pytest.mark.usefixtures("clock")
    def test_has_its_parents_words(self) -> None:
        """Its errors name the operation and the user of the whole."""
        part = Timeout("Starting lab", seconds(30), "jovyan").partial(timedelta(0))

        with pytest.raises(
            OperationTimeoutError, match=r"^Starting lab \(user jovyan\) timed out"
        ):
            part.left()

    def test_reports_the_elapsed_time_of_the_whole(self, clock: Clock) -> None:
        """An error of a part, and of a part of a part, says how long the operation took."""
        timeout = Timeout("Starting lab", seconds(30))
        clock.now += 20
        part = timeout.partial(seconds(5)).partial(seconds(2))
        clock.now += 3

        with pytest.raises(OperationTimeoutError) as caught:
            part.left()

        assert (23.0, 3.0) == (caught.value.elapsed, part.elapsed())

    def test_counts_its_own_elapsed_time(self, clock: Clock) -> None:
        """It begins when it is made."""
        timeout = Timeout("Starting lab", seconds(30))
        clock.now += 20
        part = timeout.partial(seconds(5))
        clock.now += 1

        assert (21.0, 1.0) == (timeout.elapsed(), part.elapsed())

    def test_can_be_made_of_what_is_expired(self, clock: Clock) -> None:
        """That does not raise: the part is expired too."""
        timeout = Timeout("Starting lab", seconds(30))
        clock.now += 31
        part = timeout.partial(seconds(5))

        with pytest.raises(OperationTimeoutError):
            part.left()

    def test_can_be_made_of_what_is_cancelled(self) -> None:
        """That does not raise: the part is cancelled too."""
        timeout = Timeout("Starting lab", seconds(30))
        timeout.cancel()
        part = timeout.partial(seconds(5))

        with pytest.raises(OperationCancelledError):
            part.left()

    @pytest.mark.usefixtures("clock")
    def test_of_less_than_no_time_is_expired(self) -> None:
        """What was reckoned to end before it begins is over, and no error."""
        assert Timeout("Starting lab", seconds(30)).partial(seconds(-5)).expired

    def test_is_cancelled_with_its_parent(self) -> None:
        """And so are the parts of it, also those of later."""
        timeout = Timeout("Starting lab", seconds(30))
        child = timeout.partial(seconds(5))
        timeout.cancel()

        assert (True, True, True) == (
            child.cancelled,
            child.partial(seconds(1)).cancelled,
            timeout.partial(seconds(1)).cancelled,
        )

    def test_leaves_its_parent_alone(self) -> None:
        """To cancel a part is to go on with the rest."""
        timeout = Timeout("Starting lab", seconds(30))
        one, other = timeout.partial(seconds(5)), timeout.partial(seconds(5))
        one.cancel()

        assert (True, False, False) == (one.cancelled, other.cancelled, timeout.cancelled)

    def test_wakes_sleepers_by_a_cancel_of_any_ancestor(self) -> None:
        """Who sleeps on a grandchild is woken by the grandparent."""
        timeout = Timeout("Starting lab", seconds(3600))
        child = timeout.partial(timedelta.max).partial(timedelta.max)
        sleeper = threading.Thread(target=child._sleep, args=(3600,))
        sleeper.start()
        timeout.cancel()
        sleeper.join(5)

        assert not sleeper.is_alive()


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy])
def test_cannot_be_sent_to_another_process(send: Callable[[Timeout], Any]) -> None:
    """The error says what to send in its place."""
    with pytest.raises(TypeError, match="Send seconds instead"):
        send(Timeout("Starting lab", seconds(30)))


def test_repr_shows_the_state(clock: Clock) -> None:
    """Who debugs sees what is left, or that it was cancelled."""
    timeout = Timeout("Starting lab", seconds(30))
    before = repr(timeout)
    timeout.cancel()

    assert "<Timeout 'Starting lab': 30.0 s left>" == before
    assert "<Timeout 'Starting lab': cancelled>" == repr(timeout)


class TestSignal:
    """What a wait can be ended by, from a signal handler too."""

    def test_is_not_set_by_itself(self) -> None:
        """A wait for nothing ends without it."""
        assert not Signal().wait(0)

    def test_stays_set(self) -> None:
        """All later waiters see it, however often it was set."""
        signal_ = Signal()
        signal_.set()
        signal_.set()

        assert (True, True) == (signal_.wait(0), signal_.wait(0))

    def test_wakes_who_waits(self) -> None:
        """A wait in another thread ends."""
        signal_, woken = Signal(), threading.Event()

        def wait() -> None:
            if signal_.wait(10):
                woken.set()

        threading.Thread(target=wait, daemon=True).start()
        signal_.set()

        assert woken.wait(5)
