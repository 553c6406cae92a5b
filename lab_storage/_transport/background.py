"""Running what cannot be interrupted in a thread that the caller can leave."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections import deque
from collections.abc import Callable, Hashable
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from lab_storage._transport.exchange import Exchange, IdleError
from lab_storage._transport.fork import renew_after_fork, renew_if_forked
from lab_storage.timeout import Signal

T = TypeVar("T")

# How long a thread waits for more to do before it ends.
IDLE_SECONDS = 5.0


class Run(Generic[T]):
    """One run of a function, and whoever waits for its end.

    Attributes
    ----------
    value
        What the function returned.
    error
        What it raised, if it did.
    is_inline
        Whether the thread that asked for it ran it, for want of another.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        # What structlog has bound in the thread that asks counts in the other too.
        self._context = contextvars.copy_context()
        # Whoever takes it runs the function: a single step.
        self._right = [True]
        self.waiting: list[Signal] = []
        self.done = False
        # Nobody else has its result: whoever was to run it was interrupted.
        self.abandoned = False
        self.is_inline = False
        self.value: Any = None
        self.error: BaseException | None = None
        self._trace: TracebackType | None = None

    @property
    def is_taken(self) -> bool:
        """Whether somebody runs the function, or has done so."""
        return not self._right

    def take(self) -> bool:
        """Take it upon oneself to run the function; whether nobody else did before."""
        try:
            self._right.pop()
        except IndexError:
            return False
        return True

    def execute(self) -> None:
        """Run the function. Raises nothing of its own."""
        try:
            self.value = self._context.run(self._function)
        except BaseException as error:
            self.error, self._trace = error, error.__traceback__

    def result(self) -> T:
        """Give `value`, or raise `error`."""
        if self.error is not None:
            # Several threads may raise it: its traceback must not grow at each.
            raise self.error.with_traceback(self._trace)
        return cast("T", self.value)


class Background:
    """Runs functions in a few threads; one run of a function serves all who ask for it.

    The threads are started when they are needed and end when they are idle. Where none can
    be started (at the end of the interpreter, at a container's limit) the caller's
    thread does it.

    There is no lock: an exception of a signal handler may come between any two steps, and a
    handler may itself use this. So each step is a single operation of a container, and
    the order of the steps sees to it that no run is forgotten.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """The parent's threads are not here."""
        self._places = deque([True] * self._most)
        self._runs: dict[Hashable, Run[Any]] = {}
        self._todo: deque[tuple[Hashable, Run[Any]]] = deque()
        self._idle: deque[Signal] = deque()

    def run(
        self, key: Hashable, function: Callable[[], T], exchange: Exchange, seconds: float
    ) -> Run[T]:
        """Wait for the run of ``function`` that is in progress for ``key``, or begin one.

        Blocks until it is done, which may be by an error, but not longer than ``seconds`` or the
        exchange lasts. It goes on then, and the next to ask for ``key`` joins it.

        Raises
        ------
        ExchangeOverError
            At the deadline or a cancel.
        IdleError
            After ``seconds``.
        """
        renew_if_forked()
        while True:
            new = Run(function)
            run = self._runs.setdefault(key, new)
            is_own = (run is new or self._is_forgotten(key, run)) and self._schedule(key, run)
            if not run.done:
                self._wait(run, exchange, seconds)
            if is_own or not run.abandoned:
                return run

    def _wait(self, run: Run[Any], exchange: Exchange, seconds: float) -> None:
        signal = Signal()
        run.waiting.append(signal)
        try:
            if not run.done:
                exchange.wait(signal, seconds)
        finally:
            _remove(run.waiting, signal)
        if not run.done:
            exchange.seconds()
            raise IdleError(f"nothing heard for {seconds:g} s")

    def _is_forgotten(self, key: Hashable, run: Run[Any]) -> bool:
        """Whether no thread will come to a run: whoever made it has been interrupted since."""
        is_expected = (key, run) in self._todo and len(self._places) < self._most
        return not run.is_taken and not is_expected

    def _schedule(self, key: Hashable, run: Run[Any]) -> bool:
        """Have a thread execute a run; without one, do it here. Whether it was done here."""
        task = key, run
        self._todo.append(task)
        if self._wake_thread() or self._start_thread():
            return False
        _remove(self._todo, task)
        try:
            if not run.take():
                return False
            run.is_inline = True
            run.execute()
            # An error may be somebody's exception, raised into this thread alone.
            run.abandoned = run.error is not None
        except BaseException:
            # Somebody's exception, between two steps.
            run.abandoned = True
            raise
        finally:
            if run.is_inline or run.abandoned:
                self._end(key, run)
        return True

    def _end(self, key: Hashable, run: Run[Any]) -> None:
        if self._runs.get(key) is run:
            self._runs.pop(key, None)
        run.done = True
        try:
            while True:
                run.waiting.pop().set()
        except IndexError:
            pass

    def _wake_thread(self) -> bool:
        try:
            self._idle.pop().set()
        except IndexError:
            return False
        return True

    def _start_thread(self) -> bool:
        """Whether there is a thread that will come to what is to do."""
        place: list[bool] = []
        try:
            try:
                place.extend(map(deque.pop, [self._places]))
            except IndexError:
                return True  # all are busy
            thread = threading.Thread(
                target=self._work, args=(place,), name=self._name, daemon=True
            )
            if start_thread(thread):
                return True
            self._give_back(place)
        except BaseException:
            # The thread may run, or may not.
            self._give_back(place)
            raise
        return False

    def _give_back(self, place: list[bool]) -> None:
        try:
            self._places.extend(map(list.pop, [place]))
        except IndexError:
            pass  # done before

    def _work(self, place: list[bool]) -> None:
        while True:
            signal = Signal()
            while self._todo:
                try:
                    key, run = self._todo.popleft()
                except IndexError:
                    continue  # another thread has taken it
                if run.take():
                    run.execute()
                    # Before anybody hears of its end, and asks for the next.
                    self._idle.append(signal)
                    self._end(key, run)
                    del key, run
                    break
            else:
                self._idle.append(signal)
            # Before this, somebody may have found no idle thread.
            if self._todo and _remove(self._idle, signal):
                continue
            if signal.wait(IDLE_SECONDS) or not _remove(self._idle, signal):
                continue
            self._give_back(place)
            # Again: somebody may have found that all are busy.
            if not self._todo:
                return
            try:
                place.extend(map(deque.pop, [self._places]))
            except IndexError:
                return  # others have come


def _remove(items: Any, item: object) -> bool:
    try:
        items.remove(item)
    except (ValueError, IndexError):
        return False
    return True


def start_thread(thread: threading.Thread) -> bool:
    """Start a thread; whether the system has given one.

    What somebody throws into this thread meanwhile leaves it as what it is. From
    ``Thread.start`` itself a KeyError may come in its place, or a RuntimeError as where there are
    no more threads, though the thread runs.
    """
    handled = sys.exc_info()[1]
    try:
        thread.start()
    except BaseException as error:
        failure = error
    else:
        return True
    while failure.__context__ is not None and failure.__context__ is not handled:
        failure = failure.__context__
    if isinstance(failure, RuntimeError) and type(failure).__module__ == "builtins":
        return False
    raise failure
