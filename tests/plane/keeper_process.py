"""The tests' side of :mod:`tests.plane.keeper`."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, cast

from . import keeper

CLOSE_SECONDS = 30.0


class ControlPlaneError(Exception):
    """A program of the control plane did not start, or has ended."""


class KeeperProcess:
    """Starts a keeper, and tells it what to do. From any thread.

    Attributes
    ----------
    pid
        Its process.
    folder
        A new folder, which goes with it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C in a terminal goes to every process of the session's
            # foreground group; this one ends when it is told to.
            start_new_session=True,
        )
        # Both are there: PIPE was asked for.
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)
        self.pid = self._process.pid
        self.folder = Path(self._ask("make_folder")["folder"])

    def start(self, program: str, argv: list[str], cwd: Path, log: Path) -> int:
        """Start a program; its process."""
        answer = self._ask("start", program=program, argv=argv, cwd=str(cwd), log=str(log))
        pid: int = answer["pid"]
        return pid

    def signal(self, program: str, number: int) -> None:
        """Send a signal to a program."""
        self._ask("signal", program=program, number=int(number))

    def kill(self, program: str) -> None:
        """Kill a program, and return once it is gone."""
        self._ask("kill", program=program)

    def ended(self) -> dict[str, int]:
        """Those programs that have ended by themselves, with their status."""
        ended: dict[str, int] = self._ask("ended")["ended"]
        return ended

    def close(self) -> None:
        """End every program, and remove the folder. May be repeated."""
        # Closing its input ends it too, unless a forked child holds the pipe.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._tell("close")
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
        # It has done so, unless it was killed.
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        with self._lock:
            try:
                number = self._tell(verb, **arguments)
            except (BrokenPipeError, ValueError):  # the latter of a closed file
                raise ControlPlaneError("the keeper of the control plane is gone") from None
            # An exception of a signal handler (Ctrl-C, a test's timeout) may
            # have left an earlier answer unread.
            while line := self._output.readline():
                answer: dict[str, Any] = json.loads(line)
                if answer["order"] == number:
                    break
            else:
                raise ControlPlaneError("the keeper of the control plane is gone")
        if "error" in answer:
            raise ControlPlaneError(f"{verb} {arguments.get('program')}: {answer['error']}")
        return answer

    def _tell(self, verb: str, **arguments: Any) -> int:
        number = next(self._numbers)
        order = {"do": verb, "order": number, **arguments}
        self._input.write(json.dumps(order).encode() + b"\n")
        self._input.flush()
        return number
