"""One thread that does things later: the clock of all controllers."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOGGER = logging.getLogger("lab_storage.testing")


class Timers:
    """Runs actions after a while, one at a time, in the order of their times.

    An action that raises is logged with its traceback and does not end the
    others. Actions that are still to come when it is closed are dropped.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="embedded-controllers", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def after(self, delay_seconds: float, action: Callable[[], None]) -> None:
        """Run an action after a while; thread-safe, and does not block."""
        with self._condition:
            entry = (time.monotonic() + delay_seconds, next(self._order), action)
            heapq.heappush(self._queue, entry)
            if self._queue[0] is entry:
                self._condition.notify()

    def soon(self, action: Callable[[], None]) -> None:
        """Run an action as soon as those before it have run."""
        self.after(0.0, action)

    def close(self) -> None:
        """End the thread, once the action that runs now has ended."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                action = self._next()
            if action is None:
                return
            try:
                action()
            except Exception:
                _LOGGER.exception("a controller of the embedded API server failed")

    def _next(self) -> Callable[[], None] | None:
        while not self._closed:
            if not self._queue:
                self._condition.wait()
                continue
            left_seconds = self._queue[0][0] - time.monotonic()
            if left_seconds <= 0:
                return heapq.heappop(self._queue)[2]
            self._condition.wait(left_seconds)
        return None
