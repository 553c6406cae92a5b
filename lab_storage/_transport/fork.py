"""What has to be made anew in a child after a fork."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class _Renewed(Protocol):
    def after_fork(self) -> None:
        """Forget what the parent's threads may have held or share."""


_objects: weakref.WeakSet[_Renewed] = weakref.WeakSet()
_pid = os.getpid()
# A lock by the id of the process that renews: no thread of its parent can be holding it.
_renewing: dict[int, threading.Lock] = {}


def renew_after_fork(obj: _Renewed) -> None:
    """Have ``obj.after_fork()`` called in each child that is forked while it lives.

    With Python's own fork that happens before any other code of the child, in its only
    thread. After another fork it happens at the next `renew_if_forked`, which every entry into
    what belongs to a process begins with, before it takes a lock. So nobody can meet a lock
    that a thread of the parent held at the fork.
    """
    _objects.add(obj)


def renew_if_forked() -> None:
    """Renew everything, if this is a child of a fork that ran none of Python's hooks.

    uWSGI and other programs in C fork so. Where nothing has happened it costs a system
    call, ``getpid``.
    """
    pid = os.getpid()
    if pid != _pid:
        with _renewing.setdefault(pid, threading.Lock()):
            if pid != _pid:
                _renew()


def _renew() -> None:
    global _pid
    for obj in list(_objects):
        obj.after_fork()
    _pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
