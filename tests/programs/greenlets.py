"""What is thrown into a greenlet leaves its call: run by ``test_gevent.py``, under gevent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import structlog
from structlog.testing import LogCapture

from lab_storage import LabStorage, OperationTimeoutError
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase
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


def main() -> int:
    """Print what is not as it should be."""
    wrong: list[str] = []
    for tls in (False, True):
        with scenes(tls) as clients:
            for name, api_client in clients.items():
                wrong += check(f"{name} (TLS: {tls})", api_client)
    with Villain(json_answer(PENDING)) as villain:
        url = f"http://localhost:{villain.port}"
        with LabStorage(villain.api_client(host=url), logger) as storage:
            print(read_phase(storage, timeout_of(5)))
    print("\n".join(wrong))
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
