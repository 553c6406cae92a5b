"""How the program ends: exit codes, and the one line that says why."""

from __future__ import annotations

from enum import IntEnum

from lab_storage.exceptions import one_line

__all__ = [
    "Exit",
    "FailedError",
    "InterruptedBySignal",
    "OutputLostError",
]


class Exit(IntEnum):
    """Exit codes; a program that a signal ended has 128 plus its number, as in a shell."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    TIMEOUT = 3
    TROUBLE = 4
    OUTPUT_LOST = 5
    SIGNAL = 128


class FailedError(Exception):
    """Ends the program with an exit code and one line on the standard error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(one_line(text))
        self.code = code


class OutputLostError(Exception):
    """The standard output has failed, and there is nothing to do but to write to it."""


class InterruptedBySignal(BaseException):
    """A signal came while nothing was running that could have been cancelled."""
