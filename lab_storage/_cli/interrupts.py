"""Ctrl-C, and the signals that ask a program to end: they cancel the running call."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType, TracebackType

from lab_storage._cli.failures import Exit, InterruptedBySignal
from lab_storage.timeout import Timeout

__all__ = ["Interrupts"]

# From Ctrl-C in a terminal, from `kill` and service managers, from a terminal that closes.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns signals into `Timeout.cancel`, as long as it is entered.

    A signal that comes while nothing can be cancelled raises `InterruptedBySignal`. One
    that was ignored when the program started, such as under `nohup`, stays ignored.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._timeout: Timeout | None = None
        self._restore = ExitStack()

    def __enter__(self) -> Interrupts:
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:
                signal.signal(number, self._handle)
                self._restore.callback(signal.signal, number, before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore.close()

    @property
    def exit_code(self) -> int:
        """The exit code of a program that a signal ended: 130 for Ctrl-C."""
        return Exit.SIGNAL + (self._signal or signal.SIGINT)

    @contextmanager
    def cancelling(self, timeout: Timeout) -> Iterator[None]:
        """Have a signal cancel ``timeout``, and do nothing else, during the body."""
        before, self._timeout = self._timeout, timeout
        try:
            yield
        finally:
            self._timeout = before

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number
        if self._timeout is None:
            raise InterruptedBySignal
        self._timeout.cancel()
