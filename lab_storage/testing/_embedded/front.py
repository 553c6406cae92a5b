"""What all connections of a server share, and its open watches."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING

import attrs

from .connections import Connections

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping

    from .logs import Logs
    from .objects import Objects
    from .requests import RecordedRequest
    from .rules import Rules
    from .streams import Stream

_REQUESTS_KEPT = 10_000


@attrs.define(eq=False)
class Watch:
    """An open watch.

    Attributes
    ----------
    stream
        Its events that have not been sent yet.
    end
        What happens once its stream is closed: it ends as if its time were over, falls
        silent, or is reset.
    """

    stream: Stream
    end: str = "end"

    def stop(self, end: str) -> None:
        """Send nothing more; ``end`` is ``end``, ``hush`` or ``reset``."""
        self.end = end
        self.stream.close()


class Front:
    """All that the connections of a server share.

    Parameters
    ----------
    objects
        What is asked about.
    rules
        What goes wrong.
    serve
        Serves one connection until it ends.
    users
        The users by their tokens.
    logs
        What the containers of pods have written.
    bookmark_seconds
        The time between the bookmarks of a watch.
    watch_list
        Whether watches may begin with ``sendInitialEvents``.
    """

    def __init__(
        self,
        objects: Objects,
        rules: Rules,
        serve: Callable[[socket.socket, Front], None],
        *,
        users: Mapping[str, str],
        logs: Logs,
        bookmark_seconds: float,
        watch_list: bool,
    ) -> None:
        self.objects = objects
        self.rules = rules
        self.bookmark_seconds = bookmark_seconds
        self.users = users
        self.logs = logs
        self.watch_list = watch_list
        self._requests: deque[RecordedRequest] = deque(maxlen=_REQUESTS_KEPT)
        self.closing = threading.Event()
        self.connections = Connections(lambda connection: serve(connection, self))
        self._watches: set[Watch] = set()
        self._held: set[threading.Event] = set()
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """Where it listens: host and port."""
        return f"127.0.0.1:{self.connections.port}"

    def close(self) -> None:
        """End all watches and whatever holds a request back, then the connections."""
        with self._lock:
            self.closing.set()
            for over in self._held:
                over.set()
        for watch in self.watches:
            watch.stream.close()
        self.connections.close()

    def record(self, request: RecordedRequest) -> None:
        """Keep a request for tests to look at."""
        with self._lock:
            self._requests.append(request)

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """The last requests, in the order in which they came."""
        with self._lock:
            return tuple(self._requests)

    def hold(self, connection: socket.socket) -> None:
        """Block until the client of a connection hangs up, or the server closes."""
        over = threading.Event()
        with self._lock:
            self._held.add(over)
            if self.closing.is_set():
                over.set()
        self.connections.on_hang_up(connection, over.set)
        try:
            over.wait()
        finally:
            self.connections.forget(connection)
            with self._lock:
                self._held.discard(over)

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The watches that are open now."""
        with self._lock:
            return tuple(self._watches)

    @contextlib.contextmanager
    def watching(self, stream: Stream) -> Iterator[Watch]:
        """Count a watch as open while its events are sent."""
        watch = Watch(stream)
        with self._lock:
            self._watches.add(watch)
        if self.closing.is_set():
            stream.close()
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.discard(watch)
            stream.close()
