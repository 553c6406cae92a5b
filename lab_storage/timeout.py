"""Deadline and cancellation of blocking calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import NoReturn

from lab_storage.exceptions import OperationCancelledError, OperationTimeoutError

__all__ = ["Timeout"]

# A thread that blocks in C gets an exception that another thread sends it
# (PyThreadState_SetAsyncExc, as the time limits of some task queues do) only
# when it is back in Python. So no wait is longer than this at a time.
SLICE_SECONDS = 0.2


class Timeout:
    """A deadline on the monotonic clock, and the handle to cancel by.

    It starts when it is made. One object may be passed to several calls, one
    after another or at once, and is safe to use from any thread.

    Parameters
    ----------
    operation
        What is being done, for messages: ``"Starting lab"``.
    timeout
        How long it may take. Zero has expired from the start.
    user
        The user whose lab it is, for messages and logs.

    Raises
    ------
    ValueError
        If ``timeout`` is negative.
    TypeError
        If ``timeout`` is not a `datetime.timedelta`, or ``operation`` is not a `str`.
    """

    def __init__(self, operation: str, timeout: timedelta, user: str | None = None) -> None:
        if not isinstance(operation, str):
            raise TypeError(f"operation must be a str, not {type(operation).__name__}")
        if timeout_seconds(timeout) < 0:
            raise ValueError(f"timeout must not be negative: {timeout!r}")
        self.operation = operation
        self.user = user
        self._start = monotonic()
        self._deadline = self._start + timeout.total_seconds()
        # Itself and its ancestors. A child asks all of them whether they are cancelled;
        # a parent does not know its children, which would keep them alive.
        self._line: tuple[Timeout, ...] = (self,)
        self._cancelled = False
        self._waiting_for: str | None = None
        # Called at a cancel. A dict, because its single operations are
        # atomic: a lock here could be held by another thread while this process
        # forks, or by this thread while a signal handler calls cancel().
        self._wakers: dict[object, Callable[[], None]] = {}

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else f"{self._left():.1f} s left"
        return f"<Timeout {self.operation!r}: {state}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "a Timeout cannot be pickled or copied: its clock and its cancel() belong to one "
            "process. Send seconds instead, and make a Timeout of them where they arrive"
        )

    def elapsed(self) -> float:
        """Seconds since this object was made."""
        return monotonic() - self._start

    def left(self) -> float:
        """Seconds that are left.

        Raises
        ------
        OperationCancelledError
            Once it is cancelled, whether it has expired or not.
        OperationTimeoutError
            Once it has expired.
        """
        left = self._left()
        if self.cancelled:
            raise OperationCancelledError(self.operation, self.user)
        if left <= 0:
            raise OperationTimeoutError(self.operation, self.user, self._whole.elapsed())
        return left

    def partial(self, timeout: timedelta) -> Timeout:
        """Make a child, whose deadline is never later than this one's.

        It is cancelled with this one; cancelling the child leaves this one
        alone. The child of an expired or cancelled timeout is expired or cancelled too.

        Parameters
        ----------
        timeout
            How long the part may take; below zero counts as zero.

        Raises
        ------
        TypeError
            If ``timeout`` is not a `datetime.timedelta`.
        """
        seconds = max(0.0, timeout_seconds(timeout))
        child = Timeout(self.operation, timedelta(0), self.user)
        child._deadline = min(self._deadline, child._start + seconds)
        child._line = (child, *self._line)
        return child

    def cancel(self) -> None:
        """End all calls with this object or a child of it.

        Each raises `OperationCancelledError` within 0.25 s. May be called from
        any thread, from a signal handler, and any number of times. Does not
        block.
        """
        self._cancelled = True
        for wake in list(self._wakers.values()):
            wake()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called on this object or on one that it is a part of."""
        # Asked some ten times a request: a generator would cost more than the loop.
        for timeout in self._line:  # noqa: SIM110
            if timeout._cancelled:
                return True
        return False

    @property
    def waiting_for(self) -> str | None:
        """What a call with this object, or with a part of it, is waiting for just now.

        Such as ``ServiceAccount lab-jovyan/default does not exist yet``, for whoever watches a
        long call from another thread. `None` if no call waits for something that it can name.
        """
        return self._waiting_for

    def _note_wait(self, what: str | None) -> None:
        for timeout in self._line:
            timeout._waiting_for = what

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self._left() <= 0

    @property
    def _whole(self) -> Timeout:
        """The timeout that this one is a part of, or a part of a part; else itself."""
        return self._line[-1]

    def _left(self) -> float:
        return self._deadline - monotonic()

    @contextmanager
    def _waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call ``wake`` at a cancel; at once, if that has happened already.

        It is called from the cancelling thread and must not block, and may be
        called more than once.
        """
        key = object()
        self._add_waker(key, wake)
        try:
            yield
        finally:
            self._remove_waker(key)

    def _add_waker(self, key: object, wake: Callable[[], None]) -> None:
        for timeout in self._line:
            timeout._wakers[key] = wake
        if self.cancelled:
            wake()

    def _remove_waker(self, key: object) -> None:
        for timeout in self._line:
            timeout._wakers.pop(key, None)

    def _wait(self, signal: Signal, seconds: float) -> bool:
        """Block until ``signal`` is set, this is cancelled or ``seconds`` are over.

        Returns whether the signal was set. Neither a cancel nor the deadline
        raises here: the caller looks at `left` when it wants to know.
        """
        until = min(self._deadline, monotonic() + seconds)
        with self._waking(signal.set):
            while not signal.wait(min(SLICE_SECONDS, until - monotonic())):
                if until <= monotonic():
                    return False
        return True

    def _sleep(self, seconds: float) -> None:
        """Block for ``seconds``, or less: until the deadline, or a cancel."""
        self._wait(Signal(), seconds)


class Signal:
    """An event that is set once and may be set from a signal handler.

    `threading.Event` may not: its `set` takes a lock that the interrupted
    thread can be holding in `wait`. Releasing a bare lock is a single step.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._unset = [True]

    def set(self) -> None:
        """Wake the waiter, and all later ones."""
        try:
            self._unset.pop()
        except IndexError:
            return  # set before
        self._lock.release()

    @property
    def is_set(self) -> bool:
        """Whether it is set, or about to be."""
        return not self._unset

    def wait(self, seconds: float) -> bool:
        """Block for at most ``seconds``; whether it is set. One waiter at a time."""
        if not self._lock.acquire(timeout=max(0.0, seconds)):
            return False
        self._lock.release()
        return True


def timeout_seconds(timeout: timedelta) -> float:
    """Seconds of a `timedelta`; a clear error for anything else, such as a number."""
    if not isinstance(timeout, timedelta):
        raise TypeError(f"timeout must be a datetime.timedelta, not {type(timeout).__name__}")
    return timeout.total_seconds()
