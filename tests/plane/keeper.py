"""The parent of the control plane's programs: where it ends, all of them end.

It runs as a process of its own and is told what to do by one JSON object a
line on its standard input, each answered by one on its standard output
(:class:`tests.plane.keeper_process.KeeperProcess` is the other side). It ends
when told to, when its input closes, when the process that started it is gone
(even by SIGKILL, which leaves that one no time to clean up, and even where
forked children of it still hold the pipe), or on SIGTERM. However it ends, but
by SIGKILL, its children are killed and reaped first, and then its folder is
removed. When it is killed itself the kernel kills its children, on Linux.

For a real node it runs as the first process of a PID namespace
(:mod:`tests.plane.enclosure`): then the kernel kills whatever its children have
started, too, and what loses its parent there becomes a child of its own.

It uses the standard library alone, and starts in some 20 ms.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PARENT_CHECK_SECONDS = 1.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Keeper:
    """Starts, signals and ends programs, and knows which of them have ended."""

    def __init__(self, folder: str | None = None) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        #: Where one is given, whoever gave it removes it.
        self._given = folder
        self._made: Path | None = None
        self._before_exec = _die_with_parent()

    def make_folder(self) -> dict[str, Any]:
        """Make the folder that is removed at the end."""
        if self._given is not None:
            return {"folder": self._given}
        self._made = Path(tempfile.mkdtemp(prefix=f"lab-storage-plane-{os.getppid()}-"))
        return {"folder": str(self._made)}

    def run(self, argv: list[str]) -> dict[str, Any]:
        """Run a command to its end, and answer with its status and all it said."""
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=self._before_exec,
        )
        return {"status": done.returncode, "output": done.stdout.decode(errors="replace")}

    def start(self, program: str, argv: list[str], cwd: str, log: str) -> dict[str, Any]:
        """Start one program; what it says is added to the file `log`."""
        with Path(log).open("ab") as output:
            child = subprocess.Popen(
                argv,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=self._before_exec,
            )
        self._children[program] = child
        return {"pid": child.pid}

    def signal(self, program: str, number: int) -> dict[str, Any]:
        """Send a signal, unless that program has ended already."""
        self._children[program].send_signal(number)
        return {}

    def kill(self, program: str) -> dict[str, Any]:
        """Kill one program, a stopped one too, and forget it once it is gone."""
        child = self._children.pop(program)
        child.kill()
        child.wait()
        return {}

    def ended(self) -> dict[str, Any]:
        """Which of the programs have ended by themselves, and with which status."""
        polled = {program: child.poll() for program, child in self._children.items()}
        return {"ended": {name: code for name, code in polled.items() if code is not None}}

    def close(self) -> None:
        """Kill and reap everything, then remove the folder."""
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            child.wait()
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)

    def reap_orphans(self) -> None:
        """Reap processes that became children of this one when their parents ended."""
        while True:
            try:
                # Not reaped yet: of a program of ours Popen has to learn the status.
                waiting = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if waiting is None:
                return
            ours = [each for each in self._children.values() if each.pid == waiting.si_pid]
            if ours:
                ours[0].poll()
            else:
                os.waitpid(waiting.si_pid, 0)


def _die_with_parent() -> Callable[[], None] | None:
    """What a child does first so that the kernel kills it when its keeper is gone.

    The signal comes when the *thread* that forked ends (prctl(2)): a keeper has
    a single one, which the process of the tests has not.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    keeper = os.getpid()

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # It may have died before that call.
        if os.getppid() != keeper:
            os._exit(1)

    return before_exec


def serve(keeper: Keeper, is_orphan: Callable[[], bool], parent_fd: int | None) -> None:
    """Do what the lines on the standard input say, until there are to be no more."""
    pending = b""
    sources = [0] if parent_fd is None else [0, parent_fd]
    while True:
        ready, _, _ = select.select(sources, [], [], PARENT_CHECK_SECONDS)
        if is_orphan() or parent_fd in ready:
            return
        if parent_fd is not None:
            keeper.reap_orphans()
        if not ready:
            continue
        received = os.read(0, 1 << 16)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            order = json.loads(line)
            verb, order_number = order.pop("do"), order.pop("order")
            if verb == "close":
                return
            try:
                answer = getattr(keeper, verb)(**order)
            except (KeyError, OSError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps({"order": order_number, **answer}), flush=True)


def main() -> None:
    """Keep what the parent has started, until the end.

    The arguments: the parent's PID; or, where that means nothing because this
    process is in another PID namespace, ``0``, a pidfd of whoever has to live
    (pidfd_open(2): it can be read from when that process has ended), and the folder.
    """
    parent = int(sys.argv[1])
    parent_fd, folder = (int(sys.argv[2]), sys.argv[3]) if len(sys.argv) > 2 else (None, None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    keeper = Keeper(folder)
    try:
        serve(keeper, lambda: os.getppid() != parent, parent_fd)
    finally:
        # A second one must not interrupt this.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        keeper.close()


if __name__ == "__main__":
    main()
