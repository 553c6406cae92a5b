"""Sockets that keep a deadline and can be cut: the one place that knows sockets.

A socket's own timeout bounds a single operation: an answer that drips a byte
at a time never meets it. Here each operation gets what is left of the deadline
of its `Exchange` as its timeout, and a cancel shuts the socket down, which ends
whatever it is blocked in: connecting, a TLS handshake, sending, receiving. That
takes no thread. Only looking a name up cannot be bounded so, since the C library
offers nothing to interrupt it: that is done by the one helper thread there is.

urllib3 asks the classes of its pools for connections; `use_deadlines` gives a
pool manager those of this module. It needs no more of urllib3 than that, and
knows nothing of Kubernetes.
"""

from __future__ import annotations

import collections
import functools
import ipaddress
import os
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from time import monotonic
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from lab_storage._fork import renew_after_fork
from lab_storage.timeout import SLICE_SECONDS, Signal, Timeout

# A connection that nobody answers on is given up after this, and tried again.
CONNECT_SECONDS = 30.0
# A connection that nobody used for this long is closed, not kept.
KEEP_SECONDS = 120.0
# How long the helper thread waits for more to do before it ends.
RESOLVER_IDLE_SECONDS = 5.0

current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class ExchangeOverError(TimeoutError):
    """The deadline has passed, or somebody cancelled. Never reaches a caller."""


class IdleError(TimeoutError):
    """Nothing was heard for the idle limit. Never reaches a caller."""


class Exchange:
    """One HTTP request on the wire, from connecting to the last byte of its answer.

    Guarantees that every operation of the sockets used in it ends by the
    deadline, after ``idle_seconds`` without a byte, or at a cancel, whichever
    is first.
    """

    __slots__ = ("_lock", "_pid", "_sock", "_timeout", "idle_seconds")

    def __init__(self, timeout: Timeout, idle_seconds: float) -> None:
        self.idle_seconds = idle_seconds
        self._timeout = timeout
        self._pid = os.getpid()
        self._sock: socket.socket | None = None
        # Reentrant: a signal handler may cancel in the middle of `detach`.
        self._lock = threading.RLock()
        timeout._add_waker(self, self.cut)

    def close(self) -> None:
        """Let go of the socket, which may be another's soon, and of the timeout."""
        self._timeout._remove_waker(self)
        self.detach()

    def attach(self, sock: Any) -> None:
        """Make ``sock`` the one that a cancel shuts down."""
        sock = _bottom(sock)
        with self._lock:
            self._sock = sock
        sock.exchange = self
        if self._timeout.cancelled:
            self.cut()

    def detach(self) -> None:
        """Leave the socket alone from now on."""
        with self._lock:
            sock: Any = self._sock
            self._sock = None
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
                except OSError:
                    pass  # not connected, or closed by the other side

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

    def bound(self, sock: Any, operation: Callable[..., Any], *arguments: Any) -> Any:
        """Run a socket operation that may be repeated after a timeout."""
        idle_until = monotonic() + self.idle_seconds
        while True:
            left = min(self.seconds(), idle_until - monotonic())
            if left <= 0:
                raise IdleError(f"nothing heard for {self.idle_seconds:g} s")
            sock.set_timeout(min(left, SLICE_SECONDS))
            try:
                return operation(*arguments)
            except TimeoutError as error:
                if foreign(error) is not None:
                    raise


def foreign(error: BaseException) -> BaseException | None:
    """Find the exception that somebody's signal handler raised, in ``error`` or behind it.

    A time limit may well be a `TimeoutError` raised by a handler of SIGALRM.
    urllib3 takes it for the socket's and wraps it. It is told by where it comes
    from: an `OSError` that starts in a function of neither the standard library,
    nor urllib3, nor this package is not about our socket.
    """
    for found in chain(error):
        origin = found.__traceback__
        while origin is not None and origin.tb_next is not None:
            origin = origin.tb_next
        if origin is not None and isinstance(found, OSError):
            module = str(origin.tb_frame.f_globals.get("__name__", ""))
            if module.partition(".")[0] not in _NETWORK_MODULES:
                return found
    return None


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what is behind it: its cause or context, theirs, and so on."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


_NETWORK_MODULES = {
    "contextlib", "gevent", "http", "io", "lab_storage", "selectors", "socket", "socks", "ssl",
    "urllib3",
}  # fmt: skip


def _bottom(sock: Any) -> Any:
    """The socket under urllib3's TLS within TLS, which is no socket itself."""
    while not isinstance(sock, socket.socket) and hasattr(sock, "socket"):
        sock = sock.socket
    return sock


@functools.cache
def _socket_classes() -> (  # noqa: C901 - one class body twice, each method short
    tuple[type[socket.socket], type[ssl.SSLSocket]]
):
    """The two kinds of sockets, with a deadline.

    Made when first needed: gevent may replace what `socket` and `ssl` hold after
    this module was imported.
    """

    class Deadline:
        """What is the same for plain and TLS sockets."""

        exchange: Exchange | None = None

        def set_timeout(self, seconds: float | None) -> None:
            super().settimeout(seconds)  # type: ignore[misc]

        def settimeout(self, seconds: float | None) -> None:
            # urllib3 and http.client mean one operation by it. While an exchange
            # lasts, it decides.
            if self.exchange is None:
                super().settimeout(seconds)  # type: ignore[misc]

        def recv_into(self, *arguments: Any) -> int:
            receive = super().recv_into  # type: ignore[misc]
            exchange = self.exchange
            if exchange is None:
                return int(receive(*arguments))
            return int(exchange.bound(self, receive, *arguments))

        def recv(self, *arguments: Any) -> bytes:
            receive = super().recv  # type: ignore[misc]
            if self.exchange is None:
                return bytes(receive(*arguments))
            return bytes(self.exchange.bound(self, receive, *arguments))

        def sendall(self, data: Any, flags: int = 0) -> None:
            send = super().send  # type: ignore[misc]
            if self.exchange is None:
                super().sendall(data, flags)  # type: ignore[misc]
                return
            with memoryview(data) as view, view.cast("B") as rest:
                sent = 0
                while sent < len(rest):
                    sent += self.exchange.bound(self, send, rest[sent:], flags)

        # Nobody may shut down the number of a socket that has given it away.

        def detach(self) -> int:
            if self.exchange is not None:
                self.exchange.detach()
            return int(super().detach())  # type: ignore[misc]

        def _real_close(self, *arguments: Any) -> None:
            if self.exchange is not None:
                self.exchange.detach()
            super()._real_close(*arguments)  # type: ignore[misc]

    class PlainSocket(Deadline, socket.socket):
        """A TCP socket."""

    class TLSSocket(Deadline, ssl.SSLSocket):
        """A TLS socket: `ssl.SSLContext.sslsocket_class`."""

        def do_handshake(self, *arguments: Any) -> None:
            exchange = current.get()
            if exchange is not None:
                # The plain socket of the connection gave its number to this one.
                exchange.attach(self)
                exchange.bound(self, super().do_handshake, *arguments)
            else:
                super().do_handshake(*arguments)

    return PlainSocket, TLSSocket


def tls_context(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have ``context`` make sockets that keep deadlines."""
    context.sslsocket_class = _socket_classes()[1]
    return context


# SO_KEEPALIVE finds a peer that is gone while nothing is being said.
_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
]


def _connect(
    host: str,
    port: int,
    exchange: Exchange,
    options: list[tuple[int, int, int | bytes]],
    source_address: tuple[str, int] | None,
) -> socket.socket:
    """Connect to the first address of ``host`` that answers."""
    addresses = _addresses(host, port, exchange)
    failure: OSError | None = None
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        # A black hole must leave time for the addresses after it.
        seconds = min(exchange.seconds() / (len(addresses) - tried), CONNECT_SECONDS)
        sock: Any = _socket_classes()[0](family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            if source_address:
                sock.bind(source_address)
            sock.set_timeout(seconds)
            exchange.attach(sock)
            sock.connect(address)
        except OSError as error:
            exchange.detach()
            sock.close()
            if foreign(error) is not None:
                raise
            failure = error
        except BaseException:
            exchange.detach()
            sock.close()
            raise
        else:
            return sock  # type: ignore[no-any-return]
    raise failure or OSError(f"{host} has no address")


def _addresses(host: str, port: int, exchange: Exchange) -> list[Any]:
    host = host.strip("[]")
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return _resolver.look_up(host, port, exchange)
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)


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
                self._thread = threading.Thread(
                    target=self._run, name="lab_storage-resolver", daemon=True
                )
                self._thread.start()
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


_resolver = Resolver()


class _Connection(HTTPConnection):
    """A connection whose sockets keep the deadline of the exchange they serve."""

    last_used = 0.0

    def _new_conn(self) -> socket.socket:
        exchange = current.get()
        if exchange is None:
            return super()._new_conn()
        try:
            return _connect(
                self._dns_host,
                self.port,
                exchange,
                list(self.socket_options or []),
                self.source_address,
            )
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            if foreign(error) is not None:
                raise
            raise ConnectTimeoutError(self, f"connecting to {self.host} took too long") from error
        except OSError as error:
            if foreign(error) is not None:
                raise
            raise NewConnectionError(self, f"cannot connect: {error}") from error

    def request(self, *arguments: Any, **options: Any) -> None:
        exchange = current.get()
        if exchange is not None and self.sock is not None:
            exchange.attach(self.sock)
        super().request(*arguments, **options)


class _TLSConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Idle(queue.LifoQueue[Any]):
    """The connections that are not in use: as many as there ever were at once.

    urllib3's own bound would have a connection thrown away, with a warning, for
    each thread above it. Those that are not used for `KEEP_SECONDS` go.
    """

    def __init__(self, maxsize: int = 0) -> None:
        del maxsize
        super().__init__(0)
        renew_after_fork(self)

    def after_fork(self) -> None:
        """A thread of the parent may have held the lock; the connections are dropped."""
        self.mutex = threading.Lock()
        self.not_empty = threading.Condition(self.mutex)

    def _init(self, maxsize: int) -> None:
        del maxsize
        self.queue: Any = collections.deque()

    def _put(self, item: Any) -> None:
        # None is "make one" to HTTPConnectionPool, which an empty queue says too.
        if item is None:
            return
        item.last_used = monotonic()
        self.queue.append(item)
        while self.queue[0].last_used < item.last_used - KEEP_SECONDS:
            self.queue.popleft().close()


class _DeadlinePool:
    """What is the same for plain and TLS pools."""

    QueueCls = _Idle

    def _put_conn(self, conn: Any) -> None:
        # Before another thread can have it.
        exchange = getattr(_bottom(getattr(conn, "sock", None)), "exchange", None)
        if exchange is not None:
            exchange.detach()
        super()._put_conn(conn)  # type: ignore[misc]


class _Pool(_DeadlinePool, HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(_DeadlinePool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


def use_deadlines(manager: urllib3.PoolManager, context: ssl.SSLContext) -> None:
    """Have ``manager`` make one request a try, on sockets of this module, by one TLS context."""
    options = manager.connection_pool_kw
    for read_into_the_context in (
        "ca_certs",
        "ca_cert_dir",
        "ca_cert_data",
        "cert_file",
        "key_file",
    ):
        options.pop(read_into_the_context, None)
    options["ssl_context"] = context
    options["retries"] = urllib3.Retry(False, redirect=False)
    options["block"] = False
    options["maxsize"] = 1
    options.setdefault("socket_options", _OPTIONS)
    if manager.pool_classes_by_scheme is urllib3.poolmanager.pool_classes_by_scheme:
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
    # Otherwise, as for a SOCKS proxy, connecting has a timeout and no more.
