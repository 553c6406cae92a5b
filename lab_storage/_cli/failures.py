"""How the program ends: exit codes, and the one line that says why."""

from __future__ import annotations

from enum import IntEnum

from lab_storage.exceptions import one_line

__all__ = [
    "Exit",
    "FailedError",
    "InterruptedBySignal",
    "OutputClosedError",
]


class Exit(IntEnum):
    """Exit codes; of what a signal ends it is 128 and its number, as shells have it."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    TIMEOUT = 3
    SIGNAL = 128


class FailedError(Exception):
    """What ends the program with an exit code and one line on the standard error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(one_line(text))
        self.code = code


class OutputClosedError(Exception):
    """Nobody reads the standard output any more, as behind ``head``."""


class InterruptedBySignal(BaseException):
    """A signal came while nothing was running that could have been cancelled."""
