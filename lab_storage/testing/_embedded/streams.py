"""Watches: what is seen of the changes, from where and through what one looks.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (Efficient
detection of changes, Watch bookmarks, Streaming lists).
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from .errors import version_too_large
from .resources import namespace_of

if TYPE_CHECKING:
    from .lists import ListOptions
    from .resources import Object, Resource
    from .store import Change, Store

#: What the bookmark carries that ends the events of what exists already.
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Stream:
    """What a watch has still to say: filled by the store, read by one thread.

    Guarantees that the events of one version and later come in order, none of
    them twice, none left out. It never blocks the store, and keeps what a slow
    reader has not read.
    """

    def __init__(
        self, store: Store, resource: Resource, namespace: str | None, options: ListOptions
    ) -> None:
        self._store = store
        self._resource = resource
        self._namespace = namespace
        self._selector = options.selector
        self._after = self._begun = options.version
        self._ready = threading.Condition()
        self._events: deque[tuple[str, Object]] = deque()
        self._closed = False

    @classmethod
    def open(
        cls, store: Store, resource: Resource, namespace: str | None, options: ListOptions
    ) -> Stream:
        """Begin a watch: what exists or what happened since, and what comes.

        Raises
        ------
        APIError
            410: compacted; 504: a version to come, where the watch begins with
            what exists.
        """
        stream = cls(store, resource, namespace, options)
        with store.lock:
            begins_with_all = options.initial_events or (
                options.initial_events is None and not options.version
            )
            if begins_with_all:
                if options.version > store.version:
                    raise version_too_large(options.version, store.version)
                if not options.version_given:
                    store.note_list(resource)
                for obj in store.items(resource, namespace):
                    if options.selector.matches(obj):
                        stream._events.append(("ADDED", obj))
                stream._begun = store.progress(resource)
                # Also where nobody asked for initial events by name: kube-apiserver 1.37.
                if options.bookmarks:
                    stream._events.append(("BOOKMARK", stream._bookmark(INITIAL_EVENTS_END)))
            elif options.version:
                for change in store.since(resource, options.version):
                    stream._take(change)
                    stream._begun = change.version
            store.subscribe(stream._take)
        return stream

    def next(self, timeout_seconds: float | None) -> tuple[str, Object] | None:
        """Wait for the next event; ``None`` once closed, or after the timeout."""
        with self._ready:
            self._ready.wait_for(lambda: self._events or self._closed, timeout_seconds)
            return self._events.popleft() if self._events and not self._closed else None

    def bookmark(self) -> tuple[str, Object] | None:
        """Give a bookmark; ``None`` while there are events to be read, or none is due.

        One that says no more than the events with which the watch began is not sent.
        """
        with self._store.lock, self._ready:
            if self._events or self._store.progress(self._resource) <= self._begun:
                return None
            return "BOOKMARK", self._bookmark()

    @property
    def closed(self) -> bool:
        """Whether nothing more comes."""
        return self._closed

    def close(self) -> None:
        """End the watch; from any thread, any number of times."""
        with self._store.lock:
            if self._closed:
                return
            self._closed = True
            self._store.unsubscribe(self._take)
        with self._ready:
            self._ready.notify_all()

    def _bookmark(self, *annotations: str) -> Object:
        metadata: Object = {"resourceVersion": str(self._store.progress(self._resource))}
        if annotations:
            metadata["annotations"] = dict.fromkeys(annotations, "true")
        return {"metadata": metadata}

    def _take(self, change: Change) -> None:
        if change.resource is not self._resource or change.version <= self._after:
            return
        if self._namespace is not None and namespace_of(change.obj) != self._namespace:
            return
        seen = change.seen_through(self._selector.matches)
        if seen is not None:
            with self._ready:
                self._events.append(seen)
                self._ready.notify()
