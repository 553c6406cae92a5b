"""Those who are told what becomes of pods: a wait for one, and a reader of all changes."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator

import attrs

from lab_storage._api.following.scope import Key
from lab_storage._api.pod_state import PodState, Waiting
from lab_storage._diagnosis.words import passes_by_itself
from lab_storage.models import PodPhase
from lab_storage.timeout import Signal


class Bell:
    """A signal that can be rung again and again, for one who waits for it."""

    def __init__(self) -> None:
        self._signal = Signal()

    @property
    def signal(self) -> Signal:
        """What to wait for now."""
        return self._signal

    def ring(self) -> None:
        """Wake whoever waits, or will wait next."""
        self._signal.set()

    def quiet(self) -> None:
        """From now on, wait for the next ring: look at what has happened after this."""
        # Somebody may wait for one that has not rung, and is to hear the next.
        if self._signal.is_set:
            self._signal = Signal()


class StartWaiter:
    """Waits for the start of one pod.

    Each state is judged when it is told, so that none is missed, however briefly it lasts.

    Attributes
    ----------
    bell
        Rings when there is something to do.
    pod
        Its last state; `None` once it is gone.
    is_over
        Whether the wait is.
    phase
        What it came to; `None` if the pod is gone.
    trouble
        What the pod waits for, if that is a reason to give up.
    is_in_doubt
        Whether the server has to be asked, since the pod has not the labels any more.
    """

    def __init__(self, fail_fast: Collection[str], *, has_selector: bool) -> None:
        self._fail_fast = fail_fast
        self._has_selector = has_selector
        self._uid: str | None = None
        self.bell = Bell()
        self.pod: PodState | None = None
        self.is_over = False
        self.phase: PodPhase | None = None
        self.trouble: Waiting | None = None
        self.is_in_doubt = False

    def begin(self, pod: PodState | None) -> None:
        """Judge the state with which the wait begins, or goes on after a doubt."""
        self.is_in_doubt = False
        if self.is_over:
            return
        if self._uid is None and pod is not None:
            self._uid = pod.uid
        self._judge(pod)

    def see(self, key: Key, pod: PodState | None) -> None:
        """Judge a new state."""
        del key
        if self.is_over:
            return
        if pod is None and self._has_selector:
            self.is_in_doubt = True
            self.bell.ring()
            return
        self._judge(pod)

    def _judge(self, pod: PodState | None) -> None:
        self.pod = pod
        if pod is None or pod.uid != self._uid:
            self._end(None)
        elif pod.has_started:
            self._end(pod.phase)
        else:
            for wait in pod.waiting:
                if wait[1] in self._fail_fast and not passes_by_itself(wait[2]):
                    self.trouble = wait
                    self._end(None)
                    return

    def _end(self, phase: PodPhase | None) -> None:
        self.phase = phase
        self.is_over = True
        self.bell.ring()


class PodSeeker:
    """Waits for a pod to be there.

    Attributes
    ----------
    bell
        Rings when it is.
    pod
        The pod, as it was seen last.
    """

    def __init__(self) -> None:
        self.bell = Bell()
        self.pod: PodState | None = None

    def begin(self, pod: PodState | None) -> None:
        """See whether it is there."""
        if pod is not None:
            self.pod = pod
            self.bell.ring()

    def see(self, key: Key, pod: PodState | None) -> None:
        """See whether it is there now."""
        del key
        self.begin(pod)


@attrs.frozen
class Told:
    """A change, as a reader of changes is told it."""

    key: Key
    uid: str
    phase: PodPhase | None
    previous: PodPhase | None


class ChangeReader:
    """Reads the changes of all pods.

    What a reader has not fetched yet is one state a pod, the last one: that bounds the memory,
    and a slow reader misses what was in between.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[Key, PodState | None] = {}
        # By pod: the UID and phase that were told last.
        self._told: dict[Key, tuple[str, PodPhase]] = {}
        self.bell = Bell()

    def see(self, key: Key, pod: PodState | None) -> None:
        """Note a new state."""
        with self._lock:
            told = self._told.get(key)
            if (None if pod is None else (pod.uid, pod.phase)) == told:
                self._pending.pop(key, None)
                return
            self._pending[key] = pod
        self.bell.ring()

    def changes(self) -> Iterator[Told]:
        """Yield the changes that have come up since, oldest first, until there are none."""
        while True:
            with self._lock:
                if not self._pending:
                    self.bell.quiet()
                    return
                key = next(iter(self._pending))
                pod = self._pending.pop(key)
                told = self._told.pop(key, None)
                if pod is not None:
                    self._told[key] = pod.uid, pod.phase
            previous = None
            if told is not None:
                uid, previous = told
                if pod is None or pod.uid != uid:
                    yield Told(key, uid, None, previous)
                    previous = None
            if pod is not None:
                yield Told(key, pod.uid, pod.phase, previous)
