"""The tests' side of :mod:`tests.plane.keeper`."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from . import enclosure, keeper

if TYPE_CHECKING:
    from collections.abc import Sequence

    Popen = subprocess.Popen[bytes]

CLOSE_SECONDS = 30.0


class ControlPlaneError(Exception):
    """A program of the control plane did not start, or has ended."""


class CommandError(ControlPlaneError):
    """A command has failed."""


class KeeperProcess:
    """Starts a keeper, and tells it what to do. From any thread.

    Parameters
    ----------
    enclosed
        Whether it and its programs get PID and mount namespaces of their own. Only
        root can have these, on Linux.

    Attributes
    ----------
    pid
        Its process.
    folder
        A new folder, which goes with it.
    """

    def __init__(self, *, enclosed: bool = False) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._enclosed = enclosed
        self._process = _start_enclosed() if enclosed else _start(keeper.__file__, os.getpid())
        # Both are there: PIPE was asked for.
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)
        self.folder = Path(self._ask("make_folder")["folder"])
        self.pid = self._outer_pid(1) if enclosed else self._process.pid

    def start(self, program: str, argv: list[str], cwd: Path, log: Path) -> int:
        """Start a program; its process."""
        answer = self._ask("start", program=program, argv=argv, cwd=str(cwd), log=str(log))
        return self._outer_pid(answer["pid"])

    def run(self, *argv: str) -> str:
        """Run a command to its end, and give what it said.

        Raises
        ------
        CommandError
            If it ends with another status than 0.
        """
        answer = self._ask("run", argv=list(argv))
        if answer["status"] != 0:
            raise CommandError(f"{' '.join(argv)}: {answer['output'].strip()}")
        output: str = answer["output"]
        return output

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
        if self._enclosed:
            enclosure.sweep(self.folder.name)
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

    def _outer_pid(self, pid: int) -> int:
        """The process that the keeper knows by that PID, as it is known here.

        The last of its PIDs is that of its own namespace (proc_pid_status(5)).
        """
        if not self._enclosed:
            return pid
        for each in descendants(self._process.pid):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{each}/status").read_text()
                here, *inner = re.findall(r"^NSpid:(.*)$", status, re.MULTILINE)[0].split()
                if inner == [str(pid)]:
                    return int(here)
        raise ControlPlaneError(f"process {pid} of the keeper has ended")


def descendants(pid: int) -> list[int]:
    """All processes that this one has started, directly or not; only on Linux."""
    children: dict[int, list[int]] = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name of the program, in parentheses, may contain anything.
            parent = int(each.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(each.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found[1:]


def _start(program: str, *arguments: int, pass_fds: Sequence[int] = ()) -> Popen:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=pass_fds,
        # Ctrl-C in a terminal goes to every process of the session's
        # foreground group; this one ends when it is told to.
        start_new_session=True,
    )


def _start_enclosed() -> Popen:
    # From another PID namespace this process is not seen; this shows whether it lives.
    pidfd = os.pidfd_open(os.getpid())
    try:
        return _start(enclosure.__file__, pidfd, pass_fds=[pidfd])
    finally:
        os.close(pidfd)
