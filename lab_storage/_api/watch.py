"""List, watch, resume, list again: what happens to objects, without a gap.

One generator, `follow`, over the official ``watch.Watch``. What it stands on is
in https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from time import monotonic
from typing import Any

import attrs

from lab_storage._api.answer import Answer, SilenceError, TransientError, mappings_at
from lab_storage._api.call import Call
from lab_storage._api.changes import ADDED, DELETED, LISTED, MODIFIED, Change, Reported
from lab_storage._api.client import IDLE_SECONDS
from lab_storage._api.lines import BLANK, read_lines
from lab_storage._api.request import Request
from lab_storage._api.stream import Stream
from lab_storage._api.versions import (
    is_later,
    is_object,
    version_of,
)
from lab_storage.exceptions import KubernetesError, OperationTimeoutError

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
# A watch that lasts so much longer than it was asked to is ended from here: something on the way
# keeps it alive.
OVERTIME_SECONDS = 10.0
# Silence is not doubted sooner than this; the last look is so long before the deadline, or less.
LEAST_SILENCE_SECONDS = 0.75
LAST_LOOK_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 2.0


def follow(
    call: Call,
    request: Request,
    *,
    order: Callable[[dict[str, Any]], Any] | None = None,
    while_quiet: Callable[[], None] | None = None,
    looks_last: bool = False,
) -> Generator[Change, None, None]:
    """Yield what exists, and then what happens to it. Blocks between the changes.

    Parameters
    ----------
    call
        Sends the requests.
    request
        The list of the objects, with a selector.
    order
        The key by which objects that were listed at once are reported.
    while_quiet
        Called again and again while nothing happens, in the thread that waits. The watch is
        not read meanwhile.
    looks_last
        Whether to list once more shortly before the deadline, so that what a silent watch has
        missed is not missing then.

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

    - State decides, not the event. What exists is reported first; whenever the
      thread of events may be broken, everything is listed again and compared
      with what was reported, and the difference comes as ``ADDED``, ``MODIFIED``
      and ``DELETED``, followed by ``LISTED``.
    - A watch that ends is resumed from the last version seen, those of
      bookmarks included; the same version of an object is never reported twice,
      whatever the server repeats. After an orderly end that happens at once, after a
      failure by the pauses of `lab_storage._api.retry`, which begin anew whenever a
      watch has worked. A server that ends each watch at once is not asked in a loop.
    - Objects are followed by UID. A new one of the same name is reported as the
      ``DELETED`` of the old and an ``ADDED``.
    - A stream that says nothing for `IDLE_SECONDS` is opened anew. Where the deadline is nearer,
      a silence of a third of the time that was left is doubted: the objects are listed, and
      unless nothing has happened, the stream is opened anew. Blank lines are silence too.
    - A stream that outlasts by far what it was asked for is opened anew, whatever it says.
    - A blank, broken, odd or huge line never ends it. After one that cannot be
      read, everything is listed again within about a second.
    - A watch's 410, "too large resource version", 429 and 5xx never end it.
    - Whenever the generator is closed, by ``close()``, by leaving the loop, by an
      exception or by being forgotten, its connection is closed at once.
    - On a quiet object it costs one list, and a watch every 40 s or more.
    - A failure that is over is not what a timeout reports: then what counts is what the caller
      waits for, by `Call.wait_for` with the same request.

    What it cannot do: report states that came and went while nobody listened.
    """
    return _Follower(call, request, order, while_quiet, looks_last).run()


class _GoneError(Exception):
    """The server no longer knows the version that the watch was to begin at."""


class _Follower:
    """The state of one `follow`."""

    def __init__(
        self,
        call: Call,
        request: Request,
        order: Callable[[dict[str, Any]], Any] | None,
        while_quiet: Callable[[], None] | None,
        looks_last: bool,
    ) -> None:
        self._call = call
        self._request = request
        self._order = order
        self._while_quiet = while_quiet
        left = call.timeout._left()
        self._last_look_seconds = min(LAST_LOOK_SECONDS, left / 5)
        self._looks_last = looks_last and left > LEAST_SILENCE_SECONDS
        self._reported = Reported()
        self._version: str | None = None
        self._in_doubt = True
        self._doubted_at = 0.0
        # A list that was made because of a silence, and shows that something has been missed.
        self._found: dict[str, Any] | None = None
        self._silence_seconds = 0.0
        self._heard_at = 0.0
        self._has_worked = False
        # In a row.
        self._failures = 0

    def run(self) -> Generator[Change, None, None]:
        try:
            with closing(self._changes()) as changes:
                yield from changes
        finally:
            self._call.settle(self._request, is_done=True)

    def _changes(self) -> Generator[Change, None, None]:
        was_quick = False
        # Not a loop over tenacity's attempts: the caller's code runs in between, and may go on
        # in another thread.
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
                self._failures = 0
            if failure is None and is_quick and was_quick:
                failure = TransientError("the watch ends as soon as it begins")
            was_quick = is_quick
            if failure is not None:
                self._failures += 1
                self._call.pause(self._request, failure, self._failures)

    def _list(self) -> Iterator[Change]:
        content, self._found = self._found, None
        if content is None:
            content = self._call.request(self._request, Answer.read_list)
        items = _items_of(content)
        if self._order is not None:
            items.sort(key=self._order)
        self._version = version_of(content)
        self._in_doubt = False
        yield from self._reported.compare(items, self._version)
        yield Change(LISTED, {})

    def _watch(self) -> Iterator[Change]:
        left = self._call.timeout._left()
        seconds = random.randint(SHORTEST_WATCH_SECONDS, LONGEST_WATCH_SECONDS)  # noqa: S311
        if left < SHORTEST_WATCH_SECONDS + LONGEST_WATCH_SECONDS:
            # Another watch for the little that would be left is not worth its request.
            seconds = max(seconds, math.ceil(left))
        stream = self._open(seconds)
        self._call.settle(self._request)
        self._silence_seconds = max(left / 3, LEAST_SILENCE_SECONDS)
        self._heard_at = monotonic()
        stream.limit(seconds + OVERTIME_SECONDS)
        stream.while_quiet(self._on_quiet)
        try:
            for line in read_lines(stream, seconds):
                if line is not BLANK:
                    self._heard_at = monotonic()
                yield from self._handle(line)
                if self._in_doubt:
                    left = self._doubted_at + DOUBT_SECONDS - monotonic()
                    if left <= 0:
                        break
                    stream.limit_silence(left)
        finally:
            stream.close()

    def _on_quiet(self) -> None:
        if self._while_quiet is not None:
            self._while_quiet()
        self._doubt_silence()

    def _doubt_silence(self) -> None:
        """List the objects if the watch has been silent for too long, or it is the last chance.

        Raises
        ------
        SilenceError
            If something has been missed, or nobody answers.
        """
        left = self._call.timeout._left()
        is_last_chance = self._looks_last and left <= self._last_look_seconds
        is_silent = monotonic() - self._heard_at >= self._silence_seconds
        if not is_silent and not is_last_chance:
            return
        if is_last_chance:
            self._looks_last = False
        try:
            # The watch is not read meanwhile.
            look = self._call.aside(min(self._silence_seconds, LONGEST_LOOK_SECONDS))
            found = look.request(self._request, Answer.read_list)
        except (KubernetesError, OperationTimeoutError) as error:
            self._call.check()
            raise SilenceError("the watch is silent, and nobody answers") from error
        self._heard_at = monotonic()
        if self._reported.is_outdated_by(_items_of(found)):
            self._found, self._in_doubt = found, True
            raise SilenceError("the watch is silent, although something has happened")

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
        opened = self._call.open(request, failures=self._failures)
        if isinstance(opened, Answer):
            raise self._judge(opened)
        return opened

    def _handle(self, line: Any) -> Iterator[Change]:
        if line is BLANK:
            return
        kind, content = (line.get("type"), line.get("object")) if line else (None, None)
        if kind == "ERROR" and isinstance(content, dict):
            code = content.get("code")
            status = code if isinstance(code, int) and code >= 400 else 500
            raise self._judge(Answer(status, {}, json.dumps(content).encode()))
        if kind == "BOOKMARK" and is_object(content):
            self._advance(content)
        elif kind in (ADDED, MODIFIED, DELETED) and is_object(content):
            is_stale = self._reported.is_stale(content)
            if self._advance(content):
                self._has_worked = True
            if kind != DELETED:
                if not is_stale:
                    yield from self._reported.learn(content)
            elif self._reported.forget(content):
                yield Change(DELETED, content)
        else:
            self._doubt(kind)

    def _advance(self, content: dict[str, Any]) -> bool:
        """Resume from here, if it is later; what a server repeats does not lead back."""
        version = version_of(content)
        if version is None or not is_later(version, self._version):
            return False
        self._version = version
        return True

    def _doubt(self, kind: Any) -> None:
        """Something was said that cannot be read."""
        self._call.write(
            self._call.log.warning,
            "Watch sent a line that is not readable",
            self._request,
            type=kind if isinstance(kind, str) else None,
        )
        if not self._in_doubt:
            self._in_doubt = True
            self._doubted_at = monotonic()

    def _judge(self, answer: Answer) -> Exception:
        """What an answer other than a stream, or an ERROR in one, means for the watch."""
        if answer.status == 410 or answer.reason in ("Expired", "Gone"):
            return _GoneError()
        if answer.status == 504 and "Too large resource version" in answer.message:
            # This server lags behind, and has not seen that version yet. A list without a
            # version asks etcd (kubernetes#91073).
            self._in_doubt = True
        return self._call.judge(self._request, answer)


def _items_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in mappings_at(content, "items") if is_object(item)]
