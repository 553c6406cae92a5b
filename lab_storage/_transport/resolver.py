"""Looking names up in a thread that the caller can leave.

That cannot be bounded as other operations are, since the C library offers nothing to
interrupt it.
"""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any

from lab_storage._transport.exchange import Exchange, IdleError
from lab_storage._transport.fork import renew_after_fork
from lab_storage.timeout import Signal

# How long the helper thread waits for more to do before it ends.
RESOLVER_IDLE_SECONDS = 5.0


class Resolver:
    """Looks names up in a thread of its own, so that who asks can leave.

    The only helper thread of a process: started when first needed, gone when
    idle, started anew in a child after a fork.
    """

    def __init__(self) -> None:
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """The parent's thread is not here."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._questions: queue.SimpleQueue[tuple[str, int, Exchange, list[Any], Signal]]
        self._questions = queue.SimpleQueue()

    def look_up(self, host: str, port: int, exchange: Exchange) -> list[Any]:
        """Blocks until the answer is there, the deadline or a cancel."""
        answer: list[Any] = []
        signal = Signal()
        with self._lock:
            self._questions.put((host, port, exchange, answer, signal))
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="lab_storage-resolver", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError as error:
                    # The system gives no more threads just now.
                    raise socket.gaierror(socket.EAI_AGAIN, str(error)) from error
                self._thread = thread
        exchange._timeout._wait(signal, exchange.idle_seconds)
        if not answer:
            exchange.seconds()
            raise IdleError(f"the name {host} was not looked up in {exchange.idle_seconds:g} s")
        if isinstance(answer[0], OSError):
            # An exception that another thread keeps must not be raised itself:
            # its traceback would grow.
            raise socket.gaierror(*answer[0].args)
        return answer[0]  # type: ignore[no-any-return]

    def _run(self) -> None:
        while True:
            try:
                question = self._questions.get(timeout=RESOLVER_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._questions.empty():
                        self._thread = None
                        return
                continue
            host, port, exchange, answer, signal = question
            del question
            try:
                exchange.seconds()  # nobody waits for it any more?
                answer.append(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
            except OSError as error:
                answer.append(error.with_traceback(None))
            except Exception as error:
                # As UnicodeError of a name with an empty label.
                answer.append(socket.gaierror(socket.EAI_NONAME, str(error)))
            signal.set()
            del exchange, answer, signal
