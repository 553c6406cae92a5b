"""Connections and pools of urllib3 on sockets that keep deadlines.

urllib3 asks the classes of its pools for connections; `take_over` gives a
pool manager those of this module. It needs no more of urllib3 than that.
"""

from __future__ import annotations

import copy
import http.client
import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.poolmanager import pool_classes_by_scheme

from lab_storage._transport.connect import SOCKET_OPTIONS, connect
from lab_storage._transport.exchange import current_exchange, innermost_socket
from lab_storage._transport.idle import IdleConnections
from lab_storage._transport.interruptions import find_interruption

# There is one, but a hook may change it.
_MOST_HOSTS = 4


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
            where = f"{self._dns_host}:{self.port}"
            raise NewConnectionError(self, f"cannot connect to {where}: {error}") from error

    def request(self, *arguments: Any, **options: Any) -> None:
        exchange = current_exchange.get()
        if exchange is not None and self.sock is not None:
            exchange.attach(self.sock)
        super().request(*arguments, **options)
        if exchange is not None:
            exchange.on_sent()


class _TLSConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _DeadlinePool:
    """What is the same for plain and TLS pools."""

    QueueCls: Any = IdleConnections

    def _put_conn(self, conn: Any) -> None:
        # Before another thread can have it.
        exchange = getattr(innermost_socket(getattr(conn, "sock", None)), "exchange", None)
        if exchange is not None:
            exchange.detach()
            if not exchange.keeps_connection:
                conn.close()
        super()._put_conn(conn)  # type: ignore[misc]


class _Pool(_DeadlinePool, HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(_DeadlinePool, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


# What is read into a TLS context once, and not by urllib3 for each connection.
_OF_CONTEXT = "ca_certs", "ca_cert_dir", "ca_cert_data", "cert_file", "key_file", "key_password"


def check_manager(manager: urllib3.PoolManager) -> None:
    """Refuse a pool manager whose connections could not keep a deadline.

    Raises
    ------
    TypeError
        If it is one.
    """
    classes = manager.pool_classes_by_scheme
    if classes is pool_classes_by_scheme:
        return
    # Those for a SOCKS proxy are known: connecting has a timeout there, and the rest no more.
    for each in classes.values():
        if not each.__module__.startswith("urllib3."):
            raise TypeError(
                f"the api_client's pool manager has pools of the class {each.__module__}."
                f"{each.__qualname__}, on whose connections no deadline can be kept"
            )


def take_over(
    theirs: urllib3.PoolManager, context: Any, proxy_context: Any
) -> urllib3.PoolManager:
    """Make a pool manager of the same class and settings, with pools of its own.

    It makes one request a try, on sockets that keep deadlines, by the TLS contexts.
    """
    manager = copy.copy(theirs)
    manager.pools = type(theirs.pools)(_MOST_HOSTS)
    manager.connection_pool_kw = options = dict(theirs.connection_pool_kw)
    for name in _OF_CONTEXT:
        options.pop(name, None)
    proxy = options.get("_proxy_config")
    if proxy is not None:
        options["_proxy_config"] = manager.proxy_config = proxy._replace(ssl_context=proxy_context)
    options["ssl_context"] = context
    options["retries"] = urllib3.Retry(False, redirect=False)
    options["block"] = False
    options["maxsize"] = 1
    options.setdefault("socket_options", SOCKET_OPTIONS)
    if theirs.pool_classes_by_scheme is pool_classes_by_scheme:
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
    return manager
