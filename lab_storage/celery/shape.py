"""Where the labs of an app live, and what stays of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import attrs

from lab_storage import LabObjectNames, LabObjects, LabStorage, Timeout

Manifests = list[dict[str, Any]]


@attrs.frozen
class Shape:
    """Where the labs of an app live, and what stays of them.

    Attributes
    ----------
    prefix, names_of, namespace, keep
        As `lab_storage.celery.make_tasks` takes them.
    """

    prefix: str
    names_of: Callable[[str], LabObjectNames] | None
    namespace: str | None
    keep: Collection[str]

    def names(self, username: str) -> LabObjectNames:
        """Make the names of a user's lab."""
        if self.names_of is None:
            return self._default_names(username)
        names = self.names_of(username)
        if self.namespace not in (None, names.namespace):
            raise ValueError(
                f"names_of must give the shared namespace {self.namespace!r}, "
                f"got {names.namespace!r}"
            )
        return names

    def _default_names(self, username: str) -> LabObjectNames:
        own = f"{self.prefix}{username}"
        if self.namespace is None:
            return LabObjectNames(username, own, "lab-env", "lab-quota", "lab")
        return LabObjectNames(
            username, self.namespace, f"env-{username}", f"quota-{username}", own
        )

    def lab(self, username: str, manifests: Manifests) -> LabObjects:
        """Make a user's lab of its manifests."""
        is_shared = self.namespace is not None
        return LabObjects.from_manifests(
            manifests, self.names(username), shared_namespace=is_shared
        )

    def delete(
        self, storage: LabStorage, username: str, manifests: Manifests | None, timeout: Timeout
    ) -> None:
        """Delete a lab: with its namespace, or object by object if that stays."""
        if self.namespace is None and not self.keep:
            storage.delete_namespace(self.names(username).namespace, timeout)
        elif manifests is None:
            raise ValueError(
                "delete needs the manifests of the lab, since its namespace stays: it is shared, "
                "or something in it is kept"
            )
        else:
            storage.delete_objects(self.lab(username, manifests), timeout, keep=self.keep)

    def list_usernames(self, storage: LabStorage, timeout: Timeout) -> list[str]:
        """List the users that have a namespace."""
        if self.namespace is not None:
            raise ValueError(
                "reconcile needs usernames, since the labs share a namespace, where nothing says "
                "whose an object is"
            )
        namespaces = storage.list_namespaces(self.prefix, timeout)
        return [each.removeprefix(self.prefix) for each in namespaces]
