"""What keeps a Secret's values out of printed local variables.

structlog's renderers, rich and many others print the local variables of each frame of a
traceback, and open containers, attrs classes and dataclasses on the way.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Generic, ParamSpec, TypeVar

__all__ = ["Sealed", "forget_locals", "forgets_locals"]

P = ParamSpec("P")
T = TypeVar("T")


class Sealed(Generic[T]):
    """Holds a value that neither `repr` nor a printer of local variables shows.

    Whatever may contain a Secret is kept in one of these, and is opened only where it is used.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"<sealed {type(self._value).__name__}>"

    def open(self) -> T:
        """Give the value. Do not keep it in a local variable."""
        return self._value


def forget_locals(error: BaseException) -> None:
    """Clear the local variables of the frames that an error has left, and of those behind it."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        traceback.clear_frames(found.__traceback__)
        found = found.__cause__ or found.__context__


def forgets_locals(function: Callable[P, T]) -> Callable[P, T]:
    """Have errors leave a function without its arguments and local variables.

    For functions that have to work on what may be secret. The lines of the traceback stay.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            forget_locals(error)
            raise

    return wrapper
