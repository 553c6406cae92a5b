"""Objects, their versions, and what happened to them: the server's etcd."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Literal

import attrs

from .errors import expired
from .resources import Resources, name_of, namespace_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .resources import Object, Resource

#: A list at a version that has been compacted.
LIST_EXPIRED = "The resourceVersion for the provided list is too old."


@attrs.frozen
class Change:
    """One thing that happened.

    Attributes
    ----------
    version
        The resource version it made.
    type
        What it was.
    obj
        The object after it; one that is deleted as it was last, with the
        version of its deletion.
    previous
        The object before it, ``None`` for a new one.
    """

    version: int
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    resource: Resource
    obj: Object
    previous: Object | None

    def seen_through(self, matches: Callable[[Object], bool]) -> tuple[str, Object] | None:
        """Return the watch event that this is through a selector.

        An object that stops matching is reported as deleted, with the content that was known
        and the version of this change; one that begins to match is new.
        """
        before = self.previous is not None and matches(self.previous)
        after = self.type != "DELETED" and matches(self.obj)
        if after:
            return ("MODIFIED" if before else "ADDED"), self.obj
        if before and self.previous is not None:
            return "DELETED", versioned(self.previous, self.version)
        return None


def versioned(obj: Object, version: int) -> Object:
    """Give a copy of an object with another resource version."""
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}


class Store:
    """Every object, and the changes of the recent past.

    Thread-safe. `lock` is re-entrant: whoever reads and then writes holds it
    meanwhile. The objects that are returned are the stored ones: they are never changed
    in place, and a change stores a copy.

    Parameters
    ----------
    history
        How many changes of each resource are kept. Older ones are compacted:
        watches and lists from before them are answered 410, as those of a real
        server are whose watch cache has moved on.
    """

    def __init__(self, history: int) -> None:
        self.lock = threading.RLock()
        self.resources = Resources()
        self.version = 1
        # By resource, namespace (or nothing) and name.
        self._objects: defaultdict[Resource, defaultdict[str | None, dict[str, Object]]]
        self._objects = defaultdict(lambda: defaultdict(dict))
        self._history: defaultdict[Resource, deque[Change]]
        self._history = defaultdict(lambda: deque(maxlen=history))
        self._compacted: defaultdict[Resource, int] = defaultdict(int)
        self._floor = 0
        self._progress: defaultdict[Resource, int] = defaultdict(int)
        self._listeners: list[Callable[[Change], None]] = []

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Have a listener called with every change, under the lock, in order."""
        with self.lock:
            self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[Change], None]) -> None:
        """Call a listener no more."""
        with self.lock:
            self._listeners.remove(listener)

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        """Give an object, or ``None``."""
        with self.lock:
            return self._objects[resource][namespace].get(name)

    def items(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        """Give all objects, or those of a namespace, sorted as etcd sorts."""
        with self.lock:
            if namespace is not None:
                found = self._objects[resource][namespace].values()
                return sorted(found, key=name_of)
            spaces = self._objects[resource].values()
            return sorted((each for space in spaces for each in space.values()), key=key_of)

    def items_at(self, resource: Resource, namespace: str | None, version: int) -> list[Object]:
        """Give what `items` gave when that version was the current one.

        Raises
        ------
        APIError
            410: it has been compacted.
        """
        with self.lock:
            if version < self.compacted(resource):
                raise expired(LIST_EXPIRED)
            objects = {key_of(each): each for each in self.items(resource, namespace)}
            for change in reversed(self._history[resource]):
                if change.version <= version:
                    break
                if namespace is not None and namespace_of(change.obj) != namespace:
                    continue
                if change.previous is None:
                    del objects[key_of(change.obj)]
                else:
                    objects[key_of(change.obj)] = change.previous
            return [objects[key] for key in sorted(objects)]

    def since(self, resource: Resource, version: int) -> list[Change]:
        """Give what happened after a version, in order.

        Raises
        ------
        APIError
            410: it has been compacted.
        """
        with self.lock:
            oldest = self.compacted(resource)
            if version < oldest:
                raise expired(f"too old resource version: {version} ({oldest})")
            return [each for each in self._history[resource] if each.version > version]

    def progress(self, resource: Resource) -> int:
        """Give the version that a bookmark names.

        That of the last change of this resource, however far the others have gone
        on, or of the last consistent list: the watch cache of a real server knows no
        more. Seen on kube-apiserver 1.37.
        """
        with self.lock:
            return self._progress[resource] or self.version

    def note_list(self, resource: Resource) -> None:
        """Note a consistent list, by which the watch cache catches up."""
        with self.lock:
            self._progress[resource] = self.version

    def put(self, resource: Resource, obj: Object) -> Object:
        """Store an object, new or changed, and give it with its new version."""
        with self.lock:
            space = self._objects[resource][namespace_of(obj)]
            previous = space.get(name_of(obj))
            stored = space[name_of(obj)] = versioned(obj, self.version + 1)
            self._happened(resource, "ADDED" if previous is None else "MODIFIED", stored, previous)
            return stored

    def remove(self, resource: Resource, obj: Object) -> Object:
        """Remove an object and give it with the version of its deletion."""
        with self.lock:
            previous = self._objects[resource][namespace_of(obj)].pop(name_of(obj))
            removed = versioned(previous, self.version + 1)
            self._happened(resource, "DELETED", removed, previous)
            return removed

    def compact(self) -> int:
        """Forget what happened so far, and give the version up to which."""
        with self.lock:
            self._history.clear()
            self._floor = self.version
            return self.version

    def compacted(self, resource: Resource) -> int:
        """Give the version up to which nothing is known any more."""
        return max(self._floor, self._compacted[resource])

    def _happened(
        self,
        resource: Resource,
        kind: Literal["ADDED", "MODIFIED", "DELETED"],
        obj: Object,
        previous: Object | None,
    ) -> None:
        self.version += 1
        self._progress[resource] = self.version
        change = Change(self.version, kind, resource, obj, previous)
        history = self._history[resource]
        if history.maxlen == len(history):
            self._compacted[resource] = history[0].version
        history.append(change)
        for listener in tuple(self._listeners):
            listener(change)


def key_of(obj: Object) -> str:
    """Give what objects are sorted by: the end of their key in etcd."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)
