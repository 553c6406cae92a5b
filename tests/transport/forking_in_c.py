"""Forks in C, which run none of Python's hooks: a program of `test_fork_in_c`.

The server is another process's: no thread of this one may want the interpreter at a fork.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import structlog
from kubernetes import client
from structlog.testing import LogCapture

from lab_storage import LabObjectNames, LabStorage, PodPhase
from lab_storage._transport.connections import Connections
from tests.support.labs import timeout_of

CHILDREN = 2
CALLS = 3
PARENT = os.getpid()
holds, released = threading.Event(), threading.Event()


def read_phases(storage: LabStorage, user: str) -> None:
    """Read the phase of a user's pod a few times."""
    names = LabObjectNames(user, f"lab-{user}", "env", "quota", "lab")
    for _ in range(CALLS):
        phase = storage.read_pod_phase(names, timeout_of(10))
        if phase is not PodPhase.PENDING:
            raise AssertionError(phase)


def read_objects(storage: LabStorage, user: str) -> None:
    """Read three objects side by side."""
    storage.read_lab_objects(
        LabObjectNames(user, f"lab-{user}", "env", "quota", "lab"), timeout_of(10)
    )


def hold() -> None:
    """Block in the parent until all children have ended."""
    if os.getpid() == PARENT and threading.current_thread() is not threading.main_thread():
        holds.set()
        released.wait()


def holding(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function block first, in the parent."""

    def wrapper(*arguments: Any) -> Any:
        hold()
        return function(*arguments)

    return wrapper


def fork(child: Callable[[], None]) -> int:
    """Fork without Python's hooks, keeping the lock of the interpreter; give the child's id."""
    pid = int(ctypes.PyDLL(None).fork())
    if pid == 0:
        code = 1
        try:
            child()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def main(scene: str, host: str, authority: str) -> int:
    """Play a scene, and give how many children failed."""
    configuration = client.Configuration()
    configuration.host, configuration.ssl_ca_cert = host, authority
    configuration.api_key = {"authorization": "Bearer t0ken"}
    if scene == "hook":
        configuration.refresh_api_key_hook = lambda _: hold()
    logger = structlog.wrap_logger(None, [LogCapture()], structlog.BoundLogger)
    storage = LabStorage(client.ApiClient(configuration), logger)
    if scene == "name":
        socket.getaddrinfo = holding(socket.getaddrinfo)
    if scene == "lock":
        Connections._open = holding(Connections._open)  # type: ignore[method-assign]
    work = read_objects if scene == "workers" else read_phases
    caller = threading.Thread(target=work, args=(storage, "parent"))
    caller.start()
    if scene in {"hook", "name", "lock"}:
        holds.wait()
    else:
        caller.join()
    # The lock of the interpreter does not survive a fork while another thread waits for it.
    time.sleep(0.3)
    children = [fork(lambda user=f"child{n}": work(storage, user)) for n in range(CHILDREN)]  # type: ignore[misc]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    released.set()
    caller.join()
    work(storage, "parent")
    return sum(code != 0 for code in codes)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
