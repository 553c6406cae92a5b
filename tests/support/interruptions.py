"""Exceptions that a task queue or a signal throws into a call."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TimeLimit(Exception):  # noqa: N818 - they are called so
    """As most task queues have one."""


class SocketTimeLimit(OSError):  # noqa: N818
    """One that is easily taken for the network's."""


class ValueTimeLimit(ValueError):  # noqa: N818
    """One that is easily taken for a header that cannot be sent."""


@contextmanager
def alarm(error: BaseException) -> Iterator[None]:
    """Have SIGALRM raise ``error``."""

    def handle(*_: Any) -> None:
        raise error

    previous = signal.signal(signal.SIGALRM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, previous)


def ring() -> None:
    """Send SIGALRM to the main thread."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
