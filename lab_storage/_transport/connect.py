"""Connecting to the first address of a host that answers, by the deadline of an exchange."""

from __future__ import annotations

import ipaddress
import os
import socket
from time import monotonic
from typing import Any

from urllib3.util.wait import wait_for_write

from lab_storage._transport.exchange import Exchange
from lab_storage._transport.interruptions import find_interruption
from lab_storage._transport.resolver import look_up
from lab_storage._transport.sockets import socket_classes
from lab_storage.timeout import SLICE_SECONDS

# A connection that nobody answers on is given up after this, and tried again.
CONNECT_SECONDS = 30.0


# SO_KEEPALIVE finds a peer that is gone while nothing is being said. TCP_USER_TIMEOUT (RFC 5482;
# milliseconds) finds one that takes nothing any more, as when a load balancer has forgotten the
# connection: without it the kernel goes on for a quarter of an hour.
SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 10_000),
    )
    if hasattr(socket, name)
]


def connect(
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
        sock: Any = socket_classes()[0](family, kind, protocol)
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
            if find_interruption(error) is not None:
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
        if find_interruption(error) is not None:
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
        return look_up(host, port, exchange)
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
