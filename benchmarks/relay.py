"""A TCP relay before a server: what the server says comes later, and bytes are counted."""

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
        self._connections: list[socket.socket] = []
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
        for sock in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    @property
    def host(self) -> str:
        """Its URL."""
        return f"{self._server.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((self._server.hostname, self._server.port))
                for sock in (client, server):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections += client, server
                late: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                for run, arguments in (
                    (self._forward, (client, server)),
                    (self._read, (server, late)),
                    (self._say_late, (late, client)),
                ):
                    threading.Thread(target=run, args=arguments, daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_SEGMENT_BYTES):
                self.sent += len(data)
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _read(self, server: socket.socket, late: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            try:
                data = server.recv(_SEGMENT_BYTES)
            except OSError:
                data = b""
            late.put((time.monotonic() + self._delay_seconds, data))

    def _say_late(
        self, late: queue.SimpleQueue[tuple[float, bytes]], client: socket.socket
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = late.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    client.shutdown(socket.SHUT_WR)
                    return
                self.received += len(data)
                client.sendall(data)
