"""One watch of the events of all pods, for as long as somebody listens."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any, Final

import attrs

from lab_storage._api.answer import Answer, TransientError, mapping_at
from lab_storage._api.call import Call
from lab_storage._api.client import Client
from lab_storage._api.following.guard import Guard
from lab_storage._api.following.health import Health
from lab_storage._api.following.listeners import Bell
from lab_storage._api.following.rounds import OVERTIME_SECONDS, Rounds
from lab_storage._api.following.scope import Key, Scope
from lab_storage._api.lines import BLANK, read_lines
from lab_storage._api.pod_source import GoneError, judged
from lab_storage._api.protobuf import DecodeError
from lab_storage._api.request import Request
from lab_storage._manifests.kinds import EVENT
from lab_storage.timeout import Timeout

# A loop that is too slow for so many events lists them again.
MOST_WAITING: Final = 1000

Json = dict[str, Any]


class NoSharedWatchError(Exception):
    """There is no thread to be had for one. Never reaches a caller."""


class EventReader:
    """Whoever listens to the events of one pod.

    Attributes
    ----------
    bell
        Rings when there is something to do.
    must_list
        Whether events may have been missed: then they have to be listed.
    """

    def __init__(self) -> None:
        self.bell = Bell()
        self.must_list = False
        self._waiting: deque[Json] = deque()

    def hear(self, event: Json | None) -> None:
        """Take a new event, or `None` if some may be missing."""
        if event is None or len(self._waiting) >= MOST_WAITING:
            self.must_list = True
        else:
            self._waiting.append(event)
        self.bell.ring()

    def take(self) -> list[Json]:
        """Give the events that have come since, and forget them."""
        events = []
        while self._waiting:
            events.append(self._waiting.popleft())
        return events


class EventDesk:
    """Where loops over the events of pods meet the one watch that tells of them.

    Parameters
    ----------
    client, log
        What requests are sent and logged by.
    scope
        Which pods.
    max_age_seconds
        How old knowledge may be.
    idle_seconds
        How long a watch may say nothing.
    timeout
        Cancelled, it ends the watch, whether or not somebody still listens.
    """

    def __init__(
        self,
        client: Client,
        log: Any,
        scope: Scope,
        max_age_seconds: float,
        idle_seconds: float,
        timeout: Timeout,
    ) -> None:
        self._client, self._log, self._scope = client, log, scope
        self._max_age_seconds, self._idle_seconds = max_age_seconds, idle_seconds
        self._timeout = timeout
        self._lock = Guard()
        self._readers: dict[Key, dict[EventReader, None]] = {}
        self._feed: EventFeed | None = None
        self._thread: threading.Thread | None = None

    @property
    def health(self) -> Health | None:
        """How the watch fares; `None` without one."""
        feed = self._feed
        return None if feed is None else feed.health

    def join(self, key: Key) -> EventReader:
        """Listen to the events of a pod; the first who does opens the watch.

        Raises
        ------
        NoSharedWatchError
            If there is no thread to be had.
        """
        reader = EventReader()
        with self._lock:
            if self._feed is None:
                feed = EventFeed(self)
                thread = threading.Thread(target=feed.run, name="lab_storage-events", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise NoSharedWatchError from error
                self._feed, self._thread = feed, thread
            self._readers.setdefault(key, {})[reader] = None
            if self._feed.is_open:
                reader.hear(None)
        return reader

    def leave(self, key: Key, reader: EventReader) -> None:
        """Listen no more; the last who leaves closes the watch. Never waits for the lock."""
        self._lock.leave(partial(self._leave, key, reader))

    def _leave(self, key: Key, reader: EventReader) -> None:
        readers = self._readers.get(key, {})
        readers.pop(reader, None)
        if not readers:
            self._readers.pop(key, None)
        feed = self._feed
        if not self._readers and feed is not None:
            self._feed = None
            feed.timeout.cancel()

    def await_end(self, seconds: float) -> None:
        """Block until the thread is gone, which has been told to end."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def tell(self, event: Json) -> None:
        """Pass an event on to those who listen."""
        about = mapping_at(event, "involvedObject")
        key = str(about.get("namespace")), str(about.get("name"))
        with self._lock:
            for reader in self._readers.get(key, ()):
                reader.hear(event)

    def tell_gap(self, feed: EventFeed) -> None:
        """Have all who listen list their events: the watch has begun, or begun anew."""
        with self._lock:
            feed.is_open = True
            for readers in self._readers.values():
                for reader in readers:
                    reader.hear(None)

    def request(self, namespace: str | None = None, name: str | None = None) -> Request:
        """The list of the events of all pods, or of those of a name."""
        selector = "involvedObject.kind=Pod"
        if name is not None:
            selector += f",involvedObject.name={name}"
        place = namespace or self._scope.namespace
        return Request("GET", EVENT, place, query={"fieldSelector": selector}, collection=True)


class EventFeed(Rounds):
    """What the thread does: tell what happens from the moment on at which the watch begins.

    What happened before, each loop lists for its own pod.
    """

    def __init__(self, desk: EventDesk, clock: Callable[[], float] = monotonic) -> None:
        self.timeout = desk._timeout.partial(timedelta.max)
        self.timeout.operation = "Following events"
        self.health = Health(self._warn, clock)
        self.is_open = False
        self._desk = desk
        self._version: str | None = None
        self._log = desk._log
        call = Call(desk._client, self.timeout, desk._log, idle_seconds=desk._idle_seconds)
        super().__init__(call, self.health, desk._max_age_seconds, clock)

    def _lose_track(self) -> None:
        self._version = None

    def _round(self, call: Call) -> None:
        begins = self._version is None
        request = self._desk.request()
        if begins:
            first = attrs.evolve(request, query={**request.query, "limit": "1"})
            answer = call.attempt(first)
            if not answer.is_success:
                raise judged(call, first, answer)
            version = mapping_at(answer.read_list(), "metadata").get("resourceVersion")
            if not isinstance(version, str) or not version:
                raise TransientError("the list names no version")
            self._version = version
        query = {
            **request.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._version),
            "timeoutSeconds": str(self._seconds),
        }
        request = attrs.evolve(request, query=query)
        self._watches_since = self._clock()
        opened = call.open(request)
        if isinstance(opened, Answer):
            raise judged(call, request, opened)
        until = self._clock() + self._seconds + OVERTIME_SECONDS
        with closing(opened):
            if begins:
                self._desk.tell_gap(self)
            opened.heard()
            for line in read_lines(opened, self._seconds):
                if line is not BLANK:
                    opened.heard()
                    self._hear(line)
                    self.health.succeed()
                if self._clock() > until:
                    return
        self.health.succeed()

    def _hear(self, line: Any) -> None:
        kind, content = mapping_at(line).get("type"), mapping_at(line, "object")
        if kind == "ERROR":
            code = content.get("code")
            if code == 410:
                raise GoneError
            raise TransientError(str(content.get("message")), code if type(code) is int else None)
        version = mapping_at(content, "metadata").get("resourceVersion")
        if not isinstance(version, str) or kind not in _KINDS:
            raise DecodeError("a line that is not an event")
        if kind in ("ADDED", "MODIFIED"):
            self._desk.tell(content)
        self._version = version

    def _warn(self, text: str) -> None:
        self._log.warning("Following events failed", reason=text)


_KINDS: Final = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK"})
