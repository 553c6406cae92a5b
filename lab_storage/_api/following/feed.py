"""The one thread that keeps a `View` up to date: list, watch, resume, and prove it.

How it goes on, round by round:

1. A streamed list (``sendInitialEvents``), or pages where the server lacks that; then what
   happens, on the same stream.
2. The server ends each watch after half of ``max_age``. Then a small consistent list names the
   version of that moment, and the watch goes on from the last version known. Two seconds before a
   watch ends comes a bookmark, and as soon as that, or an event, is at the named version,
   everything up to the naming is proven to be known.

What ends a round otherwise (a cut, silence, 410, 429, 5xx, a refusal, nonsense) is followed by the
next, after a pause where that was a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from time import monotonic
from typing import Final

from lab_storage._api.answer import TransientError
from lab_storage._api.call import Call
from lab_storage._api.following.health import Health
from lab_storage._api.following.rounds import OVERTIME_SECONDS, Rounds
from lab_storage._api.following.scope import Key
from lab_storage._api.following.view import View
from lab_storage._api.pod_source import Listed, PodSource, PodStream
from lab_storage._api.pod_state import PodState
from lab_storage.exceptions import KubernetesError

LONGEST_SILENCE_SECONDS: Final = 60.0
# A shorter watch has no bookmark before it ends.
SHORTEST_PROOF_SECONDS: Final = 2
# A server whose lists stay older for so long has begun to count anew: a backup was restored.
RESTORED_SECONDS: Final = 60.0
# While nobody waits for a pod, what happens within that time is taken together.
GATHERING_SECONDS: Final = 0.1


class Feed(Rounds):
    """What the thread does.

    Parameters
    ----------
    call
        Sends the requests, without a deadline; to be cancelled.
    source
        Asks for the pods.
    view
        What is kept up to date.
    health
        Where to say how it goes.
    max_age_seconds
        How old knowledge may be.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        call: Call,
        source: PodSource,
        view: View,
        health: Health,
        max_age_seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(call, health, max_age_seconds, clock)
        self._source = source
        self._view = view
        self._proves = max_age_seconds > 0 and self._seconds >= SHORTEST_PROOF_SECONDS
        self._must_list = True
        self._streams_lists = True
        self._pages_next = False
        self._older_since: float | None = None

    def _lose_track(self) -> None:
        self._must_list = True

    def _round(self, call: Call) -> None:
        if not self._must_list:
            if self._proves and not self._is_hurried:
                known = self._view.version
                named = self._source.name_version(call)
                if named.version < known:
                    # What such an answer proves is of another time, or of another history.
                    raise self._older("the version of now")
                self._older_since = None
                self._view.mark(named.version, named.sent_at)
            self._hear(self._resume(call))
            return
        if self._streams_lists and not self._pages_next:
            # Something on the way may always cut it: then pages get through.
            self._pages_next = True
            if self._list_by_stream(call):
                return
        known = self._view.version
        listed = self._source.list_once(call)
        self._pages_next = False
        self._take(listed, known)
        self._hear(self._resume(call))

    def _resume(self, call: Call) -> PodStream:
        query = {"resourceVersion": str(self._view.version)}
        self._watches_since = self._clock()
        return self._source.watch(call, query, self._seconds)

    def _hear(self, stream: PodStream) -> None:
        until = self._clock() + self._seconds + OVERTIME_SECONDS
        with closing(stream):
            for event in stream.events(self._gather):
                self._view.hear(event)
                self._health.succeed()
                if self._clock() > until:
                    return
        self._health.succeed()

    def _gather(self) -> None:
        """Let more events come, unless a call waits for one.

        To wake up for each event costs more than to read and decode it.
        """
        if not self._must_list:
            self._call.timeout._wait(self._view.hurry, GATHERING_SECONDS)

    def _list_by_stream(self, call: Call) -> bool:
        """Listen to what exists and then to what happens; whether the server can do that."""
        query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        known, sent_at = self._view.version, self._clock()
        try:
            stream = self._source.watch(call, query, self._seconds)
        except KubernetesError as error:
            if error.status not in (400, 422):
                raise
            self._streams_lists = False
            return False
        until = sent_at + self._seconds + OVERTIME_SECONDS
        pods: dict[Key, PodState] = {}
        with closing(stream):
            for event in stream.events(self._gather):
                if self._clock() > until:
                    break
                if not self._must_list:
                    self._view.hear(event)
                elif event.is_initial_end:
                    self._take(Listed(list(pods.values()), event.version, sent_at), known)
                    self._watches_since = sent_at
                    pods.clear()
                elif event.pod is not None and self._view.scope.covers(event.pod.namespace):
                    key = event.pod.namespace, event.pod.name
                    if event.type == "DELETED":
                        pods.pop(key, None)
                    else:
                        pods[key] = event.pod
        # One that ends before it has told all has not understood, or cannot in that time.
        self._streams_lists = not self._must_list
        return self._streams_lists

    def _take(self, listed: Listed, known: int) -> None:
        """Take a list that was asked for when that version was known."""
        if not listed.version:
            # A watch from there on would begin with what exists, in any order.
            raise TransientError("the list names no version")
        if listed.version < known:
            raise self._older("the list")
        # If it is not taken, that of a question has overtaken it, and is as good.
        self._view.replace(listed.pods, listed.version, listed.sent_at)
        self._must_list = self._pages_next = False
        self._older_since = None
        self._health.succeed(is_news=True)

    def _older(self, what: str) -> TransientError:
        now = self._clock()
        if self._older_since is None:
            self._older_since = now
        if now - self._older_since > RESTORED_SECONDS:
            self._lose_track()
            self._view.forget_version()
        return TransientError(f"{what} is older than what is known")
