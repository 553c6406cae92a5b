"""A TCP relay before a server: what the server says comes later, or not at all; bytes are counted.

Connections can be cut, or fall silent as when a load balancer has forgotten them.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from types import TracebackType
from urllib.parse import urlsplit

_SEGMENT_BYTES = 1 << 16


class Relay:
    """Passes on what clients say at once, and what the server says after a while.

    A context manager: entered, it listens; left, it does not, and its connections are gone.

    Parameters
    ----------
    host
        The URL of the server.
    delay_seconds
        How much later what the server says is passed on.

    Attributes
    ----------
    sent, received
        Bytes that clients, and that the server, have said so far; TLS and headers included.
    """

    def __init__(self, host: str, delay_seconds: float = 0.0) -> None:
        self._server = urlsplit(host)
        self._delay_seconds = delay_seconds
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._connections: dict[_Connection, None] = {}
        self.sent = 0
        self.received = 0

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # shutdown: a thread that blocks in accept does not notice a close.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    @property
    def host(self) -> str:
        """Its URL."""
        return f"{self._server.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> int:
        """Cut all connections that there are; how many that were."""
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        return len(connections)

    def silence(self) -> int:
        """Pass nothing on any more in the connections that there are; how many that are."""
        connections = list(self._connections)
        for connection in connections:
            connection.is_silent = True
        return len(connections)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection((self._server.hostname, self._server.port))
                except OSError:
                    # The server is not there just now.
                    client.close()
                    continue
                connection = _Connection(self, client, server)
                self._connections[connection] = None
                connection.start()

    def _forget(self, connection: _Connection) -> None:
        self._connections.pop(connection, None)


class _Connection:
    """One connection of a client, and the one to the server that belongs to it."""

    def __init__(self, relay: Relay, client: socket.socket, server: socket.socket) -> None:
        self._relay, self._client, self._server = relay, client, server
        self._late: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        self.is_silent = False
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        """Pass on what is said."""
        for run in (self._forward, self._read, self._say_late):
            threading.Thread(target=run, daemon=True).start()

    def close(self) -> None:
        """End it, for both sides."""
        self._relay._forget(self)
        for sock in (self._client, self._server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _forward(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._client.recv(_SEGMENT_BYTES):
                if not self.is_silent:
                    self._relay.sent += len(data)
                    self._server.sendall(data)
            self._server.shutdown(socket.SHUT_WR)
        if self.is_silent:
            self.close()

    def _read(self) -> None:
        data = b"-"
        while data:
            try:
                data = self._server.recv(_SEGMENT_BYTES)
            except OSError:
                data = b""
            self._late.put((time.monotonic() + self._relay._delay_seconds, data))

    def _say_late(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = self._late.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    break
                if not self.is_silent:
                    self._relay.received += len(data)
                    self._client.sendall(data)
        # A silent one does not say that it has ended, either.
        if not self.is_silent:
            self.close()
