"""Looking into JSON that may contain anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def as_dict(value: Any) -> dict[str, Any]:
    """A value, or an empty dict if it is not a dict: servers send null, or anything."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A value, or an empty list if it is not a list."""
    return value if isinstance(value, list) else []


def dicts(values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """All dicts in values, the outer before the inner."""
    for value in values:
        if isinstance(value, dict):
            yield value
            yield from dicts(value.values())
        elif isinstance(value, list):
            yield from dicts(value)


def texts(value: Any) -> Iterator[str]:
    """All strings in a value, and all keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from texts(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)
