"""Which pods are followed, and whoever wants to know of them."""

from __future__ import annotations

from typing import Protocol

import attrs

from lab_storage._api.pod_state import PodState

Key = tuple[str, str]
"""Namespace and name of a pod."""


@attrs.frozen
class Scope:
    """Which pods are followed.

    Attributes
    ----------
    prefix
        The prefix of their namespaces.
    namespace
        Their namespace, if it is one.
    label_selector
        The labels that they have, in Kubernetes' notation; `None` for all.
    """

    prefix: str = ""
    namespace: str | None = None
    label_selector: str | None = None

    def covers(self, namespace: str) -> bool:
        """Whether pods of that namespace are followed."""
        if self.namespace is not None:
            return namespace == self.namespace
        return namespace.startswith(self.prefix)


class Listener(Protocol):
    """Whoever wants to know what becomes of pods."""

    def see(self, key: Key, pod: PodState | None) -> None:
        """Learn the state of a pod; `None` once it is gone, or has not the labels any more.

        Called under the view's lock: it must not block, and must not call the view.
        """


class Waiter(Listener, Protocol):
    """Whoever wants to know of one pod, from a state on that is known."""

    def begin(self, pod: PodState | None) -> None:
        """Learn the state to begin with. Called as `see` is."""
