"""Connections and pools of urllib3 on sockets that keep deadlines.

urllib3 asks the classes of its pools for connections; `use_deadlines` gives a
pool manager those of this module. It needs no more of urllib3 than that.
"""

from __future__ import annotations

import collections
import http.client
import queue
import socket
import ssl
from time import monotonic
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from lab_storage._transport.connect import SOCKET_OPTIONS, connect
from lab_storage._transport.exchange import current_exchange, innermost_socket
from lab_storage._transport.interruptions import find_interruption

# A connection that nobody used for this long is closed, not kept.
KEEP_SECONDS = 120.0


class _Response(http.client.HTTPResponse):
    """An answer that is final, and whose headers are not logged where they might tell a secret."""

    def begin(self) -> None:
        super().begin()
        if 100 <= self.status < 200:
            # http.client passes over 100 alone (RFC 9110, section 15.2). After another, as
            # 103, the real answer is still to come: it must not be the next request's.
            raise http.client.HTTPException(f"an informational answer ({self.status})")
        exchange = current_exchange.get()
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
        exchange = current_exchange.get()
        if exchange is None:
            return super()._new_conn()
        try:
            return connect(
                self._dns_host,
                self.port,
                exchange,
                list(self.socket_options or []),
                self.source_address,
            )
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            if find_interruption(error) is not None:
                raise
            raise ConnectTimeoutError(self, f"connecting to {self.host} took too long") from error
        except OSError as error:
            if find_interruption(error) is not None:
                raise
            raise NewConnectionError(self, f"cannot connect: {error}") from error

    def request(self, *arguments: Any, **options: Any) -> None:
        exchange = current_exchange.get()
        if exchange is not None and self.sock is not None:
            exchange.attach(self.sock)
        super().request(*arguments, **options)


class _TLSConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _IdleConnections:
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

    QueueCls: Any = _IdleConnections

    def _put_conn(self, conn: Any) -> None:
        # Before another thread can have it.
        exchange = getattr(innermost_socket(getattr(conn, "sock", None)), "exchange", None)
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
    options.setdefault("socket_options", SOCKET_OPTIONS)
    if manager.pool_classes_by_scheme is urllib3.poolmanager.pool_classes_by_scheme:
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
    # Otherwise, as for a SOCKS proxy, connecting has a timeout and no more.
