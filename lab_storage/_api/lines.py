"""The lines of a watch, by the official ``watch.Watch``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from kubernetes import watch

from lab_storage._api.stream import Stream

BLANK: Final = object()
"""A line without anything in it."""


def read_lines(stream: Stream, seconds: int) -> Iterator[Any]:
    """Yield the lines of a watch that was asked to last so many seconds.

    Each is a `dict`, `BLANK`, or `None` if it is not a JSON object; ``ERROR`` and bookmarks come
    like all others.
    """

    def opened(**options: Any) -> Stream:
        del options
        return stream

    # With timeout_seconds, Watch makes one request and no more.
    for (line,) in _Lines().stream(opened, timeout_seconds=seconds):
        yield line


class _Lines(watch.Watch):  # type: ignore[misc,unused-ignore]
    """The official ``Watch``, for its stream.

    It would make an ``ApiClient`` of its own, build models of what it is sent,
    and stop at a line that it cannot read (in client 31 by a JSONDecodeError, later
    by a KeyError). What it yields here is a tuple of the decoded line.
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
            return (BLANK,)
        try:
            # Some put a byte order mark in front (RFC 8259, section 8.1, lets readers
            # ignore it). Nesting that is too deep is not a ValueError.
            event = json.loads(data.removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            event = None
        return (event if isinstance(event, dict) else None,)
