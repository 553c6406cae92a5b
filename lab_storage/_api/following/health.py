"""How a watch fares, for those who ask and for the log."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

import attrs

from lab_storage._api.call import Call
from lab_storage.exceptions import KubernetesError, one_line
from lab_storage.timeout import Signal

# What does not get better is logged that often.
LOG_SECONDS: Final = 60.0


class Health:
    """Whether a watch works, and what is wrong with it.

    Attributes
    ----------
    last_failure
        What is wrong now, or `None`.
    refusal
        The error by which the server refuses the watch, while it does.
    refusals
        How often it did in a row.
    """

    def __init__(
        self, warn: Callable[[str], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._warn = warn
        self._clock = clock
        self._warned_at = float("-inf")
        self._lock = threading.Lock()
        self._signals: dict[Signal, None] = {}
        self.last_failure: str | None = None
        self.refusal: KubernetesError | None = None
        self.refusals = 0

    def succeed(self, *, is_news: bool = False) -> None:
        """The watch works. Those who wait learn of it if it did not before, or ``is_news``."""
        if self.last_failure is None and not is_news:
            return
        with self._lock:
            self.last_failure = self.refusal = None
            self.refusals = 0
        self._wake()

    def fail(self, error: Exception) -> None:
        """The watch does not work; warn of it, unless that was done lately."""
        text = one_line(str(error) or type(error).__name__)
        with self._lock:
            self.last_failure = text
            self.refusal = error if isinstance(error, KubernetesError) else None
            self.refusals = self.refusals + 1 if self.refusal is not None else 0
            is_due = self._clock() - self._warned_at >= LOG_SECONDS
            if is_due:
                self._warned_at = self._clock()
        if is_due:
            # A log that cannot be written, such as a pipe that nobody reads, must not end the
            # thread: it has nobody to tell.
            with contextlib.suppress(Exception):
                self._warn(text)
        self._wake()

    def add(self, signal: Signal) -> None:
        """Set a signal at the next news of this kind."""
        with self._lock:
            self._signals[signal] = None

    def remove(self, signal: Signal) -> None:
        """Leave a signal alone again."""
        with self._lock:
            self._signals.pop(signal, None)

    def _wake(self) -> None:
        with self._lock:
            signals = list(self._signals)
            self._signals.clear()
        for signal in signals:
            signal.set()


def refusal_for(call: Call, error: KubernetesError) -> KubernetesError:
    """The refusal of a watch, as an error of one of the calls that it concerns."""
    own = attrs.evolve(error, user=call.user, operation=call.timeout.operation)
    own.__cause__ = error.__cause__
    return own
