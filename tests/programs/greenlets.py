"""What is thrown into a greenlet leaves its call: run by ``test_gevent.py``, under gevent."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import structlog
from structlog.testing import LogCapture

from lab_storage import LabStorage, LiveLabStorage, OperationTimeoutError, PodPhase, Timeout
from lab_storage.testing import EmbeddedServer
from tests.support.labs import lab_of, timeout_of
from tests.support.states import NAMES, PENDING, read_phase
from tests.support.villain import Villain, black_hole, drip, json_answer, silence, status

WORDS = "somebody's own"
logger = structlog.wrap_logger(None, [LogCapture()], structlog.BoundLogger)


@contextmanager
def scenes(tls: bool) -> Iterator[dict[str, Any]]:
    """Give servers at which a call blocks, each in another operation."""
    with (
        Villain(silence, tls=tls) as headers,
        Villain(drip("body", PENDING), tls=tls) as body,
        Villain(handshake="silent") as handshake,
        Villain(status(503), tls=tls) as pause,
        black_hole() as port,
    ):
        yield {
            "headers": headers.api_client(),
            "body": body.api_client(),
            "handshake": handshake.api_client(),
            "connecting": headers.api_client(host=f"http://127.0.0.1:{port}"),
            "hook": headers.api_client(refresh_api_key_hook=lambda _: gevent.sleep(20)),
            "pause": pause.api_client(),
        }


def error_of(call: Callable[[], Any]) -> BaseException | None:
    """Give what a call raises."""
    try:
        call()
    except BaseException as error:
        return error
    return None


def limited(call: Callable[[], Any]) -> BaseException | None:
    """Call under a time limit of gevent's; give what comes out."""

    def limit() -> None:
        with gevent.Timeout(0.3, TimeoutError(WORDS)):
            call()

    return error_of(limit)


def killed(call: Callable[[], Any]) -> BaseException | None:
    """Call in a greenlet that is killed by an exception; give what comes out."""
    greenlet = gevent.spawn(error_of, call)
    gevent.sleep(0.3)
    greenlet.kill(TimeoutError(WORDS), timeout=5)
    error: BaseException | None = greenlet.value
    return error


def check(name: str, api_client: Any) -> Iterator[str]:
    """Yield what is not as it should be."""
    with LabStorage(api_client, logger) as storage:
        for way in (limited, killed):
            error = way(lambda: read_phase(storage, timeout_of(3)))
            if type(error) is not TimeoutError or error.args != (WORDS,):
                yield f"{name}, {way.__name__}: {error!r}"
        error = error_of(lambda: read_phase(storage, timeout_of(0.5)))
        if not isinstance(error, OperationTimeoutError):
            yield f"{name}, deadline: {error!r}"


def check_live() -> Iterator[str]:
    """Yield what is not as it should be where one watch serves many greenlets."""
    calls: dict[str, Callable[[LiveLabStorage, Timeout], Any]] = {
        "read": read_phase,
        "wait": lambda live, timeout: live.wait_for_pod_start("lab", "lab", timeout),
        "list": lambda live, timeout: live.list_labs("", timeout),
        "sync": lambda live, timeout: live.wait_until_synced(timeout),
        "changes": lambda live, timeout: next(live.changes(timeout)),
        "events": lambda live, timeout: next(live.watch_pod_events("lab", "lab", timeout)),
    }
    with Villain(silence) as silent, LabStorage(silent.api_client(), logger).live() as live:
        for name, call in calls.items():
            # Others ask the same, and must not wait for what was thrown out.
            others = [gevent.spawn(error_of, lambda: call(live, timeout_of(1))) for _ in range(3)]  # noqa: B023
            for way in (limited, killed):
                error = way(lambda: call(live, timeout_of(3)))  # noqa: B023
                if type(error) is not TimeoutError or error.args != (WORDS,):
                    yield f"live {name}, {way.__name__}: {error!r}"
            gevent.joinall(others, timeout=5)
            for other in others:
                if not isinstance(other.value, OperationTimeoutError):
                    yield f"live {name}, another greenlet: {other.value!r}"
    left = [each.name for each in threading.enumerate() if each.name.startswith("lab_storage-")]
    if left:
        yield f"live, after close(): {left}"
    with (
        EmbeddedServer() as server,
        server.api_client("admin") as api_client,
        LabStorage(api_client, logger).live() as live,
    ):
        timeout = timeout_of(20)
        live.create(lab_of(), timeout)
        waits = [
            gevent.spawn(live.wait_for_pod_start, NAMES.pod, NAMES.namespace, timeout)
            for _ in range(50)
        ]
        if {PodPhase.RUNNING} != (phases := {wait.get() for wait in waits}):
            yield f"live, waits: {phases}"


def main() -> int:
    """Print what is not as it should be."""
    wrong: list[str] = [*check_live()]
    for tls in (False, True):
        with scenes(tls) as clients:
            # At once: no call blocks what happens to another.
            checks = [
                gevent.spawn(list, check(f"{name} (TLS: {tls})", api_client))
                for name, api_client in clients.items()
            ]
            for each in checks:
                wrong += each.get()
    with Villain(json_answer(PENDING)) as villain:
        url = f"http://localhost:{villain.port}"
        with LabStorage(villain.api_client(host=url), logger) as storage:
            print(read_phase(storage, timeout_of(5)))
    print("\n".join(wrong))
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
