"""What a watch costs in bad times, and what a view keeps in the long run."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from lab_storage import KubernetesError, PodPhase
from lab_storage._api.answer import TransientError
from lab_storage._api.following.health import Health
from lab_storage._api.following.listeners import ChangeReader
from lab_storage._api.following.rounds import Rounds
from lab_storage._api.following.scope import Scope
from lab_storage._api.following.view import View
from lab_storage._api.pod_source import GoneError
from lab_storage._api.pod_state import PodEvent, PodState
from lab_storage.exceptions import OperationCancelledError

HOURS = 12
LABS_AN_HOUR = 300


class StandInCall:
    """Sleeps on a clock of its own, and is cancelled after a minute."""

    def __init__(self) -> None:
        self.now = 0.0

    def part(self) -> StandInCall:
        """Itself."""
        return self

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        if self.now >= 60:
            raise OperationCancelledError("Following", None)


class Counted(Rounds):
    """Counts its rounds, each of which takes a moment, or as long as a list."""

    def __init__(self, end: Callable[[], None], list_seconds: float = 0.0) -> None:
        self.call = StandInCall()
        self.rounds = 0
        self._end = end
        self._list_seconds = list_seconds
        call: Any = self.call
        super().__init__(call, Health(lambda _: None), 10.0, lambda: self.call.now)

    def _round(self, call: Any) -> None:
        del call
        self.rounds += 1
        self.call.now += self._list_seconds
        self._watches_since = self.call.now
        self.call.now += 0.001
        self._end()

    def _lose_track(self) -> None:
        pass


def refuse() -> None:
    """Refuse for good."""
    raise KubernetesError("pods is forbidden", status=403)


def fail() -> None:
    """Fail for now."""
    raise TransientError("503 ServiceUnavailable", 503)


def forget() -> None:
    """No longer know the version."""
    raise GoneError


def make_a_mistake() -> None:
    """Fail as nobody has thought of."""
    raise ZeroDivisionError("a mistake")


@pytest.mark.parametrize(("end", "most"), [(refuse, 7), (fail, 28), (lambda: None, 28)])
def test_bad_minute_costs_few_requests(end: Callable[[], None], most: int) -> None:
    """A server that refuses, fails, or ends each watch at once, is not asked in a loop."""
    rounds = Counted(end)
    rounds.run()
    assert 5 <= rounds.rounds <= most


@pytest.mark.parametrize("end", [fail, forget])
def test_long_list_is_not_made_in_a_loop(end: Callable[[], None]) -> None:
    """A server whose watches end at once is left alone, however long its lists take."""
    rounds = Counted(end, list_seconds=1.5)
    rounds.run()
    assert rounds.rounds <= 16
    assert rounds._health.last_failure is not None


def test_mistake_of_our_own_is_a_failure_and_not_an_end() -> None:
    """A thread that ended unseen would leave memory that is believed."""
    rounds = Counted(make_a_mistake)
    rounds.run()
    assert rounds.rounds > 5
    assert "a mistake" == rounds._health.last_failure


def test_log_that_cannot_be_written_does_not_end_the_thread() -> None:
    """Loops over changes wait for what it tells, and nobody would begin it anew."""
    rounds = Counted(fail)

    def warn(text: str) -> None:
        raise BrokenPipeError(text)

    rounds._health._warn = warn
    rounds.run()
    assert rounds.rounds > 5
    assert "503 ServiceUnavailable" == rounds._health.last_failure


def pod(number: int, version: int, phase: PodPhase) -> PodState:
    """A pod of that lab."""
    return PodState(f"lab-{number}", "lab", f"u{number}", version, None, False, phase, False)


class Days:
    """Labs that come and go, watches that are cut, questions, and a reader who never reads."""

    def __init__(self) -> None:
        self.now = 0.0
        self.view = View(Scope("lab-"), lambda: self.now)
        self.reader = ChangeReader()
        self.view.listen(self.reader)
        self._version = 1
        self._labs = 0
        self.view.replace([], self._version, self.now)

    def live_an_hour(self) -> None:
        """Let an hour pass."""
        for _ in range(LABS_AN_HOUR):
            self._labs += 1
            for kind in ("ADDED", "MODIFIED", "DELETED"):
                self._version += 1
                self.now += 4
                state = pod(self._labs, self._version, PodPhase.RUNNING)
                self.view.hear(PodEvent(kind, self._version, state))
            key = f"lab-{self._labs}", "lab"
            self.view.learn(key, None, self._version + 1, self.now)
            self.view.mark(self._version + 2, self.now)
            self.view.mark(self._version + 1, self.now + 1)
        self._version += 10
        last = pod(self._labs, self._version, PodPhase.RUNNING)
        self.view.replace([last], self._version, self.now)


def test_days_leave_nothing_behind() -> None:
    """After the first hour nothing grows."""
    days = Days()
    days.live_an_hour()
    tracemalloc.start()
    try:
        days.live_an_hour()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(HOURS):
            days.live_an_hour()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 10_000
    assert 1 == len(days.view)
    assert 1 == len(list(days.reader.changes()))
