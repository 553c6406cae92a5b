"""A container that nobody looks into by accident: for what may contain a Secret's values."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Sealed"]

T = TypeVar("T")


class Sealed(Generic[T]):
    """Holds a value that neither `repr` nor a printer of local variables shows.

    structlog's renderers, rich and many others print the local variables of each frame of a
    traceback, and open containers, attrs classes and dataclasses on the way. So whatever may
    contain a Secret is kept in one of these, and is opened only where it is used.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def __repr__(self) -> str:
        return f"<sealed {type(self._value).__name__}>"

    def open(self) -> T:
        """Give the value. Do not keep it in a local variable."""
        return self._value
