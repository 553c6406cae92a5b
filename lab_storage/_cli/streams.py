"""Standard streams that may fail: what is being done goes on, and the exit code says so."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import click

from lab_storage.exceptions import one_line

__all__ = ["Output", "complain", "lenient_streams"]


class Output:
    """A text stream that notes its first failure, and drops everything from then on.

    A full disk, or a reader that has gone, such as ``head``, must not leave a lab half made.
    Characters that the stream cannot encode are written as their codes.

    Attributes
    ----------
    failure
        Why it failed, or `None`.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, unless the stream has failed."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, unless the stream has failed."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or error
        # What is still buffered would fail again when the interpreter ends. A stream without a
        # descriptor raises an OSError here, too.
        with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())


@contextmanager
def lenient_streams() -> Iterator[Output]:
    """Have both streams be an `Output` in the body; gives the standard output."""
    output = Output(sys.stdout)
    with redirect_stdout(output), redirect_stderr(Output(sys.stderr)):
        yield output


def complain(text: str) -> None:
    """Write the one line that says what went wrong to the standard error."""
    line = f"lab-storage: {one_line(text)}"
    if sys.stderr.isatty():
        line = click.style(line, fg="red")
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
