"""The states in which a call can block: one table, for all tests of how it is ended.

Each `State` stages a scene in which one call of the library gets stuck in a certain place, and
tells when it is there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from kubernetes import client

from lab_storage import LabStorage, OperationCancelledError, Timeout
from lab_storage._api.workers import Workers
from tests.support.labs import lab_of, names_of
from tests.support.pauses import replace_pauses
from tests.support.villain import (
    Act,
    Cluster,
    Seen,
    Villain,
    black_hole,
    drip,
    json_answer,
    silence,
    stall,
    status,
    stream,
)

NAMES = names_of()
LAB = lab_of()
POD_PATH = f"/api/v1/namespaces/{NAMES.namespace}/pods/{NAMES.pod}"
PENDING: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": NAMES.pod,
        "namespace": NAMES.namespace,
        "uid": "b6d7ba35-1b6f-4ac9-a0cf-5fd7a1a3d4c5",
        "resourceVersion": "7",
    },
    "status": {"phase": "Pending"},
}
SYN_SENT = "02"

Call = Callable[[LabStorage, Timeout], Any]


def list_of(*items: Any) -> dict[str, Any]:
    """Give the answer to a list."""
    return {"metadata": {"resourceVersion": "10"}, "items": list(items)}


@attrs.frozen
class Scene:
    """A call that will get stuck, and the server that it gets stuck at.

    Attributes
    ----------
    villain
        The server.
    call
        What gets stuck.
    reached
        Blocks until it is.
    settings
        What the configuration of the client has to say.
    kept
        How many connections may be left open by a call that ended here: those that answered.
    cancelled
        The error of a cancel; `None` where that just ends the call.
    prepare
        Done with the storage before the call.
    open_connections
        How many there are where the villain does not know.
    """

    villain: Villain
    call: Call
    reached: Callable[[], Any]
    settings: dict[str, Any] = attrs.field(factory=dict)
    kept: int = 0
    cancelled: type[Exception] | None = OperationCancelledError
    prepare: Callable[[LabStorage], Any] = lambda _: None
    open_connections: Callable[[], int] | None = None

    def wait_until_left(self) -> None:
        """Block until all connections that are not kept are closed."""
        self.villain.wait_until_left(self.kept, 5)
        count = self.open_connections
        if count is not None:
            wait_for(lambda: count() == 0)


@attrs.frozen
class State:
    """How to get into one state.

    ``tls`` says with which kinds of connection it exists, ``expires`` whether the deadline can be
    reached in it.
    """

    name: str
    stage: Callable[[bool, pytest.MonkeyPatch], Any]
    tls: tuple[bool, ...] = (False, True)
    expires: bool = True


def wait_for(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Block until the kernel says what is waited for."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"not in {seconds} s: {condition}")
        time.sleep(0.005)


def connections_to(port: int, state: str | None = None, unsent: int = -1) -> int:
    """Count the sockets that are connected, or connecting, to a port of this machine.

    Columns of /proc/net/tcp: https://docs.kernel.org/networking/proc_net_tcp.html
    """
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, its_state, queues, *_ = line.split()
        count += (
            int(remote.partition(":")[2], 16) == port
            and state in (None, its_state)
            and int(queues.partition(":")[0], 16) > unsent
        )
    return count


def workers_of_all() -> int:
    """Count the threads that help callers."""
    return sum(each.name == "lab_storage-worker" for each in threading.enumerate())


def read_phase(storage: LabStorage, timeout: Timeout) -> Any:
    """Ask once."""
    return storage.read_pod_phase(NAMES, timeout)


def create(storage: LabStorage, timeout: Timeout) -> None:
    """Ask for a lab."""
    storage.create(LAB, timeout)


def wait_for_start(storage: LabStorage, timeout: Timeout) -> Any:
    """Ask for a pod's start."""
    return storage.wait_for_pod_start(NAMES.pod, NAMES.namespace, timeout)


def events(storage: LabStorage, timeout: Timeout) -> list[str]:
    """Ask for a pod's events."""
    return list(storage.watch_pod_events(NAMES.pod, NAMES.namespace, timeout))


@contextmanager
def connecting(tls: bool, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Nobody answers the first packet."""
    with black_hole() as port, Villain() as villain:
        others = connections_to(port, SYN_SENT)
        yield Scene(
            villain,
            read_phase,
            lambda: wait_for(lambda: connections_to(port, SYN_SENT) > others),
            {"host": f"https://127.0.0.1:{port}"},
            open_connections=lambda: connections_to(port, SYN_SENT) - others,
        )


@contextmanager
def looking_up(tls: bool, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The name server says nothing."""
    asked, released = threading.Event(), threading.Event()

    def getaddrinfo(*_: Any) -> Any:
        asked.set()
        released.wait(30)
        raise OSError("nobody is interested any more")

    patch.setattr("socket.getaddrinfo", getaddrinfo)
    with Villain() as villain:
        try:
            host = {"host": "https://villain.example:6443"}
            yield Scene(villain, read_phase, lambda: asked.wait(5), host)
        finally:
            released.set()


@contextmanager
def refreshing(tls: bool, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The caller's hook for credentials does not return."""
    asked, released = threading.Event(), threading.Event()

    def hook(_: Any) -> None:
        asked.set()
        released.wait(30)

    with Villain() as villain:
        try:
            settings = {"refresh_api_key_hook": hook}
            yield Scene(villain, read_phase, lambda: asked.wait(5), settings)
        finally:
            released.set()


def handshaking(how: str) -> Callable[..., Any]:
    """TLS is begun and does not get on."""

    @contextmanager
    def stage(tls: bool, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
        with Villain(handshake=how) as villain:
            yield Scene(villain, read_phase, villain.wait_for_connections)

    return stage


@contextmanager
def sending(tls: bool, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The server does not read what is sent."""
    metadata = client.V1ObjectMeta(name=NAMES.namespace, annotations={"large": "x" * (8 << 20)})
    large = attrs.evolve(LAB, namespace=client.V1Namespace(metadata=metadata))

    def call(storage: LabStorage, timeout: Timeout) -> None:
        storage.create(large, timeout)

    with Villain(tls=tls, reads=False) as villain:
        yield Scene(
            villain,
            call,
            lambda: wait_for(lambda: connections_to(villain.port, unsent=0)),
        )


def answering(act: Act) -> Callable[..., Any]:
    """The server has the request, and does not get to the end of its answer."""

    @contextmanager
    def stage(tls: bool, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
        with Villain(act, tls=tls) as villain:
            yield Scene(villain, read_phase, villain.wait_for_requests)

    return stage


def streaming(
    call: Call, requests: int, pods: Any, cancelled: type[Exception] | None
) -> Callable[..., Any]:
    """There are these pods and no events, and nothing happens."""

    def script(request: Seen) -> Act:
        if request.is_watch:
            return stream()
        return json_answer(list_of(*(pods if request.path.endswith("/pods") else ())))

    @contextmanager
    def stage(tls: bool, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
        with Villain(script, tls=tls) as villain:
            yield Scene(
                villain,
                call,
                lambda: villain.wait_for_requests(requests),
                cancelled=cancelled,
            )

    return stage


@contextmanager
def deleting(tls: bool, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A namespace does not go."""
    terminating = {
        "kind": "Namespace",
        "metadata": {**PENDING["metadata"], "deletionTimestamp": "2026-11-24T06:00:00Z"},
    }

    def script(request: Seen) -> Act:
        if request.is_watch:
            return stream()
        return json_answer(terminating if not request.query else list_of(terminating))

    with Villain(script, tls=tls) as villain:
        yield Scene(
            villain,
            lambda storage, timeout: storage.delete_namespace(NAMES.namespace, timeout),
            lambda: villain.wait_for_requests(3),
        )


def pausing(requests: int, act: Act) -> Callable[..., Any]:
    """The server wants to be asked later."""

    @contextmanager
    def stage(tls: bool, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
        # No jitter: it might be no pause at all.
        replace_pauses(patch, 0.02 if requests > 1 else 60.0)
        with Villain(act, tls=tls) as villain:
            yield Scene(villain, read_phase, lambda: villain.wait_for_requests(requests), kept=1)

    return stage


def creating(workers: int, requests: int, accounts: bool) -> Callable[..., Any]:
    """The namespace is made, and nothing of the rest: in the caller's thread or with help."""

    def before(request: Seen) -> Act | None:
        if request.path.endswith("/serviceaccounts") and not accounts:
            return stream() if request.is_watch else json_answer(list_of())
        return None if request.path == "/api/v1/namespaces" or not accounts else silence

    @contextmanager
    def stage(tls: bool, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
        with Villain(Cluster(before), tls=tls) as villain:

            def reached() -> None:
                villain.wait_for_requests(requests)
                if not accounts:
                    # What is asked by few need not wait for those that still begin.
                    wait_for(lambda: workers_of_all() <= 1)
                    time.sleep(0.05)

            yield Scene(
                villain,
                create,
                reached,
                kept=0 if accounts else 10,
                prepare=lambda storage: setattr(storage, "_workers", Workers(workers)),
            )

    return stage


STATES = [
    State("connecting", connecting, tls=(True,)),
    State("looking a name up", looking_up, tls=(True,)),
    State("in a refresh hook", refreshing, tls=(False,)),
    State("in a silent handshake", handshaking("silent"), tls=(True,)),
    State("in a dripping handshake", handshaking("dripping"), tls=(True,)),
    State("sending", sending),
    State("awaiting headers", answering(silence)),
    State("in dripping headers", answering(drip("headers"))),
    State("in a silent body", answering(stall(PENDING))),
    State("in a silent chunk", answering(stall(PENDING, chunked=True))),
    State("in a dripping body", answering(drip("body", PENDING))),
    State("in a dripping chunk", answering(drip("chunk", PENDING))),
    State(
        "on a silent stream",
        streaming(wait_for_start, 2, [PENDING], OperationCancelledError),
    ),
    State("on a silent stream of events", streaming(events, 3, [PENDING], None)),
    State("before there is a pod", streaming(events, 2, [], None)),
    State("while a namespace goes", deleting),
    State("between quick tries", pausing(5, status(503)), tls=(False,)),
    State("in a long pause", pausing(1, status(503)), tls=(False,)),
    State(
        "in a pause that the server asked for",
        pausing(1, status(429, headers={"Retry-After": "2"})),
        tls=(False,),
        expires=False,
    ),
    State("creating with help", creating(32, 11, accounts=True)),
    State("creating without help", creating(0, 2, accounts=True)),
    State("waiting for the ServiceAccount", creating(32, 13, accounts=False)),
]


def each_state(*, tls: bool | None = None, expires: bool = False) -> Any:
    """Parametrise a test by ``state`` and ``tls``; by those alone that can expire, if so asked."""
    cases = [
        pytest.param(state, kind, id=f"{state.name}{' (TLS)' if kind else ''}")
        for state in STATES
        for kind in (state.tls if tls is None or len(state.tls) == 1 else (tls,))
        if state.expires or not expires
    ]
    return pytest.mark.parametrize(("state", "tls"), cases)
