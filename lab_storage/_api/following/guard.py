"""A lock that the end of a loop need not wait for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType


class Guard:
    """A lock, and what is left to whoever holds it.

    Python collects garbage in whatever thread allocates, which may hold the lock. What that runs,
    such as the end of a loop that somebody has forgotten, must not wait for the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: deque[Callable[[], None]] = deque()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()
        if self._left:
            self._do_what_is_left()

    def leave(self, do: Callable[[], None]) -> None:
        """Have something done under the lock: now, or by whoever holds it, as it is released."""
        self._left.append(do)
        self._do_what_is_left()

    def _do_what_is_left(self) -> None:
        # Whoever holds the lock looks again after it is released.
        while self._left and self._lock.acquire(blocking=False):
            try:
                while self._left:
                    self._left.popleft()()
            finally:
                self._lock.release()
