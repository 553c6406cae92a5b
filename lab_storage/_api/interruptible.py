"""A generator that any thread may close."""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeVar

from lab_storage._api.call import Call
from lab_storage.exceptions import OperationCancelledError

T = TypeVar("T")


class Interruptible(Generator[T, None, None]):
    """A generator that any thread may close, also while another one waits in it.

    A generator proper refuses that: ``ValueError: generator already executing``.

    Parameters
    ----------
    call
        The call that the generator is.
    make
        Makes the generator from a part of it, which is cancelled to close it.
    """

    def __init__(
        self,
        call: Call,
        make: Callable[[Call], Generator[T, None, None]],
    ) -> None:
        self._part = call.part()
        self._inner = make(self._part)

    def send(self, value: None) -> T:
        """Wait for the next item. Ends, without an error, at a cancel or when closed."""
        if not self._is_cancelled():
            try:
                item = self._inner.send(value)
            except OperationCancelledError:
                raise StopIteration from None
            except ValueError:
                if not self._is_cancelled():
                    raise
                # Another thread is closing it.
                raise StopIteration from None
            if not self._is_cancelled():
                return item
        self._close_inner()
        raise StopIteration

    def _is_cancelled(self) -> bool:
        return self._part.timeout.cancelled

    def throw(
        self,
        kind: Any,
        value: Any = None,
        trace: TracebackType | None = None,
    ) -> T:
        """Raise an exception where the generator waits."""
        error = value if isinstance(value, BaseException) else kind
        return self._inner.throw(error if trace is None else error.with_traceback(trace))

    def close(self) -> None:
        """End it, from any thread. The connection is closed at once."""
        # First: whoever is in it, or comes to it now, sees that it is over.
        self._part.timeout.cancel()
        self._close_inner()

    def _close_inner(self) -> None:
        try:
            self._inner.close()
        except ValueError:
            pass  # another thread is in it, and is on its way out
