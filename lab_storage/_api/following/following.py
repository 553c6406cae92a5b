"""All that one process has of a followed scope: memory, thread, questions, and their end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from time import monotonic
from typing import Any, Final

from lab_storage._api.call import Call
from lab_storage._api.client import Client
from lab_storage._api.following.asking import Asker
from lab_storage._api.following.event_feed import EventDesk
from lab_storage._api.following.feed import (
    LONGEST_SILENCE_SECONDS,
    SHORTEST_PROOF_SECONDS,
    Feed,
)
from lab_storage._api.following.health import Health, refusal_for
from lab_storage._api.following.scope import Key, Scope
from lab_storage._api.following.view import Unknown, View
from lab_storage._api.pod_source import PodSource
from lab_storage._api.pod_state import PodState
from lab_storage.exceptions import LabStorageError
from lab_storage.models import LabSummary
from lab_storage.timeout import Signal, Timeout

# A watch that says nothing is given up after the age that knowledge may have, but not sooner. The
# shortest lasts a second, and is to end by itself.
SHORTEST_SILENCE_SECONDS: Final = 1.5
# A watch lasts half as long as knowledge may be old.
SHORTEST_PROVEN_SECONDS: Final = 2.0 * SHORTEST_PROOF_SECONDS
# How long a call may wait for the first list. Then it asks for itself.
SYNC_SECONDS: Final = 2.0
# How long the thread may take to notice that it has to end.
END_SECONDS: Final = 2.0
_NEVER: Final = float("-inf")
_MOST_WRITES: Final = 1000


class Following:
    """Follows the pods of a scope in a thread of its own, from `start` until `stop`.

    Attributes
    ----------
    pid
        The process that it belongs to: a forked child has the memory, but not the thread.
    max_age_seconds
        How old an answer may be.
    view
        What is known.
    health
        How the watch fares.
    desk
        Where the events of pods are heard.
    """

    def __init__(
        self,
        client: Client,
        log: Any,
        scope: Scope,
        max_age_seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.pid = os.getpid()
        self.max_age_seconds = max_age_seconds
        self.view = View(scope, clock)
        self.health = Health(self._warn, clock)
        self._log = log
        self._clock = clock
        # By pod, or by namespace for all its pods: what is known from before must not be told.
        self._not_before: dict[Key | str, float] = {}
        self._timeout = Timeout("Following pods", timedelta.max)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        source = PodSource(scope.namespace, scope.label_selector, wants=scope.covers, clock=clock)
        self._asker = Asker(source, self.view, max_age_seconds, clock)
        silence = min(max(max_age_seconds, SHORTEST_SILENCE_SECONDS), LONGEST_SILENCE_SECONDS)
        self.desk = EventDesk(client, log, scope, max_age_seconds, silence, self._timeout)
        call = Call(client, self._timeout, log, idle_seconds=silence)
        self._feed = Feed(call, source, self.view, self.health, max_age_seconds, clock)

    # -- Life ------------------------------------------------------------------------

    @property
    def is_synced(self) -> bool:
        """Whether all pods were known once."""
        return self.view.proven > _NEVER

    @property
    def is_fresh(self) -> bool:
        """Whether all pods are known, as of a time that is not too long ago."""
        # Where nothing may be old at all, it is each call that asks.
        return self.view.age <= self.max_age_seconds or (
            self.max_age_seconds == 0 and self.is_synced
        )

    @property
    def is_here(self) -> bool:
        """Whether this is its process. In a forked child others may hold its locks forever."""
        return self.pid == os.getpid()

    def start(self) -> None:
        """Have the thread run. Where the system has none to give, there is just no watch."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            return
        with self._lock:
            if self._timeout.cancelled or (self._thread and self._thread.is_alive()):
                return
            thread = threading.Thread(target=self._feed.run, name="lab_storage-pods", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # No more threads, or the interpreter is about to end.
                self.health.fail(error)
            else:
                self._thread = thread

    def stop(self, *, waits: bool = False) -> None:
        """End the thread and wake all who wait; block until it is gone, if ``waits``."""
        if not self.is_here:
            return
        self._timeout.cancel()
        thread = self._thread
        if waits and thread is not None and thread is not threading.current_thread():
            thread.join(END_SECONDS)
        if waits:
            self.desk.await_end(END_SECONDS)

    def check(self) -> None:
        """Raise if it has ended, or stayed in another process, while a call was under way."""
        if self._timeout.cancelled or not self.is_here:
            raise LabStorageError("the storage was closed while a call was under way")

    def wait(
        self, call: Call, signal: Signal, seconds: float, otherwise: str | None = None
    ) -> None:
        """Block until a signal is set, ``seconds`` are over, or either end has come.

        A timeout reports ``otherwise`` if nothing else went wrong.

        Raises
        ------
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        LabStorageError
            If this was stopped.
        """
        with self._timeout._waking(signal.set):
            call.timeout._wait(signal, seconds)
        over = call.over(otherwise)
        if over is not None:
            raise over
        self.check()

    # -- What calls ask --------------------------------------------------------------

    def hears_of(self, call: Call, namespace: str) -> bool:
        """Whether the watch tells of a namespace's pods. May block, as `find`.

        Not if it is refused, which is known no sooner than it has been tried, or if there is no
        thread to be had for it.
        """
        if not self.view.scope.covers(namespace):
            return False
        self._await_first_list(call)
        return self._thread is not None and self.health.refusal is None

    def find(self, call: Call, key: Key) -> PodState | None:
        """Give the state of a pod, from memory or from the server. May block.

        Raises
        ------
        KubernetesError
            If the server refuses the question.
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        """
        call.check()
        found = self.view.look(key, max(self._floor(key), self._clock() - self.max_age_seconds))
        if not isinstance(found, Unknown):
            return found
        return self.ask(call, key, self._since(self._floor(key)))

    def ask(self, call: Call, key: Key, since: Callable[[], float]) -> PodState | None:
        """Give the state of a pod at a time that is not before ``since()``. May block."""
        if self.view.scope.covers(key[0]):
            self._await_first_list(call)
        self.check()
        return self._asker.ask(call, key, since)

    def find_all(self, call: Call, prefix: str) -> list[PodState]:
        """Give all pods in namespaces of that prefix. May block, and raises, as `find`."""
        self.know_all(call)
        return self.view.pods(prefix)

    def know_all(self, call: Call) -> None:
        """Have what is known of all pods be as new as an answer has to be. As `find_all`."""
        call.check()
        self._await_first_list(call)
        self._asker.ask_for_all(
            call, self._since(max(list(self._not_before.values()), default=_NEVER))
        )

    def await_freshness(self, call: Call) -> None:
        """Block until all pods are known, which is proven.

        Raises
        ------
        KubernetesError
            If the watch is refused.
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        """
        # Where the watch cannot prove an age so short, it is each call that asks.
        proves = self.max_age_seconds >= SHORTEST_PROVEN_SECONDS
        self._await(call, lambda: self.is_fresh if proves else self.is_synced)

    def raise_refusal(self, call: Call, *, again: bool = False) -> None:
        """Raise the error by which the watch is refused, if it is; or if it is so ``again``."""
        error = self.health.refusal
        if error is not None and self.health.refusals > again:
            raise refusal_for(call, error)

    def await_sync(self, call: Call) -> None:
        """Block until all pods were known once. Raises as `await_freshness`."""
        self._await(call, lambda: self.is_synced)

    def _await(self, call: Call, is_over: Callable[[], bool]) -> None:
        while not is_over():
            self.raise_refusal(call)
            # News of another proof are none of the health's.
            seconds = self.max_age_seconds / 10 if self.is_synced else call.left()
            self.await_news(call, seconds, is_over=is_over)

    def await_news(
        self,
        call: Call,
        seconds: float,
        signal: Signal | None = None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Block until the watch fares differently, a signal is set, or ``seconds`` are over.

        Not at all, if the wait ``is_over`` once news could no longer be missed.
        """
        signal = signal or Signal()
        self.health.add(signal)
        try:
            if is_over():
                return
            text = self.health.last_failure or (
                None if self.is_synced else "not all pods are known yet"
            )
            self.wait(call, signal, seconds, text)
        finally:
            self.health.remove(signal)

    def distrust(self, place: Key | str) -> None:
        """Tell no more of a pod, or of a namespace, than what is known from now on."""
        now = self._clock()
        self._not_before[place] = now
        if len(self._not_before) > _MOST_WRITES:
            # What is older is not told for its age.
            for known, time in list(self._not_before.items()):
                if time < now - self.max_age_seconds:
                    self._not_before.pop(known, None)

    def note_listed(self, labs: Iterable[LabSummary], prefix: str | None) -> None:
        """Distrust what differs from what a list by the server has told.

        ``prefix`` is that of the namespaces of which the list has all pods; `None` for none.
        """
        told = {(lab.namespace, pod.name): pod for lab in labs for pod in lab.pods}
        for key, pod in told.items():
            known = self.view.look(key, _NEVER)
            if not isinstance(known, PodState) or not known.is_like(pod):
                self.distrust(key)
        for known in () if prefix is None else self.view.pods(prefix):
            if (known.namespace, known.name) not in told:
                self.distrust((known.namespace, known.name))

    def _floor(self, key: Key) -> float:
        times = self._not_before
        if not times:
            return _NEVER
        return max(times.get(key, _NEVER), times.get(key[0], _NEVER))

    def _since(self, floor: float) -> Callable[[], float]:
        """Give what tells how old an answer may be, of a call that begins now.

        What was true at some moment during the call is never too old.
        """
        began = self._clock()
        return lambda: max(floor, min(began, self._clock() - self.max_age_seconds))

    def _await_first_list(self, call: Call) -> None:
        """Block for a moment if all are about to be known."""
        if self.is_synced or self.health.last_failure is not None or self._thread is None:
            return
        signal = Signal()
        self.health.add(signal)
        try:
            if not self.is_synced and self.health.last_failure is None:
                self.wait(call, signal, min(SYNC_SECONDS, call.left() / 2))
        finally:
            self.health.remove(signal)

    def _warn(self, text: str) -> None:
        self._log.warning("Following pods failed", reason=text)
