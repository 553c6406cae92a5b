"""What a rule finds, and how rules look at times."""

from __future__ import annotations

import datetime

import attrs

from lab_storage._diagnosis.events import Event
from lab_storage._diagnosis.pod import Container, End
from lab_storage._pod_data import PodTrouble


@attrs.frozen
class Finding:
    """What a rule has found."""

    trouble: PodTrouble
    reason: str | None
    message: str | None = None
    container: Container | None = None
    # How the container ended, if that is the trouble, or lies behind it.
    end: End | None = None
    # Since when and how often, as far as the server says.
    since: datetime.datetime | None = None
    times: int | None = None


def reported(trouble: PodTrouble, event: Event, container: Container | None = None) -> Finding:
    """What an event reports."""
    return Finding(
        trouble,
        event.reason,
        event.message or None,
        container,
        since=event.first,
        times=event.count,
    )


def is_before(time: datetime.datetime | None, other: datetime.datetime | None) -> bool:
    """Whether a time is known to be before another."""
    return time is not None and other is not None and time < other
