"""HTTP: reads requests, applies the rules, writes answers."""

from __future__ import annotations

import contextlib
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .discovery import discover, is_discovery
from .dispatch import Body, carry_out, name_within, view_of
from .errors import (
    APIError,
    bad_request,
    denied,
    method_not_allowed,
    not_implemented,
    unauthorized,
)
from .faults import Answer, Drip, Expire, Reset, Silence, Truncate
from .lists import ListOptions
from .requests import (
    RecordedRequest,
    Target,
    find_target,
    split,
)
from .streams import Stream
from .writing import NOSNIFF, Over, Writer

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from .faults import Effect
    from .front import Front, Watch
    from .views import View

# Before the end of a watch comes another bookmark: cacheWatcher.nextBookmarkTime.
_LAST_BOOKMARK_SECONDS = 2.0
#: The user of a request without a token.
ANONYMOUS = "system:anonymous"
_LONGEST_BODY = 3 * 1024 * 1024  # What kube-apiserver takes at most.
_ABOUT_ITSELF = frozenset({"/healthz", "/livez", "/readyz", "/version"})
_PLAIN = "text/plain; charset=utf-8"
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


def serve(connection: socket.socket, front: Front) -> None:
    """Serve one connection, one request after another, until it ends."""
    _Handler(connection, ("127.0.0.1", 0), front)  # type: ignore[arg-type]


class _Handler(Writer):
    """Serves one connection."""

    def handle(self) -> None:
        """Serve until either side ends it."""
        with contextlib.suppress(OSError, Over):
            super().handle()

    def answer(self) -> None:
        """Answer one request."""
        self.drip_seconds = self.body_bytes_left = None
        try:
            body = Body(self._read_body())
            path, query = split(self.path)
            if path in _ABOUT_ITSELF or is_discovery(path):
                self._answer_about_itself(path, query)
            else:
                self._answer_about_objects(path, query, body)
        except APIError as error:
            self.refuse(error)

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = answer  # noqa: N815

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
            self.send_json(HTTPStatus.OK, _VERSION)
        elif path in _ABOUT_ITSELF:
            self.send(HTTPStatus.OK, b"ok", {"Content-Type": _PLAIN, **NOSNIFF})
        else:
            resources = self.server.objects.store.resources
            accept, host = self.headers.get("Accept", ""), self.server.address
            self.send_json(HTTPStatus.OK, discover(resources, self.command, path, accept, host))

    def _answer_about_objects(self, path: str, query: Mapping[str, str], body: Body) -> None:
        user = self._user()
        try:
            target = find_target(self.server.objects.store.resources, self.command, path, query)
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
        if target.subresource == "log":
            self._send_log(target, effect)
            return
        answered = carry_out(self.server.objects, target, self.headers, body)
        self._after(effect)
        self.send_json(answered.status, answered.body, answered.warnings)

    def _send_log(self, target: Target, effect: Effect | None) -> None:
        if target.verb != "get":
            raise method_not_allowed()
        where = (target.resource, target.namespace, target.name or "")
        pod = self.server.objects.read(*where)
        log = self.server.logs.read(pod, target.query)
        self._after(effect)
        if log is None:
            self.send(HTTPStatus.NO_CONTENT, b"", {})
        else:
            self.send(HTTPStatus.OK, log, {"Content-Type": "text/plain"})

    def _before(self, effect: Effect | None, target: Target) -> None:
        """Apply a rule before anything is done."""
        if isinstance(effect, Answer):
            raise effect.error()
        if isinstance(effect, Expire) and not (effect.in_stream and target.verb == "watch"):
            raise effect.error()
        if isinstance(effect, Drip):
            self.drip_seconds = effect.interval.total_seconds()
        elif isinstance(effect, Truncate):
            self.body_bytes_left = effect.after_bytes
        elif isinstance(effect, (Silence, Reset)) and not effect.after_commit:
            self._after(effect)

    def _after(self, effect: Effect | None) -> None:
        """Apply a rule instead of answering."""
        if isinstance(effect, Silence):
            self.hold()
        if isinstance(effect, Reset):
            self.reset()

    def _watch(self, target: Target, effect: Effect | None) -> None:
        view = view_of(target, self.headers)
        store = self.server.objects.store
        options = ListOptions.parse(
            target.resource, target.query, watch_list=self.server.watch_list
        )
        try:
            if isinstance(effect, Expire):
                raise effect.error()
            stream = Stream.open(store, target.resource, target.namespace, options)
        except APIError as error:
            # The watch cache says so in the stream, which has begun with status 200.
            self.begin_stream()
            self.send_event("ERROR", error.status())
            self.end_stream()
            return
        with self.server.watching(stream) as watch:
            self.begin_stream()
            if isinstance(effect, Silence):
                self.hold()
            self._send_events(watch, view, options, ends_at_once=isinstance(effect, Reset))

    def _send_events(
        self, watch: Watch, view: View, options: ListOptions, *, ends_at_once: bool
    ) -> None:
        """Send events until the client hangs up, the time is over, or the test ends it."""
        stream, connections = watch.stream, self.server.connections
        deadline = _Deadline(options.timeout_seconds)
        bookmark = _Deadline(self._until_bookmark(options, deadline))
        first = True
        connections.on_hang_up(self.connection, lambda: watch.stop("hang up"))
        try:
            while not stream.closed and not deadline.over:
                event = stream.next(0.0 if ends_at_once else deadline.nearer(bookmark))
                if event is None and ends_at_once:
                    watch.stop("reset")
                elif event is None and bookmark.over:
                    bookmark = _Deadline(self._until_bookmark(options, deadline))
                    event = stream.bookmark()
                if event is not None:
                    kind, obj = event
                    show = view.watched if kind != "BOOKMARK" else view.bookmark
                    shown = obj if kind != "BOOKMARK" else obj["metadata"]
                    self.send_event(kind, show(shown, first=first))
                    first = False
        finally:
            connections.forget(self.connection)
        self._end_watch(watch.end)

    def _until_bookmark(self, options: ListOptions, deadline: _Deadline) -> float | None:
        if not options.bookmarks:
            return None
        # Another one comes shortly before the time of a watch is over.
        left = deadline.left_seconds
        last = None if left is None else left - _LAST_BOOKMARK_SECONDS
        regular = self.server.bookmark_seconds
        return regular if last is None or last <= 0 else min(regular, last)

    def _end_watch(self, end: str) -> None:
        if end == "hush":
            self.hold()
        if end == "reset":
            self.reset()
        if end == "hang up" or self.server.closing.is_set():
            raise Over
        self.end_stream()


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
