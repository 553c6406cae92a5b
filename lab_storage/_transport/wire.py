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
import http.client
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
from urllib3.util.wait import wait_for_write

from lab_storage._transport.fork import renew_after_fork
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
    is first. Of one that is ``confidential``, nothing that comes in is logged.
    """

    __slots__ = (
        "_former",
        "_lock",
        "_pid",
        "_sock",
        "_timeout",
        "confidential",
        "idle_seconds",
    )

    def __init__(
        self, timeout: Timeout, idle_seconds: float, *, confidential: bool = False
    ) -> None:
        self.idle_seconds = idle_seconds
        self.confidential = confidential
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
        sock = _bottom(sock)
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
            seconds = min(left, SLICE_SECONDS)
            # Nearly always it is a slice, and need not be set again, by a system call.
            if sock.gettimeout() != seconds:
                sock.set_timeout(seconds)
            try:
                return operation(*arguments)
            except TimeoutError as error:
                if foreign(error) is not None:
                    raise


def foreign(error: BaseException) -> BaseException | None:
    """Find the exception that somebody's signal handler raised, in ``error`` or behind it.

    A time limit may well be a `TimeoutError` raised by a handler of SIGALRM.
    urllib3 takes it for the socket's and wraps it. It is told by where it comes
    from: an error of a class, or raised in a function, of neither the standard
    library, nor urllib3, nor this package is not about our socket. Nor is one without
    arguments: ``PyThreadState_SetAsyncExc`` makes such.
    """
    return next((found for found in chain(error) if _is_foreign(found)), None)


def _is_foreign(error: BaseException) -> bool:
    trace = error.__traceback__
    if not isinstance(error, (OSError, ValueError)):
        return False  # nobody takes it for the network's
    if trace is None or not _is_of_network(trace.tb_frame.f_globals.get("__name__")):
        # It had left this package before the call began, in whose handling it was made.
        return False
    if type(error).__module__ != "builtins":
        # urllib3 wraps it, and gives the wrapper the trace of what is in it.
        return not _is_of_network(type(error).__module__)
    while trace.tb_next is not None:
        trace = trace.tb_next
    from_elsewhere = not _is_of_network(trace.tb_frame.f_globals.get("__name__"))
    return from_elsewhere or (isinstance(error, OSError) and not error.args)


def _is_of_network(module: object) -> bool:
    return str(module).partition(".")[0] in _NETWORK_MODULES


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what is behind it: its cause or context, theirs, and so on."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


_NETWORK_MODULES = {
    "_socket", "_ssl", "contextlib", "encodings", "eventlet", "gevent", "http", "idna", "io",
    "json", "kubernetes", "lab_storage", "selectors", "socket", "socks", "ssl", "urllib3",
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
        # And not only what was left after its number was given away.
        closed_itself = False

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
            if self.fileno() != -1:  # type: ignore[attr-defined]
                self.closed_itself = True
            super()._real_close(*arguments)  # type: ignore[misc]

    class PlainSocket(Deadline, socket.socket):
        """A TCP socket."""

    class TLSSocket(Deadline, ssl.SSLSocket):
        """A TLS socket: `ssl.SSLContext.sslsocket_class`."""

        def __new__(cls, *_arguments: Any, **_options: Any) -> TLSSocket:
            # Without the arguments, which gevent's class refuses and the other ignores.
            self = super().__new__(cls)
            # As socket.__init__ does: it can be closed from now on. `_sock` is gevent's.
            self._io_refs, self._closed = 0, False  # type: ignore[attr-defined]
            self._sock = None  # type: ignore[attr-defined]
            exchange = current.get()
            if exchange is not None:
                # Before the plain socket of the connection gives its number to this
                # one: whatever happens then, somebody knows what to close.
                exchange.attach(self)
            return self

        def _wait(self, *arguments: Any, **options: Any) -> None:
            # gevent's, which bounds each wait for a part of a TLS record, and not the
            # operation: a record that drips would never end.
            if self.exchange is not None:
                self.set_timeout(min(self.exchange.seconds(), SLICE_SECONDS))
            super()._wait(*arguments, **options)  # type: ignore[misc]

        def do_handshake(self, *arguments: Any) -> None:
            handshake = super().do_handshake
            if self.exchange is not None:
                self.exchange.bound(self, handshake, *arguments)
            else:
                handshake(*arguments)

    return PlainSocket, TLSSocket


class _Lent:
    """Somebody's TLS context, whose sockets keep deadlines when they are ours."""

    def __init__(self, context: ssl.SSLContext) -> None:
        object.__setattr__(self, "_context", context)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # What urllib3 sets for each connection, as it does on the caller's own.
        setattr(self._context, name, value)

    def wrap_socket(self, sock: Any, server_hostname: str | None = None, **options: Any) -> Any:
        """As `ssl.SSLContext.wrap_socket`, but of another class."""
        create = _socket_classes()[1]._create  # type: ignore[attr-defined]
        return create(sock=sock, context=self._context, server_hostname=server_hostname, **options)


def lend(context: ssl.SSLContext) -> Any:
    """Have sockets that keep deadlines made of a context that is not to be changed."""
    return _Lent(context)


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
            exchange.attach(sock)
            _await_connection(sock, address, exchange, seconds)
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


def _await_connection(sock: Any, address: Any, exchange: Exchange, seconds: float) -> None:
    """Connect in slices: `socket.connect` is not to be repeated after a timeout."""
    until = monotonic() + seconds
    sock.set_timeout(min(seconds, SLICE_SECONDS))
    try:
        sock.connect(address)
    except TimeoutError as error:
        if foreign(error) is not None:
            raise
    else:
        return
    while not wait_for_write(sock, min(exchange.seconds(), SLICE_SECONDS)):
        if monotonic() >= until:
            raise TimeoutError(f"no connection in {seconds:g} s")
    exchange.seconds()
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _addresses(host: str, port: int, exchange: Exchange) -> list[Any]:
    host = host.strip("[]")
    if not _is_address(host):
        return _resolver.look_up(host, port, exchange)
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


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


_resolver = Resolver()


class _Response(http.client.HTTPResponse):
    """An answer that is final, and whose headers are not logged where they might tell a secret."""

    def begin(self) -> None:
        super().begin()
        if 100 <= self.status < 200:
            # http.client passes over 100 alone (RFC 9110, section 15.2). After another, as
            # 103, the real answer is still to come: it must not be the next request's.
            raise http.client.HTTPException(f"an informational answer ({self.status})")
        exchange = current.get()
        if exchange is None or not exchange.confidential:
            return
        # urllib3 logs what it takes for no header, as part of a body would be.
        if self.headers.defects or self.headers.get_payload():
            raise http.client.HTTPException("the headers cannot be read")


class _Connection(HTTPConnection):
    """A connection whose sockets keep the deadline of the exchange they serve."""

    response_class = _Response
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


class _Idle:
    """The connections that are not in use: as many as there ever were at once.

    urllib3's own bound would have a connection thrown away, with a warning, for
    each thread above it. Those that are not used for `KEEP_SECONDS` go.

    It has what a pool needs of a `queue.LifoQueue`, and no lock. The one of a queue stays
    locked for ever where an exception of a signal handler comes between its being taken and
    the ``with``; here each step is a single one.
    """

    def __init__(self, maxsize: int = 0) -> None:
        del maxsize
        self._idle: collections.deque[Any] = collections.deque()

    def put(self, item: Any, block: bool = True) -> None:
        """Keep a connection. None is "make one" to a pool, which an empty queue says too."""
        del block
        if item is None:
            return
        item.last_used = monotonic()
        self._idle.append(item)
        try:
            while self._idle[0].last_used < item.last_used - KEEP_SECONDS:
                self._idle.popleft().close()
        except IndexError:
            pass  # others have taken them all

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Give the connection that was in use last."""
        del block, timeout
        try:
            item = self._idle.pop()
        except IndexError:
            raise queue.Empty from None
        if item.last_used < monotonic() - KEEP_SECONDS:
            # Something on the way may have forgotten it. It opens itself anew.
            item.close()
        return item


class _DeadlinePool:
    """What is the same for plain and TLS pools."""

    QueueCls: Any = _Idle

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
