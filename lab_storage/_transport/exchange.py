"""The deadline of one HTTP exchange, and what a cancel shuts down.

A socket's own timeout bounds a single operation: an answer that drips a byte
at a time never meets it. Here each operation gets what is left of the deadline
of its `Exchange` as its timeout, and a cancel shuts the socket down, which ends
whatever it is blocked in: connecting, a TLS handshake, sending, receiving. That
takes no thread.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextvars import ContextVar
from time import monotonic
from typing import Any

from lab_storage._transport.interruptions import find_interruption
from lab_storage.timeout import SLICE_SECONDS, Signal, Timeout

current_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class ExchangeOverError(TimeoutError):
    """The deadline has passed, or somebody cancelled. Never reaches a caller.

    Attributes
    ----------
    waiting_for
        What has not happened yet, where that is not an answer of the server.
    """

    waiting_for: str | None = None


class IdleError(TimeoutError):
    """Nothing was heard for the idle limit. Never reaches a caller."""


class Exchange:
    """One HTTP request on the wire, from connecting to the last byte of its answer.

    Guarantees that every operation of the sockets used in it ends by the
    deadline, after ``idle_seconds`` without a byte, or at a cancel, whichever
    is first. Of one that is ``confidential``, nothing that comes in is logged.
    """

    __slots__ = (
        "_former",
        "_lock",
        "_pid",
        "_sock",
        "_timeout",
        "confidential",
        "ends_at",
        "idle_seconds",
        "keeps_connection",
    )

    def __init__(
        self, timeout: Timeout, idle_seconds: float, *, confidential: bool = False
    ) -> None:
        self.idle_seconds = idle_seconds
        self.confidential = confidential
        # When it ends, on the monotonic clock, also where something comes again and again.
        self.ends_at = float("inf")
        # Whether another request may have the connection afterwards.
        self.keeps_connection = True
        self._timeout = timeout
        self._pid = os.getpid()
        self._sock: Any = None
        # The plain socket whose number that of the TLS layer gets.
        self._former: Any = None
        # Reentrant: a signal handler may cancel in the middle of `detach`.
        self._lock = threading.RLock()
        timeout._add_waker(self, self.cut)

    def close(self, *, broken: bool = False) -> None:
        """Let go of the socket, which may be another's soon, and of the timeout.

        One that is ``broken`` is closed: an exception that leaves a TLS handshake keeps
        its socket, of which nobody else knows yet.
        """
        self._timeout._remove_waker(self)
        if broken:
            self.cut()
        sock, former = self._sock, self._former
        self.detach()
        if broken and sock is not None:
            if former is not None and (former.closed_itself or former.fileno() != -1):
                # It has not given its number away. Closed by both, that could be another's.
                try:
                    sock.detach()
                except AttributeError:
                    pass  # gevent's, that has none yet either
                sock = former
            sock.close()

    def attach(self, sock: Any) -> None:
        """Make ``sock`` the one that a cancel shuts down."""
        sock = innermost_socket(sock)
        with self._lock:
            if self._sock is not sock:
                if self._sock is not None:
                    self._sock.exchange = None
                self._former, self._sock = self._sock, sock
            sock.exchange = self
        if self._timeout.cancelled:
            self.cut()

    def detach(self) -> None:
        """Leave the socket alone from now on."""
        with self._lock:
            sock = self._sock
            self._sock = self._former = None
            if sock is not None:
                sock.exchange = None

    def cut(self) -> None:
        """Shut the socket down, from any thread: what blocks on it ends at once."""
        if self._pid != os.getpid():
            return  # after a fork: the connection is the parent's, and still in use
        # The lock is what keeps a closed socket's number, which the system gives
        # to the next one, from being shut down in its place.
        with self._lock:
            if self._sock is not None:
                try:
                    # Not SSLSocket.shutdown, which takes the TLS layer away under
                    # the thread that is reading.
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
                except (OSError, AttributeError):
                    pass  # not connected, closed by the other side, or gevent's and not made yet

    def on_sent(self) -> None:
        """Called in its thread once the request has been sent, before the answer is awaited."""

    def on_quiet(self) -> None:
        """Called in its thread again and again while nothing comes."""

    def seconds(self) -> float:
        """What is left for the next operation.

        Raises
        ------
        ExchangeOverError
            If nothing is.
        """
        left = self._timeout._left()
        if left <= 0 or self._timeout.cancelled:
            raise ExchangeOverError("the deadline has passed")
        return left

    def wait(self, signal: Signal, seconds: float) -> None:
        """Block until ``signal`` is set, for at most ``seconds``, or until this is over."""
        self._timeout._wait(signal, seconds)

    def bound(self, sock: Any, operation: Callable[..., Any], *arguments: Any) -> Any:
        """Run a socket operation that may be repeated after a timeout."""
        # Called for each record of a watch: as few calls as possible.
        now = monotonic()
        idle_until = now + self.idle_seconds
        timeout = self._timeout
        while True:
            left = min(idle_until, self.ends_at, timeout._deadline) - now
            if left <= 0 or timeout.cancelled:
                self.seconds()
                if now >= self.ends_at:
                    raise IdleError("nothing of use was heard for too long")
                raise IdleError(f"nothing heard for {self.idle_seconds:g} s")
            seconds = min(left, SLICE_SECONDS)
            # Nearly always it is a slice, and need not be set again, by a system call.
            if sock.gettimeout() != seconds:
                sock.set_timeout(seconds)
            try:
                return operation(*arguments)
            except TimeoutError as error:
                if find_interruption(error) is not None:
                    raise
            self.on_quiet()
            now = monotonic()


def innermost_socket(sock: Any) -> Any:
    """The socket under urllib3's TLS within TLS, which is no socket itself."""
    while not isinstance(sock, socket.socket) and hasattr(sock, "socket"):
        sock = sock.socket
    return sock
