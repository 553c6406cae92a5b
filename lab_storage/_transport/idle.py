"""Connections that are not in use, and the thread that closes those that are of no more use."""

from __future__ import annotations

import queue
import threading
import weakref
from collections import deque
from time import monotonic
from typing import Any

from lab_storage._transport.background import start_thread
from lab_storage._transport.fork import renew_after_fork
from lab_storage.timeout import Signal

# A connection that nobody used for this long is closed, not kept.
KEEP_SECONDS = 120.0
# How often the idle connections are looked at.
SWEEP_SECONDS = 1.0
# As many of a pool wait for the next call to be looked at. For more there is a thread.
MOST_UNWATCHED = 20


class IdleConnections:
    """The connections of a pool that are not in use: as many as there ever were at once.

    urllib3's own bound would have a connection thrown away, with a warning, for
    each thread above it. Those that are not used for `KEEP_SECONDS` go, and those
    that the other side has closed: at the next call, or by themselves if there are many.

    It has what a pool needs of a `queue.LifoQueue`, and no lock. The one of a queue stays
    locked for ever where an exception of a signal handler comes between its being taken and
    the ``with``; here each step is a single one.
    """

    def __init__(self, maxsize: int = 0) -> None:
        del maxsize
        self._idle: deque[Any] = deque()
        self._swept = monotonic()
        _sweeper.add(self)

    def put(self, item: Any, block: bool = True) -> None:
        """Keep a connection. None is "make one" to a pool, which an empty queue says too."""
        del block
        if item is None:
            return
        item.last_used = now = monotonic()
        self._idle.append(item)
        if now - self._swept > SWEEP_SECONDS:
            self.sweep()
        if len(self._idle) > MOST_UNWATCHED:
            _sweeper.start()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Give the connection that was in use last."""
        del block, timeout
        try:
            item = self._idle.pop()
        except IndexError:
            # It may have been the last, as at the end of a storage.
            _sweeper.wake()
            raise queue.Empty from None
        if item.last_used < monotonic() - KEEP_SECONDS:
            # Something on the way may have forgotten it. It opens itself anew.
            item.close()
        return item

    def __len__(self) -> int:
        return len(self._idle)

    def sweep(self) -> None:
        """Close what is of no more use."""
        self._swept = monotonic()
        oldest = self._swept - KEEP_SECONDS
        for item in list(self._idle):
            if item.last_used < oldest or not item.is_connected:
                try:
                    self._idle.remove(item)
                except (ValueError, IndexError):
                    continue  # in use again
                item.close()


class Sweeper:
    """Sweeps the idle connections of a process after a burst of calls, until there are none.

    Without its thread, what a burst has opened would keep its descriptors until the
    next call, though the server closed the connections long ago.
    """

    def __init__(self) -> None:
        self._pools: weakref.WeakSet[IdleConnections] = weakref.WeakSet()
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """The parent's thread is not here, and its connections are not ours to close."""
        self._pools = weakref.WeakSet()
        self._is_running = False
        self._pace = Signal()
        # Whoever takes it starts the thread. That is a single step, as a lock's would not be.
        self._right_to_start = deque([True])

    def add(self, pool: IdleConnections) -> None:
        """Sweep this one, too, while it lives."""
        self._pools.add(pool)

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._is_running:
            return
        right: list[bool] = []
        try:
            right.extend(map(deque.pop, [self._right_to_start]))
        except IndexError:
            return
        self._is_running = True
        try:
            thread = threading.Thread(
                target=self._run, args=(right,), name="lab_storage-idle", daemon=True
            )
            # Without one, the next call closes them.
            is_started = start_thread(thread)
        except BaseException:
            self._give_back(right)
            raise
        if not is_started:
            self._give_back(right)

    def _give_back(self, right: list[bool]) -> None:
        try:
            self._right_to_start.extend(map(list.pop, [right]))
        except IndexError:
            return
        self._is_running = False

    def wake(self) -> None:
        """Have the thread end at once, if there are none any more."""
        if self._is_running:
            self._pace.set()

    def _run(self, right: list[bool]) -> None:
        while self._are_any():
            self._pace = pace = Signal()
            if not pace.wait(SWEEP_SECONDS):
                for pool in list(self._pools):
                    pool.sweep()
        self._give_back(right)
        # Somebody may have put one in between, and found this running.
        if self._are_any():
            self.start()

    def _are_any(self) -> bool:
        return any(len(pool) for pool in list(self._pools))


_sweeper = Sweeper()
