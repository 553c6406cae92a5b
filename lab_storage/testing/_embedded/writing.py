"""How answers get onto the wire: heads, bodies, drops and drips."""

from __future__ import annotations

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, NoReturn

from .connections import reset
from .front import Front

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from .errors import APIError
    from .resources import Object

_PHRASES = {int(status): status.phrase for status in HTTPStatus}
NOSNIFF = {"X-Content-Type-Options": "nosniff"}


class Over(Exception):  # noqa: N818 - not an error, but the way out of a connection
    """The connection is to be closed without another word."""


class Writer(BaseHTTPRequestHandler):
    """Writes answers to one connection, as whole or as broken as a rule has it."""

    protocol_version = "HTTP/1.1"
    server: Front  # type: ignore[assignment]
    connection: socket.socket
    #: The time between two bytes, and how much of the body is left to be sent.
    drip_seconds: float | None = None
    body_bytes_left: int | None = None

    def log_message(self, *_: object) -> None:
        """Print nothing: requests are kept for whoever wants to look at them."""

    def hold(self) -> NoReturn:
        """Say nothing until the client hangs up or the server closes."""
        self.server.hold(self.connection)
        raise Over

    def reset(self) -> NoReturn:
        """Reset the connection."""
        reset(self.connection)
        raise Over

    def refuse(self, error: APIError) -> None:
        """Answer with an error."""
        headers = {"Content-Type": error.content_type}
        if error.retry_after is not None:
            headers["Retry-After"] = error.retry_after
        if error.nosniff:
            headers.update(NOSNIFF)
        body = error.body if error.body is not None else to_json(error.status())
        self.send(error.code, body, headers)

    def send_json(self, status: int, answer: Object, warnings: list[str] | None = None) -> None:
        """Answer with an object, and warnings about it."""
        headers = {"Content-Type": "application/json"}
        if warnings:
            # RFC 7234, section 5.5; 299 is a persistent warning, "-" no agent.
            said = (text.replace('"', '\\"') for text in warnings)
            headers["Warning"] = ", ".join(f'299 - "{text}"' for text in said)
        self.send(status, to_json(answer), headers)

    def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Answer with a body."""
        length = {} if status == HTTPStatus.NO_CONTENT else {"Content-Length": str(len(body))}
        head = self._head(status, {**headers, **length})
        if self.command == "HEAD":
            body = b""
        if self.drip_seconds is None and self.body_bytes_left is None:
            self._write(head + body)
        else:
            self._write(head)
            self._write_body(body)

    def begin_stream(self) -> None:
        """Send the head of a watch."""
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        self._write(self._head(HTTPStatus.OK, headers))

    def send_event(self, kind: str, obj: Object) -> None:
        """Send one event of a watch."""
        line = to_json({"type": kind, "object": obj})
        self._write_body(b"%x\r\n%b\r\n" % (len(line), line))

    def end_stream(self) -> None:
        """Send the end of a watch."""
        self._write_body(b"0\r\n\r\n")

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        lines = [
            f"HTTP/1.1 {int(status)} {_PHRASES.get(status, 'Made Up')}",
            "Cache-Control: no-cache, private",
            f"Date: {self.date_time_string()}",
            *(f"{name}: {value}" for name, value in headers.items()),
            *(("Connection: close",) if self.close_connection else ()),
        ]
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"

    def _write_body(self, data: bytes) -> None:
        if self.body_bytes_left is not None:
            data = data[: self.body_bytes_left]
            self.body_bytes_left -= len(data)
        self._write(data)
        if self.body_bytes_left == 0:
            raise Over

    def _write(self, data: bytes) -> None:
        if self.drip_seconds is None:
            self.connection.sendall(data)
            return
        for byte in data:
            self.connection.sendall(bytes([byte]))
            if self.server.closing.wait(self.drip_seconds):
                raise Over


def to_json(obj: Object) -> bytes:
    """Write an object as the server does: without spaces, and a line's end after it."""
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
