"""Timestamps as the API writes them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Final

__all__ = ["format_time", "parse_time"]

# RFC 3339, section 5.6, as Go reads it: capital letters, any number of digits of a second.
_TIME: Final = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?"
    r"(?:Z|(?P<sign>[+-])(?P<hours>\d\d):(?P<minutes>[0-5]\d))",
    re.ASCII,
)


def parse_time(text: str) -> datetime | None:
    """Read a timestamp of the API.

    Parameters
    ----------
    text
        The text. (https://www.rfc-editor.org/rfc/rfc3339#section-5.6)

    Returns
    -------
    datetime or None
        The time, cut to microseconds, with its offset from UTC; `None` if the text is not a
        timestamp, or if Python cannot hold it.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    offset = timedelta(hours=int(match["hours"] or 0), minutes=int(match["minutes"] or 0))
    try:
        return datetime.fromisoformat(match["time"]).replace(
            microsecond=int((match["fraction"] or "0")[:6].ljust(6, "0")),
            tzinfo=timezone(-offset if match["sign"] == "-" else offset),
        )
    except ValueError:
        return None


def format_time(time: datetime) -> str:
    """Write a timestamp as the API does, in UTC.

    Parameters
    ----------
    time
        The time; without an offset it counts as UTC.

    Returns
    -------
    str
        Such as ``2026-05-17T09:30:00Z``, with a fraction of a second only if there is one.
    """
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    return time.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
