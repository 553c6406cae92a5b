"""List, watch, resume, list again: what happens to objects, without a gap.

One generator, `follow`, over the official ``watch.Watch``. What it stands on is
in https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from time import monotonic
from types import TracebackType
from typing import Any, Final, TypeGuard

import attrs
from kubernetes import watch

from lab_storage._api.answer import Answer, Request, SilenceError, UnusableError, mappings_at
from lab_storage._api.client import IDLE_SECONDS, Client, Stream
from lab_storage._api.operation import Operation
from lab_storage._api.retry import Backoff, TransientError, call, judged, open_stream
from lab_storage.exceptions import KubernetesError, OperationCancelledError

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"
LISTED: Final = "LISTED"

# The server ends a watch by itself after this, somewhat below the idle limit:
# then a silence of that length means that nobody is there any more. Random, so
# that watches that began together do not come back together.
SHORTEST_WATCH_SECONDS = 40
LONGEST_WATCH_SECONDS = 55
if not LONGEST_WATCH_SECONDS < IDLE_SECONDS:
    raise ValueError("a watch must end before it is taken for silent")
# After a line that cannot be read something may be lost. What follows at once is
# still read; after this long, the objects are listed again.
DOUBT_SECONDS = 1.0
# Of watches that end sooner than this, the second in a row is no reason to hurry.
QUICK_SECONDS = 1.0


@attrs.frozen
class Change:
    """What happened to an object.

    Attributes
    ----------
    type
        ``ADDED``, ``MODIFIED`` or ``DELETED``; or ``LISTED``, which says that
        all that exists has been told.
    object
        The object as the server sent it. Of a deletion that was found out by
        listing, its metadata alone: uid, name and namespace.
    """

    type: str
    object: dict[str, Any]

    @property
    def uid(self) -> str:
        """The UID, or where a server sends none, the name."""
        return identity(self.object)


def identity(content: dict[str, Any]) -> str:
    """What tells an object from a later one of its name."""
    metadata = content.get("metadata") or {}
    return str(metadata.get("uid") or metadata.get("name"))


def follow(
    client: Client,
    operation: Operation,
    request: Request,
    *,
    order: Callable[[dict[str, Any]], Any] | None = None,
) -> Generator[Change, None, None]:
    """Yield what exists, and then what happens to it. Blocks between the changes.

    Parameters
    ----------
    client
        Sends the requests.
    operation
        The call it is a part of.
    request
        The list of the objects, with a selector.
    order
        The key by which objects that were listed at once are told.

    Yields
    ------
    Change
        First an ``ADDED`` for each object that exists and a ``LISTED``.

    Raises
    ------
    KubernetesError
        If list or watch is refused for good, as with 401, 403 or 404.
    OperationCancelledError, OperationTimeoutError
        If the call is over.

    Notes
    -----
    What it guarantees:

    - State decides, not the event. What exists is told first; whenever the
      thread of events may be broken, everything is listed again and compared
      with what was told, and the difference comes as ``ADDED``, ``MODIFIED``
      and ``DELETED``, followed by ``LISTED``.
    - A watch that ends is resumed from the last version seen, those of
      bookmarks included; the same version of an object is never told twice,
      whatever the server repeats. After an orderly end that happens at once, after a
      failure by the pauses of `lab_storage._api.retry`, which begin anew whenever a
      watch has worked. A server that ends each watch at once is not asked in a loop.
    - Objects are followed by UID. A new one of the same name is told as the
      ``DELETED`` of the old and an ``ADDED``.
    - A stream that says nothing for `IDLE_SECONDS` is opened anew.
    - A blank, broken, odd or huge line never ends it. After one that cannot be
      read, everything is listed again within about a second.
    - A watch's 410, "too large resource version", 429 and 5xx never end it.
    - Whenever the generator is closed, by ``close()``, by leaving the loop, by an
      exception or by being forgotten, its connection is closed at once.
    - On a quiet object it costs one list, and a watch every 40 s or more.
    - What the caller has put into ``operation.last`` counts again as soon as the
      server answers: a failure that is over is not what a timeout is about.

    What it cannot do: tell of states that came and went while nobody listened.
    """
    return _Follower(client, operation, request, order).run()


class _GoneError(Exception):
    """The server no longer knows the version that the watch was to begin at."""


class _Follower:
    """The state of one `follow`."""

    def __init__(
        self,
        client: Client,
        operation: Operation,
        request: Request,
        order: Callable[[dict[str, Any]], Any] | None,
    ) -> None:
        self._client = client
        self._operation = operation
        self._request = request
        self._order = order
        self._backoff = Backoff(operation, request)
        # By UID: version, and what a DELETED needs to say. Not the objects, which
        # can be large and of which there can be many waits.
        self._known: dict[str, tuple[str | None, dict[str, Any]]] = {}
        # Who has a name now, and who was deleted at which version.
        self._holders: dict[tuple[str, str], str] = {}
        self._gone: dict[str, str | None] = {}
        self._version: str | None = None
        self._in_doubt = True
        self._doubted_at = 0.0
        self._has_worked = False
        self._waits_for = operation.last

    def run(self) -> Generator[Change, None, None]:
        with closing(self._changes()) as changes:
            for change in changes:
                yield change
                self._waits_for = self._operation.last

    def _changes(self) -> Generator[Change, None, None]:
        was_quick = False
        while True:
            began = monotonic()
            self._has_worked = False
            failure: TransientError | None = None
            try:
                if self._in_doubt:
                    yield from self._list()
                yield from self._watch()
            except _GoneError:
                self._in_doubt = True
            except SilenceError:
                pass  # nobody was there: as good as an orderly end
            except TransientError as error:
                failure = error
            is_quick = monotonic() - began < QUICK_SECONDS
            if self._has_worked or not is_quick:
                self._backoff.reset()
            if failure is None and is_quick and was_quick:
                failure = TransientError("the watch ends as soon as it begins")
            was_quick = is_quick
            if failure is not None:
                self._backoff.pause(failure)

    def _list(self) -> Iterator[Change]:
        content = call(self._client, self._request, self._operation).content
        self._operation.last = self._waits_for
        items = [item for item in mappings_at(content, "items") if _is_object(item)]
        if self._order is not None:
            items.sort(key=self._order)
        self._version = _version(content)
        self._in_doubt = False
        listed = {identity(item) for item in items}
        for uid in [uid for uid in self._known if uid not in listed]:
            yield self._forget(uid, self._version)
        for item in items:
            version = _version(item)
            known = self._known.get(identity(item))
            # A list is the truth: also where its version is an older one, as after a
            # backup of etcd has been restored.
            if version is None or known is None or known[0] != version:
                yield from self._learn(item)
        yield Change(LISTED, {})

    def _watch(self) -> Iterator[Change]:
        seconds = random.randint(SHORTEST_WATCH_SECONDS, LONGEST_WATCH_SECONDS)  # noqa: S311
        stream = self._open(seconds)
        self._operation.last = self._waits_for

        def open_(**options: Any) -> Stream:
            del options
            return stream

        try:
            # With timeout_seconds, Watch makes one request and no more.
            for (event,) in _Lines().stream(open_, timeout_seconds=seconds):
                yield from self._handle(event)
                if self._in_doubt:
                    left = self._doubted_at + DOUBT_SECONDS - monotonic()
                    if left <= 0:
                        break
                    stream.limit_silence(left)
        except UnusableError as error:
            if isinstance(error, SilenceError):
                raise
            self._operation.fail(str(error), error.__cause__)
            raise TransientError(str(error)) from error
        finally:
            stream.close()

    def _open(self, seconds: int) -> Stream:
        query = {
            **self._request.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        if self._version is not None:
            query["resourceVersion"] = self._version
        request = attrs.evolve(self._request, query=query)
        try:
            opened = open_stream(self._client, request, self._operation, is_welcome=_is_too_large)
        except KubernetesError as error:
            if error.status == 410:
                raise _GoneError from error
            raise
        if isinstance(opened, Answer):
            raise self._judged(opened)
        return opened

    def _handle(self, event: Any) -> Iterator[Change]:
        if event is _BLANK:
            return
        kind, content = (event.get("type"), event.get("object")) if event else (None, None)
        if kind == "ERROR" and isinstance(content, dict):
            code = content.get("code")
            status = code if isinstance(code, int) and code >= 400 else 500
            raise self._judged(Answer(status, {}, json.dumps(content).encode()))
        if kind == "BOOKMARK" and _is_object(content):
            self._advance(content)
        elif kind in (ADDED, MODIFIED, DELETED) and _is_object(content):
            is_stale = self._is_stale(content)
            if self._advance(content):
                self._has_worked = True
            if kind != DELETED:
                if not is_stale:
                    yield from self._learn(content)
            elif identity(content) in self._known:
                self._forget(identity(content), _version(content))
                yield Change(DELETED, content)
        else:
            self._doubt(kind)

    def _advance(self, content: dict[str, Any]) -> bool:
        """Resume from here, if it is later; what a server repeats does not lead back."""
        version = _version(content)
        if version is None or not _is_later(version, self._version):
            return False
        self._version = version
        return True

    def _is_stale(self, content: dict[str, Any]) -> bool:
        """Whether this was told before, or is from before what was told."""
        uid, version = identity(content), _version(content)
        holder = self._holders.get(_place(content), uid)
        known, _ = self._known.get(holder, (None, {}))
        return version is not None and not (
            _is_later(version, known) and _is_later(version, self._gone.get(uid))
        )

    def _learn(self, content: dict[str, Any]) -> Iterator[Change]:
        """An object exists: tell what is new about that."""
        uid, version, place = identity(content), _version(content), _place(content)
        holder = self._holders.get(place, uid)
        if holder != uid:
            yield self._forget(holder, version)
        kind = MODIFIED if uid in self._known else ADDED
        self._gone.pop(uid, None)
        self._known[uid] = version, _skeleton(content)
        self._holders[place] = uid
        yield Change(kind, content)

    def _forget(self, uid: str, version: str | None) -> Change:
        """An object does not exist any more."""
        _, skeleton = self._known.pop(uid)
        self._holders.pop(_place(skeleton), None)
        self._gone[uid] = version
        return Change(DELETED, skeleton)

    def _doubt(self, kind: Any) -> None:
        """Something was said that cannot be read."""
        request = self._request
        self._operation.write(
            self._operation.log.warning,
            "A line of a watch cannot be read",
            namespace=request.namespace,
            name=request.name,
            kind=request.kind.name,
            type=kind if isinstance(kind, str) else None,
        )
        if not self._in_doubt:
            self._in_doubt = True
            self._doubted_at = monotonic()

    def _judged(self, answer: Answer) -> Exception:
        """What an answer that is no stream, or an ERROR in one, means for the watch."""
        if answer.status == 410 or answer.reason in ("Expired", "Gone"):
            return _GoneError()
        if _is_too_large(answer):
            # This server has not seen that version yet. A list without a version
            # asks etcd (kubernetes#91073).
            self._in_doubt = True
        return judged(answer, self._request, self._operation)


class _Lines(watch.Watch):  # type: ignore[misc,unused-ignore]
    """The official ``Watch``, for its stream.

    It would make an ``ApiClient`` of its own, build models of what it is sent,
    and stop at a line that it cannot read (in client 31 by a JSONDecodeError, later
    by a KeyError). What it yields here is a tuple of the decoded line, which is
    `None` where the line is no JSON object; also ``ERROR`` and bookmarks come so.
    """

    def __init__(self) -> None:
        self._raw_return_type = "object"
        self._stop = False
        self._api_client = None
        self.resource_version = None

    def get_watch_argument_name(self, func: object) -> str:
        """Not read from the function's documentation."""
        del func
        return "watch"

    def unmarshal_event(self, data: str, return_type: object) -> tuple[Any]:
        """Decode a line."""
        del return_type
        if not data or data.isspace():
            return (_BLANK,)
        try:
            # Some put a byte order mark in front (RFC 8259, section 8.1, lets readers
            # ignore it). Nesting that is too deep is no ValueError.
            event = json.loads(data.removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            event = None
        return (event if isinstance(event, dict) else None,)


_BLANK: Final = object()


def _is_object(content: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(content, dict) and isinstance(content.get("metadata"), dict)


def _version(content: dict[str, Any]) -> str | None:
    metadata = content.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) and version else None


def _skeleton(content: dict[str, Any]) -> dict[str, Any]:
    metadata = content["metadata"]
    kept = ("uid", "name", "namespace")
    return {"metadata": {key: metadata[key] for key in kept if key in metadata}}


def _place(content: dict[str, Any]) -> tuple[str, str]:
    """What no two objects have at the same time."""
    metadata = content["metadata"]
    return str(metadata.get("namespace")), str(metadata.get("name") or identity(content))


def _is_later(version: str, known: str | None) -> bool:
    """Whether a version is another than the known one, and not an older.

    Versions are to be compared for equality; that those of one resource are
    decimal numbers that grow is true of all servers, and promised since 1.35
    (KEP-5504). The longer of two such numbers is the greater.
    """
    if known is None:
        return True
    if version.isdecimal() and known.isdecimal():
        return (len(version), version) > (len(known), known)
    return version != known


def _is_too_large(answer: Answer) -> bool:
    """Whether a server that lags behind says so: no reason to ask it the same again."""
    return answer.status == 504 and "Too large resource version" in answer.message


class Interruptible(Generator[str, None, None]):
    """A generator that any thread may close, also while another one waits in it.

    A generator proper refuses that: ``ValueError: generator already executing``.

    Parameters
    ----------
    operation
        The call that the generator is.
    make
        Makes the generator of a part of it, which is cancelled to close it.
    """

    def __init__(
        self,
        operation: Operation,
        make: Callable[[Operation], Generator[str, None, None]],
    ) -> None:
        self._part = operation.part()
        self._inner = make(self._part)

    def send(self, value: None) -> str:
        """Wait for the next item. Ends, without an error, at a cancel or when closed."""
        if not self._is_cancelled():
            try:
                item = self._inner.send(value)
            except OperationCancelledError:
                raise StopIteration from None
            if not self._is_cancelled():
                return item
        self._inner.close()
        raise StopIteration

    def _is_cancelled(self) -> bool:
        return self._part.timeout.cancelled

    def throw(
        self,
        kind: Any,
        value: Any = None,
        trace: TracebackType | None = None,
    ) -> str:
        """Raise an exception where the generator waits."""
        error = value if isinstance(value, BaseException) else kind
        return self._inner.throw(error if trace is None else error.with_traceback(trace))

    def close(self) -> None:
        """End it, from any thread. The connection is closed at once."""
        self._part.timeout.cancel()
        try:
            self._inner.close()
        except ValueError:
            pass  # another thread is in it, and is on its way out
