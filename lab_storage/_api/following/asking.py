"""Questions to the server for what a `View` cannot prove: each once, for all who ask it.

Who asks for a pod while the same question is under way waits for its answer, if the request was
sent late enough for that answer to count; otherwise for the next one, which is sent when the
first has been answered. Where many pods are asked for, one list of all answers for all.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from lab_storage._api.call import Call
from lab_storage._api.following.health import refusal_for
from lab_storage._api.following.scope import Key
from lab_storage._api.following.view import Unknown, View
from lab_storage._api.pod_source import PodSource
from lab_storage._api.pod_state import PodState
from lab_storage.exceptions import KubernetesError
from lab_storage.timeout import Signal

# So many questions about single pods within the window, and the next are answered by a list.
MANY: Final = 32
LONGEST_WINDOW_SECONDS: Final = 10.0
# What may not be listed is not tried again for so long.
REFUSED_SECONDS: Final = 60.0

ALL: Final[Key] = ("", "")


class _Flight:
    """A question on its way.

    Attributes
    ----------
    call
        The call that asks, for all.
    sent_at
        When the request was sent; `None` before.
    error
        The refusal that was the answer.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self.sent_at: float | None = None
        self.error: KubernetesError | None = None
        self.is_over = False
        self._signals: list[Signal] = []

    def await_end(self, lock: threading.Lock, call: Call) -> None:
        """Block until it is over; raises what ends ``call``."""
        signal = Signal()
        with lock:
            if self.is_over:
                return
            self._signals.append(signal)
        call.timeout._wait(signal, call.left())
        over = call.over(self.call.last)
        if over is not None:
            raise over

    def end(self) -> None:
        """Wake all who wait."""
        self.is_over = True
        for signal in self._signals:
            signal.set()


class Asker:
    """Asks for what is not proven.

    Parameters
    ----------
    source
        Sends the requests.
    view
        What the answers go to.
    max_age_seconds
        How old knowledge may be.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        source: PodSource,
        view: View,
        max_age_seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._source = source
        self._view = view
        self._max_age_seconds = max_age_seconds
        self._window_seconds = min(max_age_seconds, LONGEST_WINDOW_SECONDS)
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: dict[Key, _Flight] = {}
        self._next: dict[Key, _Flight] = {}
        self._asked: deque[float] = deque()
        self._list_not_before = float("-inf")

    def ask(self, call: Call, key: Key, since: Callable[[], float]) -> PodState | None:
        """Give the state of a pod at a time that is not before what ``since`` gives. Blocks.

        Raises
        ------
        KubernetesError
            If the server refuses the question.
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        """
        sent_at = float("inf")
        while True:
            # The answer to a request of one's own counts, however long it took.
            found = self._view.look(key, min(since(), sent_at))
            if not isinstance(found, Unknown):
                return found
            call.check()
            if self._are_many(key):
                try:
                    sent_at = self._fly(call, ALL, since())
                except KubernetesError as error:
                    if error.status is None or _passes(error):
                        # A server that has too much to do is not asked for each pod instead.
                        raise
                    # Whoever may not list all may well ask for one.
                    self._list_not_before = self._clock() + REFUSED_SECONDS
            else:
                sent_at = self._fly(call, key, since())

    def ask_for_all(self, call: Call, since: Callable[[], float]) -> None:
        """Have all pods known as of a time that is not before ``since``. Blocks, as `ask`."""
        sent_at = float("inf")
        while self._view.proven < min(since(), sent_at):
            call.check()
            sent_at = self._fly(call, ALL, since())

    def _are_many(self, key: Key) -> bool:
        """Whether a list is due, and not one more question; counts this one otherwise."""
        view, now = self._view, self._clock()
        with self._lock:
            while self._asked and self._asked[0] < now - self._window_seconds:
                self._asked.popleft()
            # Where the watch works, each question is a call's own, and not one of thousands.
            is_dead = view.proven < now - self._max_age_seconds
            are_many = len(self._under_way) >= MANY or (is_dead and len(self._asked) >= MANY)
            if are_many and now >= self._list_not_before and view.tells_of(key):
                return True
            if key not in self._under_way:
                self._asked.append(now)
                while len(self._asked) > MANY:
                    self._asked.popleft()
            return False

    def _fly(self, call: Call, key: Key, since: float) -> float:
        """Wait for the answer to a question that is under way, or ask it.

        Returns when the request was sent, if it was this call's, and infinity otherwise.
        """
        own = _Flight(call)
        try:
            flight = self._join(key, since, own)
            if flight is not own:
                flight.await_end(self._lock, call)
                error = flight.error
                ends_later = call.timeout._left() > flight.call.timeout._left()
                if error is not None and not (_passes(error) and ends_later):
                    raise refusal_for(call, error)
                return float("inf")
            try:
                self._take_turn(call, key, own)
                self._send(call, key, own)
            except KubernetesError as error:
                own.error = error
                raise
        finally:
            # Whatever was thrown, and wherever: nobody may wait for a question without an asker.
            with self._lock:
                for flights in (self._under_way, self._next):
                    if flights.get(key) is own:
                        del flights[key]
                own.end()
        return own.sent_at if own.sent_at is not None else float("inf")

    def _join(self, key: Key, since: float, own: _Flight) -> _Flight:
        """Give the question whose answer will do: one that there is, or else ``own``."""
        with self._lock:
            flight = self._under_way.setdefault(key, own)
            if flight.sent_at is not None and flight.sent_at < since:
                flight = self._next.setdefault(key, own)
            return flight

    def _take_turn(self, call: Call, key: Key, flight: _Flight) -> None:
        """Wait until the question before is answered."""
        while True:
            with self._lock:
                before = self._under_way.get(key)
                if before is flight:
                    return
                if before is None:
                    self._next.pop(key, None)
                    self._under_way[key] = flight
                    return
            before.await_end(self._lock, call)

    def _send(self, call: Call, key: Key, flight: _Flight) -> None:
        def is_sent(sent_at: float) -> None:
            with self._lock:
                flight.sent_at = sent_at

        if key == ALL:
            listed = self._source.list_all(
                call, known_version=lambda: self._view.version, is_sent=is_sent
            )
            self._view.replace(listed.pods, listed.version, listed.sent_at)
            self._view.mark(listed.version, listed.sent_at)
            with self._lock:
                self._asked.clear()
            return
        namespace, name = key
        listed = self._source.find(
            call,
            namespace,
            name,
            # Versions count for all pods: also of one that is not followed, an answer that is
            # sent now is not older than what the watch has told.
            known_version=lambda: max(self._view.version, self._view.known_version(key)),
            is_sent=is_sent,
        )
        # A server that does not select sends others too.
        found = (pod for pod in listed.pods if (pod.namespace, pod.name) == key)
        self._view.learn(key, next(found, None), listed.version, listed.sent_at)


def _passes(error: KubernetesError) -> bool:
    """Whether it was final only for a call that ends too soon for another attempt."""
    return error.status is not None and (error.status == 429 or error.status >= 500)
