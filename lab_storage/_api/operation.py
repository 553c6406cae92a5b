"""One call of the library: its deadline, its log, and what went wrong last in it."""

from __future__ import annotations

from collections.abc import Callable
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
        self._parent: Operation | None = None
        self._last: str | None = None
        self._cause: BaseException | None = None

    @property
    def last(self) -> str | None:
        """The last failure, or what is being waited for: a timeout tells it.

        Of a part it is the part's own; of the whole it is that of any part, too.
        """
        return self._last

    @last.setter
    def last(self, text: str | None) -> None:
        self.fail(text, None)

    def fail(self, text: str | None, cause: BaseException | None) -> None:
        """Note what went wrong, and the exception that is the cause of a timeout then."""
        self._last, self._cause = text, cause
        if self._parent is not None:
            self._parent.fail(text, cause)

    def part(self) -> Operation:
        """The same operation, to be cancelled by itself."""
        part = Operation(self.timeout.partial(timedelta.max), self.log, self.user)
        part._whole = self._whole
        part._parent = self
        part._last, part._cause = self._last, self._cause
        return part

    def over(self) -> LabStorageError | None:
        """The error that ends this call, once it is cancelled or expired."""
        name = self.timeout.operation
        if self.timeout.cancelled:
            return OperationCancelledError(name, self.user)
        if self.timeout.expired:
            error = OperationTimeoutError(name, self.user, self._whole.elapsed(), self.last)
            error.__cause__ = self._cause
            return error
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
        self.write(self.log.debug, event, kind=kind, namespace=namespace, name=name)

    def write(self, write: Callable[..., Any], event: str, **fields: Any) -> None:
        """Write a line to the log.

        With `structlog.stdlib.render_to_log_kwargs` the fields become attributes of a
        `logging.LogRecord`, which has a ``name`` of its own and refuses another by a KeyError.
        """
        try:
            write(event, user=self.user, **fields)
        except KeyError:
            fields["object_name"] = fields.pop("name", None)
            write(event, user=self.user, **fields)
