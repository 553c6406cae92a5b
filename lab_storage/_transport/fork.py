"""What has to be made anew in a child after a fork."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Renewed(Protocol):
    def after_fork(self) -> None:
        """Forget what the parent's threads may have held or share."""


_objects: weakref.WeakSet[_Renewed] = weakref.WeakSet()


def renew_after_fork(obj: _Renewed) -> None:
    """Have ``obj.after_fork()`` called in each child that is forked while it lives.

    That is before any other code of the child, and there is one thread. So
    nobody can meet a lock that a thread of the parent held at the fork.
    """
    _objects.add(obj)


def _after_fork() -> None:
    for obj in list(_objects):
        obj.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
