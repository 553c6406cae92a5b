"""How namespaces are deleted: content first, and conditions that say what is left.

The order is that of kube-controller-manager 1.37: pods before all else.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .deletion import DeleteOptions
from .metadata import timestamp
from .resources import NAMESPACES, PODS, is_going, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from .objects import Objects
    from .resources import Object, Resource
    from .timers import Timers

_MANAGER = "kube-controller-manager"
# What the conditions of a namespace say while nothing is in its way.
_FINE = {
    "NamespaceDeletionDiscoveryFailure": (
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": (
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}
# The usual reason for namespaces that do not go: an API service that does not answer.
_BROKEN_DISCOVERY = (
    "DiscoveryFailed",
    (
        "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of "
        "server APIs: metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1"
    ),
)


class NamespaceController:
    """Clears namespaces that are going, in the thread of `Timers`.

    Parameters
    ----------
    objects, timers
        What it works on, and when.
    """

    def __init__(self, objects: Objects, timers: Timers) -> None:
        self._objects = objects
        self._store = objects.store
        self._timers = timers
        self._discovery_is_broken = False
        # By UID: those whose time has come, and those that are looked at again later.
        self._clearing: set[str] = set()
        self._looked_at_again: set[str] = set()

    def break_discovery(self, *, broken: bool) -> None:
        """Keep namespaces from being deleted, or let them be."""
        with self._store.lock:
            self._discovery_is_broken = broken
            for namespace in self._store.items(NAMESPACES):
                self.look_at(name_of(namespace))

    def begin(self, namespace: Object, delay: timedelta) -> None:
        """Begin to clear a namespace, after a while."""
        name, uid = name_of(namespace), namespace["metadata"]["uid"]

        def begin() -> None:
            self._clearing.add(uid)
            self._clear(name)

        self._timers.after(delay.total_seconds(), begin)

    def look_at(self, name: str) -> None:
        """Go on with a namespace, if it is being cleared; does not block."""
        self._timers.soon(lambda: self._clear(name))

    def _clear(self, name: str) -> None:
        """Delete what is in a namespace that is going, pods first, and then itself."""
        with self._store.lock:
            namespace = self._store.get(NAMESPACES, None, name)
            if namespace is None or namespace["metadata"]["uid"] not in self._clearing:
                return
            problems: dict[str, tuple[str, str]] = {}
            if self._discovery_is_broken:
                problems["NamespaceDeletionDiscoveryFailure"] = _BROKEN_DISCOVERY
            self._delete_all(PODS, name)
            if pods := self._store.items(PODS, name):
                if all(_grace_is_over(pod) for pod in pods):
                    problems["NamespaceDeletionContentFailure"] = _unexpected(name)
                self._look_again(namespace, pods)
            else:
                for resource in self._store.resources:
                    if resource.namespaced:
                        self._delete_all(resource, name)
                problems.update(self._remaining(name))
            namespace = self._set_conditions(namespace, problems)
            free = not namespace["metadata"].get("finalizers")
            if not pods and not problems and free:
                self._store.remove(NAMESPACES, namespace)
                self._clearing.discard(namespace["metadata"]["uid"])

    def _look_again(self, namespace: Object, pods: list[Object]) -> None:
        """Look at a namespace again once the grace of its pods is over."""
        name, uid = name_of(namespace), namespace["metadata"]["uid"]
        if uid in self._looked_at_again:
            return
        self._looked_at_again.add(uid)

        def look() -> None:
            self._looked_at_again.discard(uid)
            self._clear(name)

        self._timers.after(_longest_grace_seconds(pods), look)

    def _delete_all(self, resource: Resource, namespace: str) -> None:
        for obj in self._store.items(resource, namespace):
            if not is_going(obj):
                self._objects.delete(resource, namespace, name_of(obj), DeleteOptions())

    def _remaining(self, namespace: str) -> Iterator[tuple[str, tuple[str, str]]]:
        counts = {
            f"{resource.plural}.{resource.group}": len(self._store.items(resource, namespace))
            for resource in self._store.resources
            if resource.namespaced
        }
        finalizers = Counter(
            finalizer
            for resource in self._store.resources
            if resource.namespaced
            for obj in self._store.items(resource, namespace)
            for finalizer in obj["metadata"].get("finalizers", ())
        )
        if left := [f"{what} has {n} resource instances" for what, n in counts.items() if n]:
            text = f"Some resources are remaining: {', '.join(sorted(left))}"
            yield "NamespaceContentRemaining", ("SomeResourcesRemain", text)
        if held := [f"{what} in {n} resource instances" for what, n in finalizers.items()]:
            text = (
                "Some content in the namespace has finalizers remaining: "
                f"{', '.join(sorted(held))}"
            )
            yield "NamespaceFinalizersRemaining", ("SomeFinalizersRemain", text)

    def _set_conditions(self, namespace: Object, problems: dict[str, tuple[str, str]]) -> Object:
        before = {each["type"]: each for each in namespace["status"].get("conditions", ())}
        conditions = []
        for kind, fine in _FINE.items():
            reason, message = problems.get(kind, fine)
            condition = {
                "type": kind,
                "status": "True" if kind in problems else "False",
                "lastTransitionTime": timestamp(),
                "reason": reason,
                "message": message,
            }
            old = before.get(kind, {})
            compared = ("status", "reason", "message")
            same = all(old.get(field) == condition[field] for field in compared)
            conditions.append(old if same else condition)
        status = {**namespace["status"], "conditions": conditions}
        return self._objects.set_status(NAMESPACES, namespace, status, _MANAGER)


def _grace_is_over(pod: Object) -> bool:
    return bool(pod["metadata"]["deletionTimestamp"] < timestamp())


def _longest_grace_seconds(pods: list[Object]) -> float:
    # Deletion times are to the second.
    return 1.0 + max(float(pod["metadata"]["deletionGracePeriodSeconds"]) for pod in pods)


def _unexpected(namespace: str) -> tuple[str, str]:
    text = (
        "Failed to delete all resource types, 1 remaining: unexpected items still remain in "
        f"namespace: {namespace} for gvr: /v1, Resource=pods"
    )
    return "ContentDeletionFailed", text
