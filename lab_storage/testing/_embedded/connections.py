"""Sockets: one thread accepts and notices hang-ups, and each connection has one to serve it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BACKLOG = 1024


class Connections:
    """A listening socket on loopback and all connections to it.

    After `close` none of its threads and sockets is left.

    Parameters
    ----------
    serve
        Serves one connection until it ends, in a thread of its own.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._commands: deque[Callable[[], object]] = deque()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="embedded-accept", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def close(self) -> None:
        """Close all sockets and wait for all threads."""
        self._later(self._end)
        self._thread.join()
        with self._lock:
            threads = dict(self._open)
        for connection in threads:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads.values():
            thread.join()
        for each in (self._listener, self._wake_reader, self._wake_writer):
            each.close()
        self._selector.close()

    def on_hang_up(self, connection: socket.socket, notify: Callable[[], object]) -> None:
        """Call back when the client of a connection is gone.

        For connections whose thread does not read meanwhile: a watch is only
        written to, and notices nothing as long as there is nothing to write.
        """
        key = (connection, selectors.EVENT_READ, notify)
        self._later(lambda: self._selector.register(*key))

    def forget(self, connection: socket.socket) -> None:
        """Call back no more; returns once no call is on its way."""
        done = threading.Event()

        def forget() -> None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(connection)
            done.set()

        self._later(forget)
        done.wait()

    def _later(self, command: Callable[[], object]) -> None:
        with self._lock:
            if not self._closed:
                self._commands.append(command)
                self._wake_writer.send(b"!")
                return
        command()

    def _end(self) -> None:
        with self._lock:
            self._closed = True

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake_reader:
                    self._wake_reader.recv(4096)
                elif isinstance(key.fileobj, socket.socket):
                    # One that says something instead is heard after the watch.
                    self._selector.unregister(key.fileobj)
                    if _is_gone(key.fileobj):
                        key.data()
            self._run_commands()

    def _run_commands(self) -> None:
        while True:
            with self._lock:
                if not self._commands:
                    return
                command = self._commands.popleft()
            command()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # It was gone before it was accepted.
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(
            target=self._serve_one, args=(connection,), name="embedded-connection", daemon=True
        )
        with self._lock:
            self._open[connection] = thread
        thread.start()

    def _serve_one(self, connection: socket.socket) -> None:
        try:
            self._serve(connection)
        finally:
            with self._lock:
                del self._open[connection]
            connection.close()


def reset(connection: socket.socket) -> None:
    """Close a connection by RST, as one that a firewall has forgotten."""
    # SO_LINGER with a time of zero makes close() send RST: socket(7).
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _is_gone(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
