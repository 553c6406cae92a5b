"""One call of the library: its deadline, its log, and what went wrong last in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from lab_storage.exceptions import (
    LabStorageError,
    OperationCancelledError,
    OperationTimeoutError,
)
from lab_storage.timeout import Timeout


class Operation:
    """What the requests of one call have in common.

    Attributes
    ----------
    timeout
        The deadline, and whether somebody cancelled.
    log
        A structlog logger.
    user
        Whose lab it is about, for messages and logs.
    """

    def __init__(self, timeout: Timeout, log: Any, user: str | None = None) -> None:
        if not isinstance(timeout, Timeout):
            raise TypeError(f"timeout must be a Timeout, not {type(timeout).__name__}")
        self.timeout = timeout
        self.log = log
        self.user = timeout.user if timeout.user is not None else user
        self._whole = timeout
        # Shared with the parts, so that a timeout of the whole tells their failures.
        self._last: list[str] = []

    @property
    def last(self) -> str | None:
        """The last failure, or what is being waited for: a timeout tells it."""
        return self._last[0] if self._last else None

    @last.setter
    def last(self, text: str | None) -> None:
        self._last[:] = [] if text is None else [text]

    def part(self) -> Operation:
        """The same operation, to be cancelled by itself."""
        part = Operation(self.timeout.partial(timedelta.max), self.log, self.user)
        part._whole = self._whole
        part._last = self._last
        return part

    def over(self) -> LabStorageError | None:
        """The error that ends this call, once it is cancelled or expired."""
        name = self.timeout.operation
        if self.timeout.cancelled:
            return OperationCancelledError(name, self.user)
        if self.timeout.expired:
            return OperationTimeoutError(name, self.user, self._whole.elapsed(), self.last)
        return None

    def check(self) -> None:
        """Raise `over`, if it is."""
        error = self.over()
        if error is not None:
            raise error

    def left(self) -> float:
        """Seconds that are left, and more than none; raises `over`."""
        self.check()
        return max(0.001, self.timeout._left())

    def sleep(self, seconds: float) -> None:
        """Block for ``seconds``; raises `over` as soon as it is."""
        self.timeout._sleep(seconds)
        self.check()

    def debug(self, event: str, kind: str, namespace: str | None, name: str | None) -> None:
        """Log what has been done, to which object, for whom."""
        self.log.debug(event, user=self.user, kind=kind, namespace=namespace, name=name)
