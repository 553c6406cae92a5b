"""Requests side by side: the caller's thread, and some that help it while it works."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lab_storage._api.call import Call
from lab_storage._transport.background import start_thread
from lab_storage._transport.fork import renew_after_fork, renew_if_forked
from lab_storage.exceptions import LabStorageError, OperationTimeoutError
from lab_storage.timeout import Signal

T = TypeVar("T")

# For all callers of a storage together: what an API server bears from one client.
MOST_WORKERS = 32
# How long a worker may take, after a cancel or the deadline, to notice.
GRACE_SECONDS = 0.15


class Workers:
    """Threads that help callers with their requests, no more than a bound.

    Nobody waits for a free one: the caller does its tasks itself, one after
    another, and workers that are free take some of them. They live as long as
    the call they help. So a call cannot be held up by other calls, and after it
    nothing is left that a fork or the end of the process would meet.
    """

    def __init__(self, most: int = MOST_WORKERS) -> None:
        self._most = most
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """The workers of the parent are not here, and hold nothing."""
        # A place is taken and given back by one call of C each, since an exception of a
        # signal handler may come between any two.
        self._free = deque([True] * self._most)

    def run(self, call: Call, tasks: Sequence[Callable[[Call], T]]) -> list[T]:
        """Do all tasks, and give what they return, in order. Blocks.

        Raises
        ------
        LabStorageError
            The first error of a task. The others are cancelled then and none is
            running any more, so that nothing is sent after this has raised.
        """
        renew_if_forked()
        return _Batch(call, tasks, self._free).run()


class _Batch:
    """The tasks of one call."""

    def __init__(
        self,
        call: Call,
        tasks: Sequence[Callable[[Call], Any]],
        free: deque[bool],
    ) -> None:
        self._call = call
        self._part = call.part()
        self._free = free
        self._todo = deque(enumerate(tasks))
        self._results: list[Any] = [None] * len(tasks)
        self._errors: list[BaseException] = []
        self._helpers = 0
        self._lock = threading.Lock()
        self._all_gone = Signal()
        # Set at a cancel too, which is not their end.
        self._wake = Signal()

    def run(self) -> list[Any]:
        try:
            self._start_helpers(len(self._todo) - 1)
            self._work(LabStorageError)
            self._wait()
        except BaseException:
            # What somebody threw into this thread leaves it at once.
            self._abandon()
            raise
        if self._errors:
            raise _most_telling(self._errors)
        return self._results

    def _start_helpers(self, wanted: int) -> None:
        # One for this method, so that the first helper's end is not taken for the last's.
        self._helpers = 1
        for _ in range(wanted):
            place: list[bool] = []
            try:
                if not self._take(place):
                    break
                # A copy each: what structlog has bound in the caller counts in them too.
                run = contextvars.copy_context().run
                thread = threading.Thread(
                    target=run, args=(self._help, place), name="lab_storage-worker", daemon=True
                )
                with self._lock:
                    self._helpers += 1
                if not start_thread(thread):
                    # Those that are there will do.
                    self._give_back(place)
                    self._leave()
                    break
            except BaseException:
                # Somebody threw it into this thread. The other may run, or may not.
                self._give_back(place)
                raise
        self._leave()

    def _help(self, place: list[bool]) -> None:
        try:
            self._work(BaseException)
        finally:
            self._give_back(place)
            self._leave()

    def _take(self, place: list[bool]) -> bool:
        try:
            place.extend(map(deque.pop, [self._free]))
        except IndexError:
            return False
        return True

    def _give_back(self, place: list[bool]) -> None:
        try:
            self._free.extend(map(list.pop, [place]))
        except IndexError:
            pass  # done before

    def _leave(self) -> None:
        with self._lock:
            self._helpers -= 1
            if self._helpers == 0:
                self._all_gone.set()
                self._wake.set()

    def _work(self, kept: type[BaseException]) -> None:
        """Do what is still to do; errors of the kind ``kept`` are kept for the caller."""
        while True:
            try:
                place, task = self._todo.popleft()
            except IndexError:
                return
            try:
                self._results[place] = task(self._part)
            except kept as error:
                self._errors.append(error)
                self._abandon()

    def _abandon(self) -> None:
        self._todo.clear()
        self._part.timeout.cancel()

    def _wait(self) -> None:
        timeout = self._call.timeout
        timeout._wait(self._wake, timeout._left())
        if not self._all_gone.wait(GRACE_SECONDS) and not self._errors:
            self._call.check()


def _most_telling(errors: Sequence[BaseException]) -> BaseException:
    """The first; but of those at the deadline, one that says what was missing."""
    first = errors[0]
    if isinstance(first, OperationTimeoutError) and first.last is None:
        timeouts = (each for each in errors if isinstance(each, OperationTimeoutError))
        return next((each for each in timeouts if each.last is not None), first)
    return first
