"""HTTP: reads requests, lets the rules have their say, writes answers."""

from __future__ import annotations

import contextlib
import json
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, NoReturn

from .connections import reset
from .dispatch import Body, carry_out, name_within, view_of
from .errors import (
    APIError,
    bad_request,
    denied,
    not_implemented,
    unauthorized,
)
from .faults import Answer, Drip, Expire, Reset, Silence, Truncate
from .front import Front
from .lists import ListOptions
from .requests import (
    RecordedRequest,
    Target,
    find_target,
    split,
)
from .streams import Stream

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from .faults import Effect
    from .front import Watch
    from .resources import Object
    from .views import View

#: Who asks without a token.
ANONYMOUS = "system:anonymous"
_LONGEST_BODY = 3 * 1024 * 1024  # What kube-apiserver takes at most.
_ABOUT_ITSELF = frozenset({"/healthz", "/livez", "/readyz", "/version"})
_PHRASES = {int(status): status.phrase for status in HTTPStatus}
_NOSNIFF = {"X-Content-Type-Options": "nosniff"}
_VERSION = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.0-lab-storage-testing",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}


class _Over(Exception):  # noqa: N818 - no error, but the way out of a connection
    """The connection is to be closed without another word."""


def serve(connection: socket.socket, front: Front) -> None:
    """Serve one connection, one request after another, until it ends."""
    _Handler(connection, ("127.0.0.1", 0), front)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    protocol_version = "HTTP/1.1"
    server: Front  # type: ignore[assignment]
    connection: socket.socket

    def handle(self) -> None:
        """Serve until either side has had enough."""
        with contextlib.suppress(OSError, _Over):
            super().handle()

    def answer(self) -> None:
        """Answer one request."""
        self._drip_seconds: float | None = None
        self._body_bytes_left: int | None = None
        try:
            body = Body(self._read_body())
            path, query = split(self.path)
            if path in _ABOUT_ITSELF:
                self._answer_about_itself(path, query)
            else:
                self._answer_about_objects(path, query, body)
        except APIError as error:
            self._refuse(error)

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing: requests are kept for who wants to look at them."""

    def _read_body(self) -> bytes:
        # A body that is not read would be taken for the next request.
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise not_implemented("read a body with a Transfer-Encoding")
        text = self.headers.get("Content-Length") or "0"
        if not text.isdecimal():
            self.close_connection = True
            raise bad_request(f"Content-Length: {text}")
        if int(text) > _LONGEST_BODY:
            self.close_connection = True
            text = f"Request entity too large: limit is {_LONGEST_BODY}"
            raise APIError(413, text, "RequestEntityTooLarge")
        return self.rfile.read(int(text))

    def _user(self) -> str | None:
        authorization = self.headers.get("Authorization")
        if not authorization:
            return ANONYMOUS
        kind, _, token = authorization.partition(" ")
        return self.server.users.get(token.strip()) if kind.lower() == "bearer" else None

    def _record(
        self,
        path: str,
        query: Mapping[str, str],
        user: str | None,
        **about: Any,
    ) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.server.record(RecordedRequest(self.command, path, query, headers, user=user, **about))

    def _answer_about_itself(self, path: str, query: Mapping[str, str]) -> None:
        user = self._user()
        self._record(path, query, user)
        if user is None:
            raise unauthorized()
        if path == "/version":
            self._send_json(HTTPStatus.OK, _VERSION)
        else:
            plain = {"Content-Type": "text/plain; charset=utf-8", **_NOSNIFF}
            self._send(HTTPStatus.OK, b"ok", plain)

    def _answer_about_objects(self, path: str, query: Mapping[str, str], body: Body) -> None:
        user = self._user()
        try:
            target = find_target(self.command, path, query)
        except APIError:
            self._record(path, query, user)
            raise
        name = target.name or name_within(target, body)
        about = {
            "verb": target.verb,
            "resource": target.what,
            "namespace": target.namespace,
            "name": name,
        }
        self._record(path, query, user, **about)
        effect = self.server.rules.effect_on(**about, user=user)
        self._before(effect, target)
        if user is None:
            raise unauthorized()
        if self.server.rules.forbids(**about, user=user):
            shown = None if target.verb == "create" else name
            raise denied(
                target.resource,
                shown,
                user=user,
                verb=target.verb,
                subresource=target.subresource,
                namespace=target.scope,
            )
        if target.verb == "watch":
            self._watch(target, effect)
            return
        answered = carry_out(self.server.objects, target, self.headers, body)
        self._after(effect)
        self._send_json(answered.status, answered.body, answered.warnings)

    def _before(self, effect: Effect | None, target: Target) -> None:
        """Let a rule have its say before anything is done."""
        if isinstance(effect, Answer):
            raise effect.error()
        if isinstance(effect, Expire) and not (effect.in_stream and target.verb == "watch"):
            raise effect.error()
        if isinstance(effect, Drip):
            self._drip_seconds = effect.interval.total_seconds()
        elif isinstance(effect, Truncate):
            self._body_bytes_left = effect.after_bytes
        elif isinstance(effect, (Silence, Reset)) and not effect.after_commit:
            self._after(effect)

    def _after(self, effect: Effect | None) -> None:
        """Let a rule have its say instead of an answer."""
        if isinstance(effect, Silence):
            self._hold()
        if isinstance(effect, Reset):
            self._reset()

    def _hold(self) -> NoReturn:
        """Say nothing until the client hangs up or the server closes."""
        self.server.hold(self.connection)
        raise _Over

    def _reset(self) -> NoReturn:
        reset(self.connection)
        raise _Over

    def _watch(self, target: Target, effect: Effect | None) -> None:
        view = view_of(target, self.headers)
        options = ListOptions.parse(target.resource, target.query)
        store = self.server.objects.store
        try:
            if isinstance(effect, Expire):
                raise effect.error()
            stream = Stream.open(store, target.resource, target.namespace, options)
        except APIError as error:
            # The watch cache says so in the stream, which has begun with status 200.
            self._begin_stream()
            self._send_event("ERROR", error.status())
            self._write_body(b"0\r\n\r\n")
            return
        with self.server.watching(stream) as watch:
            self._begin_stream()
            if isinstance(effect, Silence):
                self._hold()
            self._send_events(watch, view, options, ends_at_once=isinstance(effect, Reset))

    def _send_events(
        self, watch: Watch, view: View, options: ListOptions, *, ends_at_once: bool
    ) -> None:
        """Send events until the client hangs up, the time is over, or somebody ends it."""
        stream, connections = watch.stream, self.server.connections
        deadline = _Deadline(options.timeout_seconds)
        bookmark = _Deadline(self.server.bookmark_seconds if options.bookmarks else None)
        first = True
        connections.on_hang_up(self.connection, lambda: watch.stop("hang up"))
        try:
            while not stream.closed and not deadline.over:
                event = stream.next(0.0 if ends_at_once else deadline.nearer(bookmark))
                if event is None and ends_at_once:
                    watch.stop("reset")
                elif event is None and bookmark.over:
                    bookmark = _Deadline(self.server.bookmark_seconds)
                    event = stream.bookmark()
                if event is not None:
                    kind, obj = event
                    show = view.watched if kind != "BOOKMARK" else view.bookmark
                    shown = obj if kind != "BOOKMARK" else obj["metadata"]
                    self._send_event(kind, show(shown, first=first))
                    first = False
        finally:
            connections.forget(self.connection)
        self._end_watch(watch.end)

    def _end_watch(self, end: str) -> None:
        if end == "hush":
            self._hold()
        if end == "reset":
            self._reset()
        if end == "hang up" or self.server.closing.is_set():
            raise _Over
        self._write_body(b"0\r\n\r\n")

    def _begin_stream(self) -> None:
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        self._write(self._head(HTTPStatus.OK, headers))

    def _send_event(self, kind: str, obj: Object) -> None:
        line = _json({"type": kind, "object": obj})
        self._write_body(b"%x\r\n%b\r\n" % (len(line), line))

    def _refuse(self, error: APIError) -> None:
        headers = {"Content-Type": "application/json"}
        if error.retry_after is not None:
            headers["Retry-After"] = error.retry_after
        if error.nosniff:
            headers.update(_NOSNIFF)
        body = error.body if error.body is not None else _json(error.status())
        self._send(error.code, body, headers)

    def _send_json(self, status: int, answer: Object, warnings: list[str] | None = None) -> None:
        headers = {"Content-Type": "application/json"}
        if warnings:
            # RFC 7234, section 5.5; 299 is a persistent warning, "-" no agent.
            said = (text.replace('"', '\\"') for text in warnings)
            headers["Warning"] = ", ".join(f'299 - "{text}"' for text in said)
        self._send(status, _json(answer), headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        head = self._head(status, {**headers, "Content-Length": str(len(body))})
        if self.command == "HEAD":
            body = b""
        if self._drip_seconds is None and self._body_bytes_left is None:
            self._write(head + body)
        else:
            self._write(head)
            self._write_body(body)

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
        if self._body_bytes_left is not None:
            data = data[: self._body_bytes_left]
            self._body_bytes_left -= len(data)
        self._write(data)
        if self._body_bytes_left == 0:
            raise _Over

    def _write(self, data: bytes) -> None:
        if self._drip_seconds is None:
            self.connection.sendall(data)
            return
        for byte in data:
            self.connection.sendall(bytes([byte]))
            if self.server.closing.wait(self._drip_seconds):
                raise _Over


class _Deadline:
    """A point in time that may be never."""

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    @property
    def left_seconds(self) -> float | None:
        return None if self._at is None else max(self._at - time.monotonic(), 0.0)

    @property
    def over(self) -> bool:
        return self.left_seconds == 0.0

    def nearer(self, other: _Deadline) -> float | None:
        """Give the time that is left until the first of two."""
        times = (self.left_seconds, other.left_seconds)
        return min((each for each in times if each is not None), default=None)


def _json(obj: Object) -> bytes:
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
