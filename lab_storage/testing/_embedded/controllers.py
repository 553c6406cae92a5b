"""The controllers: ServiceAccounts, quotas, claims, and namespaces that go.

They act after a change, in the thread of `Timers`, and never inside a request.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import attrs

from . import quota as quota_rules
from .arguments import an_optional_duration
from .deletion import COLLECTED
from .namespaces import NamespaceController
from .resources import (
    ACCOUNTS,
    CLAIMS,
    CONFIG_MAPS,
    NAMESPACES,
    PODS,
    QUOTAS,
    is_going,
    name_of,
    namespace_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .objects import Objects
    from .resources import Object, Resource
    from .store import Change
    from .timers import Timers

_MANAGER = "kube-controller-manager"
_ACCOUNT: Object = {"metadata": {"name": "default"}}
_ROOT_CA: Object = {
    "metadata": {
        "name": "kube-root-ca.crt",
        "annotations": {"kubernetes.io/description": "This server speaks plain HTTP."},
    },
    "data": {"ca.crt": ""},
}


@attrs.define
class Delays:
    """How late the controllers are; ``None`` means never. May be changed at any time.

    Attributes
    ----------
    service_account
        From a new namespace to its default ServiceAccount.
    quota
        From a new or changed quota until its usage is known. Until then whatever it
        limits is refused: "status unknown for quota".
    namespace
        From the deletion of a namespace until its content is being deleted.
    """

    service_account: timedelta | None = attrs.field(
        default=timedelta(0), validator=an_optional_duration
    )
    quota: timedelta | None = attrs.field(default=timedelta(0), validator=an_optional_duration)
    namespace: timedelta | None = attrs.field(default=timedelta(0), validator=an_optional_duration)


class Controllers:
    """Reacts to changes; `saw` is to be subscribed to the store.

    None of them follows owner references: the garbage collector here only removes its
    finalizers.
    """

    def __init__(self, objects: Objects, timers: Timers, delays: Delays) -> None:
        self._objects = objects
        self._store = objects.store
        self._timers = timers
        self._delays = delays
        self._namespaces = NamespaceController(objects, timers)

    def break_discovery(self, *, broken: bool) -> None:
        """Keep namespaces from being deleted, or let them be."""
        self._namespaces.break_discovery(broken=broken)

    def saw(self, change: Change) -> None:
        """Plan what follows from a change."""
        obj, resource = change.obj, change.resource
        namespace, delay = namespace_of(obj), self._delays.namespace
        if change.type != "DELETED" and is_going(obj):
            if set(COLLECTED) & set(obj["metadata"].get("finalizers", ())):
                self._timers.soon(lambda: self._collect(resource, obj))
            if resource is NAMESPACES and _begins_to_go(change) and delay is not None:
                self._namespaces.begin(obj, delay)
        if resource is NAMESPACES and change.type == "ADDED":
            self._later_account(name_of(obj))
        if resource is CLAIMS or resource is PODS:
            self._timers.soon(lambda: self._release_claims(namespace))
        if resource is QUOTAS and change.type != "DELETED" and _limits_change(change):
            self._quota_changed(obj)
        if change.type == "DELETED" and namespace is not None:
            if resource is ACCOUNTS and name_of(obj) == "default":
                self._later_account(namespace)
            self._namespaces.look_at(namespace)
        if resource is not QUOTAS and namespace is not None and _frees(change):
            self._timers.soon(lambda: self._recount(namespace))

    # ServiceAccounts

    def _later_account(self, namespace: str) -> None:
        self._after(self._delays.service_account, lambda: self._make_account(namespace))

    def _make_account(self, namespace: str) -> None:
        with self._store.lock:
            if not self._is_alive(namespace):
                return
            for resource, manifest in ((ACCOUNTS, _ACCOUNT), (CONFIG_MAPS, _ROOT_CA)):
                name = name_of(manifest)
                if self._store.get(resource, namespace, name) is None:
                    self._objects.create(resource, namespace, manifest, _MANAGER)

    def _is_alive(self, namespace: str) -> bool:
        found = self._store.get(NAMESPACES, None, namespace)
        return found is not None and not is_going(found)

    # Quotas

    def _quota_changed(self, quota: Object) -> None:
        key = (namespace_of(quota), name_of(quota))

        def limit() -> None:
            if current := self._store.get(QUOTAS, *key):
                status = {**current["status"], "hard": current["spec"].get("hard", {})}
                self._set_quota_status(current, status)

        def count() -> None:
            if current := self._store.get(QUOTAS, *key):
                self._count(current)

        # A late controller has published the limits, but not the usage.
        if self._delays.quota != timedelta(0):
            self._timers.soon(limit)
        self._after(self._delays.quota, count)

    def _recount(self, namespace: str) -> None:
        for quota in self._store.items(QUOTAS, namespace):
            if "used" in quota["status"]:
                self._count(quota)

    def _count(self, quota: Object) -> None:
        with self._store.lock:
            used = quota_rules.used_in(self._store, quota)
            status = {"hard": quota["spec"].get("hard", {}), "used": used}
            self._set_quota_status(quota, status if status["hard"] else {})

    def _set_quota_status(self, quota: Object, status: Object) -> None:
        with self._store.lock:
            if self._store.get(QUOTAS, namespace_of(quota), name_of(quota)) == quota:
                self._objects.set_status(QUOTAS, quota, status, _MANAGER)

    # Finalizers

    def _collect(self, resource: Resource, obj: Object) -> None:
        with self._store.lock:
            current = self._store.get(resource, namespace_of(obj), name_of(obj))
            if current is not None and is_going(current):
                self._objects.drop_finalizers(resource, current, *COLLECTED)

    def _release_claims(self, namespace: str | None) -> None:
        """Let claims go that no pod uses, as the protection controller does."""
        with self._store.lock:
            going = [each for each in self._store.items(CLAIMS, namespace) if is_going(each)]
            if not going:
                return
            used = {
                volume.get("persistentVolumeClaim", {}).get("claimName")
                for pod in self._store.items(PODS, namespace)
                if pod["status"].get("phase") not in ("Succeeded", "Failed")
                for volume in pod["spec"].get("volumes", ())
            }
            for claim in going:
                if name_of(claim) not in used:
                    self._objects.drop_finalizers(CLAIMS, claim, "kubernetes.io/pvc-protection")

    def _after(self, delay: timedelta | None, action: Callable[[], None]) -> None:
        if delay is not None:
            self._timers.after(delay.total_seconds(), action)


def _begins_to_go(change: Change) -> bool:
    return change.previous is not None and not is_going(change.previous)


def _limits_change(change: Change) -> bool:
    before = None if change.previous is None else change.previous["spec"].get("hard")
    return bool(change.obj["spec"].get("hard") != before)


def _frees(change: Change) -> bool:
    """Whether less may be used after a change than before."""
    if change.type == "DELETED":
        return True
    ended = ("Succeeded", "Failed")
    return (
        change.resource is PODS
        and change.previous is not None
        and change.obj["status"].get("phase") in ended
        and change.previous["status"].get("phase") not in ended
    )
