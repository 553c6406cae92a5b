"""A diagnosis as a table for people, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from lab_storage._pod_data import to_plain
from lab_storage.diagnosis import Examination
from lab_storage.models import LabObjectNames

__all__ = ["as_json", "table"]

# On a narrower terminal, wrapping would tear what it shows to pieces.
_NARROWEST = 20


def table(
    names: LabObjectNames, examination: Examination, columns: int | None = None
) -> Iterator[str]:
    """Write what is wrong, where, since when and how often, with events, log and a hint.

    Parameters
    ----------
    names
        Whose pod it is.
    examination
        What was found out about it.
    columns
        The width to wrap lines to; `None` leaves them whole.

    Yields
    ------
    str
        The lines: a title and what it is, or the rest of that.
    """
    rows = [(title, values) for title, values in _rows(names, examination) if values]
    width = max(len(title) for title, _ in rows) + 2
    for title, values in rows:
        for place, value in enumerate(_wrapped(values, columns and columns - width)):
            yield f"{title if place == 0 else '':{width}}{value}".rstrip()


def _wrapped(values: list[str], columns: int | None) -> Iterator[str]:
    """Wrap lines between words; those that follow in the same value are indented."""
    for value in values:
        if columns is None or len(value) <= columns or columns < _NARROWEST:
            yield value
        else:
            yield from textwrap.wrap(value, columns, subsequent_indent="  ")


def _rows(names: LabObjectNames, examination: Examination) -> Iterator[tuple[str, list[str]]]:
    diagnosis = examination.diagnosis
    trouble = diagnosis.trouble
    yield "Pod", [f"{names.namespace}/{names.pod}"]
    yield "Phase", [diagnosis.phase.value]
    yield "Ready", ["yes" if diagnosis.is_ready else "no"]
    yield "Being deleted", ["yes"] * diagnosis.is_terminating
    yield "Trouble", [trouble.value if trouble else "none"]
    yield "Container", _lines(diagnosis.container)
    yield "Reason", _lines(diagnosis.reason)
    yield "Message", _lines(diagnosis.message)
    if diagnosis.exit_code is not None:
        yield "Exit code", [str(diagnosis.exit_code)]
    if trouble is not None and examination.since is not None:
        yield "Since", [f"{examination.since:%Y-%m-%d %H:%M:%S} UTC"]
    if examination.times is not None:
        yield "Seen", [f"{examination.times} times" if examination.times > 1 else "once"]
    yield "Restarts", [str(diagnosis.restarts)]
    yield "Last events", list(diagnosis.events)
    yield "Log", (diagnosis.log or "").splitlines()
    yield "What to do", [trouble.hint] if trouble else []


def _lines(value: str | None) -> list[str]:
    return [] if value is None else [value]


def as_json(names: LabObjectNames, examination: Examination) -> dict[str, Any]:
    """Give the diagnosis in JSON's types, and what the table has besides.

    Parameters
    ----------
    names
        Whose pod it is.
    examination
        What was found out about it.
    """
    trouble = examination.diagnosis.trouble
    return {
        "namespace": names.namespace,
        "pod": names.pod,
        **to_plain(examination.diagnosis),
        "since": examination.since and examination.since.isoformat(),
        "times": examination.times,
        "hint": trouble and trouble.hint,
    }
