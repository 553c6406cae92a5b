"""The two classes of sockets, plain and TLS, that keep the deadline of their exchange."""

from __future__ import annotations

import functools
import socket
import ssl
from typing import Any

from lab_storage._transport.exchange import Exchange, current_exchange
from lab_storage.timeout import SLICE_SECONDS


@functools.cache
def socket_classes() -> (  # noqa: C901 - one class body twice, each method short
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
            exchange = current_exchange.get()
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
