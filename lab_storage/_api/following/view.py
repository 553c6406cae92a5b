"""What is known of the pods that are followed, and as of when. Sends nothing, and never blocks.

Three rules keep it true, whoever learns what in which order:

1. *Versions decide.* All that a server says is as of a resource version: an event as of its own,
   a list as of the list's. What is not newer than what is known of a pod is not taken.
2. *Time is proven by versions.* Versions carry no time, and a bookmark may repeat an old one. But
   a consistent list that was sent at a time t names a version R of that time: once the watch is
   at R, everything up to t has arrived. Such a pair is a *mark*.
3. *What is not followed is not missing.* Only where all pods of a place are followed does it mean
   something that one is not known.
"""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import Final

import attrs

from lab_storage._api.following.guard import Guard
from lab_storage._api.following.listeners import Bell
from lab_storage._api.following.scope import Key, Listener, Scope, Waiter
from lab_storage._api.pod_state import PodEvent, PodState
from lab_storage.timeout import Signal

# Of pods that are not followed, or not by the watch yet, so many are remembered.
MOST_OTHERS = 10_000
# Of marks that are not reached, those that will be reached last count least.
_MOST_MARKS = 100
_NEVER: Final = float("-inf")


class Unknown:
    """The answer where the server has to be asked."""


UNKNOWN: Final = Unknown()


@attrs.define(eq=False)
class _Entry:
    """What is known of one pod.

    Attributes
    ----------
    pod
        Its state; `None` when there is none.
    as_of
        The version at which that was so.
    proven
        When it was asked for by itself, on the monotonic clock.
    is_followed
        Whether the watch has told of it.
    """

    pod: PodState | None
    as_of: int
    proven: float = _NEVER
    is_followed: bool = False


class View:
    """The memory of a watch. Safe to use from any thread.

    Parameters
    ----------
    scope
        Which pods are followed.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(self, scope: Scope, clock: Callable[[], float] = monotonic) -> None:
        self.scope = scope
        # Then the watch does not tell of all pods of a place.
        self._selects = scope.label_selector is not None
        self._clock = clock
        self._lock = Guard()
        self._entries: dict[Key, _Entry] = {}
        # Of pods outside the scope, what was asked for last.
        self._others: OrderedDict[Key, _Entry] = OrderedDict()
        # Those of which more is known than the watch has told.
        self._ahead: OrderedDict[Key, int] = OrderedDict()
        self._version = 0
        self._proven = _NEVER
        self._marks: list[tuple[int, float]] = []
        self._listeners: dict[Key | None, dict[Listener, None]] = {}
        # Rung as long as somebody waits for one pod.
        self._hurry = Bell()

    # -- What is known ---------------------------------------------------------------

    @property
    def version(self) -> int:
        """The version up to which everything is known; 0 before the first list."""
        return self._version

    @property
    def proven(self) -> float:
        """The time up to which everything is known, on the monotonic clock; or minus infinity."""
        return self._proven

    @property
    def age(self) -> float:
        """Seconds since `proven`; infinite before the first list."""
        return self._clock() - self._proven

    def __len__(self) -> int:
        with self._lock:
            return sum(
                entry.is_followed and entry.pod is not None for entry in self._entries.values()
            )

    def look(self, key: Key, since: float) -> PodState | Unknown | None:
        """Give the state of a pod, at a time that is not before ``since``; or `UNKNOWN`."""
        with self._lock:
            return self._look(key, since)

    def look_and_listen(self, key: Key, since: float, listener: Waiter) -> bool:
        """Have ``listener`` begin with the state that `look` gives, and see all that follow.

        Returns whether that state is known.
        """
        with self._lock:
            found = self._look(key, since)
            if isinstance(found, Unknown):
                return False
            listener.begin(found)
            self._listeners.setdefault(key, {})[listener] = None
            self._hurry.ring()
            return True

    @property
    def hurry(self) -> Signal:
        """Set as soon, and as long, as somebody waits for one pod."""
        return self._hurry.signal

    def proof_of(self, key: Key) -> float:
        """The time up to which that pod is known, on the monotonic clock; or minus infinity."""
        with self._lock:
            entry = self._entries.get(key)
            proven = self._proven if self._is_complete(key, entry) else _NEVER
            entry = entry or self._others.get(key)
            return proven if entry is None else max(proven, entry.proven)

    def pods(self, prefix: str = "") -> list[PodState]:
        """Give the pods that are followed, in namespaces of that prefix."""
        with self._lock:
            return [
                entry.pod
                for entry in self._entries.values()
                if entry.is_followed
                and entry.pod is not None
                and entry.pod.namespace.startswith(prefix)
            ]

    def tells_of(self, key: Key) -> bool:
        """Whether a list of all that is followed says whether there is that pod."""
        with self._lock:
            return self._is_complete(key, self._entries.get(key))

    def known_version(self, key: Key) -> int:
        """The version as of which a pod is known: an answer that is older tells nothing new."""
        with self._lock:
            entry = self._entries.get(key) or self._others.get(key)
            return self._known(key, entry)

    # -- What the watch tells --------------------------------------------------------

    def hear(self, event: PodEvent) -> bool:
        """Take an event of the watch; whether it was news."""
        with self._lock:
            if 0 < event.version <= self._version:
                return False  # said before: a server repeats itself, or a list was newer
            if event.pod is not None and self.scope.covers(event.pod.namespace):
                self._follow(event.pod, event.version, exists=event.type != "DELETED")
            if event.version:
                self._advance(event.version)
            return True

    def replace(self, pods: Iterable[PodState], version: int, sent_at: float) -> bool:
        """Take a list of all pods that are followed.

        Parameters
        ----------
        pods
            The pods.
        version
            The version of the list.
        sent_at
            When its first request was sent.

        Returns
        -------
        bool
            Whether it was taken: not if it is older than what is known.
        """
        with self._lock:
            if version and version < self._version:
                return False
            listed: set[Key] = set()
            for pod in pods:
                key = pod.namespace, pod.name
                if not self.scope.covers(pod.namespace):
                    continue
                listed.add(key)
                self._follow(pod, pod.version, exists=True)
            for key in [key for key in self._entries if key not in listed]:
                entry = self._entries[key]
                if not version or entry.as_of <= version or self._selects:
                    self._remove(key, entry, version)
            self._proven = max(self._proven, sent_at)
            self._advance(version)
            return True

    def forget_version(self) -> None:
        """Have the next list taken, whatever its version: the server has begun to count anew."""
        with self._lock:
            self._version = 0
            self._marks.clear()
            self._ahead.clear()
            self._others.clear()
            for entry in self._entries.values():
                entry.as_of = 0

    # -- What answers tell -----------------------------------------------------------

    def mark(self, version: int, sent_at: float) -> None:
        """Note that an answer to a request of that time named that version."""
        with self._lock:
            self._mark(version, sent_at)

    def learn(self, key: Key, pod: PodState | None, version: int, sent_at: float) -> None:
        """Take the answer to a question about one pod, unless it is older than what is known.

        Parameters
        ----------
        key
            Namespace and name.
        pod
            Its state; `None` if there is none.
        version
            The version of the answer.
        sent_at
            When the request was sent.
        """
        with self._lock:
            entry = self._entries.get(key)
            is_other = not self._is_complete(key, entry)
            if is_other:
                entry = self._others.get(key)
            if version >= self._known(key, entry):
                self._set(key, entry, pod, version, sent_at, is_other=is_other)
            self._mark(version, sent_at)

    # -- Listeners -------------------------------------------------------------------

    def listen(self, listener: Listener, key: Key | None = None) -> None:
        """Have a listener see each change of a pod, or of all, and first what is known of all."""
        with self._lock:
            self._listeners.setdefault(key, {})[listener] = None
            for known, entry in self._entries.items() if key is None else ():
                if entry.is_followed and entry.pod is not None:
                    listener.see(known, entry.pod)

    def leave(self, listener: Listener, key: Key | None = None) -> None:
        """Let a listener alone again. Never waits for the lock."""
        self._lock.leave(partial(self._leave, listener, key))

    # -- Under the lock --------------------------------------------------------------

    def _leave(self, listener: Listener, key: Key | None) -> None:
        listeners = self._listeners.get(key, {})
        listeners.pop(listener, None)
        if not listeners:
            self._listeners.pop(key, None)
        if self._listeners.keys() <= {None}:
            self._hurry.quiet()

    def _look(self, key: Key, since: float) -> PodState | Unknown | None:
        entry = self._entries.get(key)
        if self._proven >= since and self._is_complete(key, entry):
            return None if entry is None else entry.pod
        if entry is None:
            entry = self._others.get(key)
        if entry is not None and entry.proven >= since:
            return entry.pod
        return UNKNOWN

    def _is_complete(self, key: Key, entry: _Entry | None) -> bool:
        """Whether the watch tells all of that pod, its absence included."""
        if entry is not None and entry.is_followed:
            return True
        return not self._selects and self.scope.covers(key[0])

    def _known(self, key: Key, entry: _Entry | None) -> int:
        as_of = 0 if entry is None else entry.as_of
        return max(as_of, self._version) if self._is_complete(key, entry) else as_of

    def _follow(self, pod: PodState, as_of: int, *, exists: bool) -> None:
        """The watch, or a list of all, tells of a pod."""
        key = pod.namespace, pod.name
        entry = self._entries.get(key) or self._others.get(key)
        if entry is not None and as_of and as_of <= entry.as_of:
            # More is known of it already. But whether it is followed may be new.
            if exists and entry.pod is not None and not entry.is_followed:
                self._others.pop(key, None)
                self._entries[key] = entry
                entry.is_followed = True
                self._tell(key, entry.pod)
            elif not exists and entry.is_followed and self._selects:
                self._remove(key, entry, as_of)
            return
        self._others.pop(key, None)
        if not exists:
            if entry is not None:
                self._remove(key, entry, as_of)
            return
        if entry is None:
            entry = self._entries[key] = _Entry(None, 0)
        else:
            self._entries[key] = entry
        entry.pod, entry.as_of, entry.proven = pod, as_of, _NEVER
        entry.is_followed = True
        self._tell(key, pod)

    def _remove(self, key: Key, entry: _Entry, as_of: int) -> None:
        was_there = entry.is_followed and entry.pod is not None
        self._entries.pop(key, None)
        self._ahead.pop(key, None)
        entry.is_followed = False
        if self._selects:
            # It may be there, with other labels. What is known from before does not count any
            # more, and a late answer from before must not.
            if as_of > entry.as_of:
                entry.pod, entry.as_of, entry.proven = None, as_of, _NEVER
            self._remember(key, entry)
        if was_there:
            self._tell(key, None)

    def _set(
        self,
        key: Key,
        entry: _Entry | None,
        pod: PodState | None,
        as_of: int,
        sent_at: float,
        *,
        is_other: bool,
    ) -> None:
        """An answer tells of a pod what the watch has not told yet."""
        if entry is None:
            entry = _Entry(pod, as_of)
        before, entry.pod = entry.pod, pod
        entry.as_of = as_of
        entry.proven = max(entry.proven, sent_at)
        if is_other:
            self._remember(key, entry)
            self._tell_one(key, pod)
            return
        self._entries[key] = entry
        # The watch will tell of it. Those who list or listen are to know no less meanwhile.
        entry.is_followed = entry.is_followed or pod is not None
        self._ahead[key] = as_of
        self._ahead.move_to_end(key)
        while len(self._ahead) > MOST_OTHERS:
            self._drop_if_gone(self._ahead.popitem(last=False)[0])
        if entry.is_followed and (before is not None or pod is not None):
            self._tell(key, pod)
        else:
            self._tell_one(key, pod)

    def _remember(self, key: Key, entry: _Entry) -> None:
        self._others[key] = entry
        self._others.move_to_end(key)
        while len(self._others) > MOST_OTHERS:
            self._others.popitem(last=False)

    def _advance(self, version: int) -> None:
        if version <= self._version:
            return
        self._version = version
        while self._marks and self._marks[0][0] <= version:
            self._proven = max(self._proven, self._marks.pop(0)[1])
        while self._ahead:
            key, as_of = next(iter(self._ahead.items()))
            if as_of > version:
                break
            del self._ahead[key]
            self._drop_if_gone(key)

    def _drop_if_gone(self, key: Key) -> None:
        entry = self._entries.get(key)
        if entry is not None and entry.pod is None:
            self._remove(key, entry, entry.as_of)

    def _mark(self, version: int, sent_at: float) -> None:
        if not version or not self._version:
            return
        if version <= self._version:
            self._proven = max(self._proven, sent_at)
            return
        # A mark of a lower version and a later time is as good as both.
        if any(known <= version and time >= sent_at for known, time in self._marks):
            return
        worse = [mark for mark in self._marks if mark[0] >= version and mark[1] <= sent_at]
        self._marks = [mark for mark in self._marks if mark not in worse]
        bisect.insort(self._marks, (version, sent_at))
        del self._marks[_MOST_MARKS:]

    def _tell(self, key: Key, pod: PodState | None) -> None:
        for listener in self._listeners.get(None, ()):
            listener.see(key, pod)
        self._tell_one(key, pod)

    def _tell_one(self, key: Key, pod: PodState | None) -> None:
        for listener in self._listeners.get(key, ()):
            listener.see(key, pod)
