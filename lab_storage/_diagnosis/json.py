"""What JSON holds, whoever wrote it.

Servers send null for empty lists, leave fields out, and now and then send a type that nobody
expects. Nothing here raises; what does not fit counts as absent.
"""

from __future__ import annotations

import datetime
from typing import Any

from lab_storage.exceptions import one_line


def mapping(content: Any, key: str) -> dict[str, Any]:
    """The mapping at ``key``; empty where there is none."""
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, dict) else {}


def mappings(content: Any, key: str) -> list[dict[str, Any]]:
    """The mappings in the list at ``key``; servers send null for none."""
    value = content.get(key) if isinstance(content, dict) else None
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """A text on one line and without control characters; `None` for anything else."""
    return (one_line(value) or None) if isinstance(value, str) else None


def number(value: Any) -> int | None:
    """An integer of 64 bits, Kubernetes' longest; `None` for anything else, ``true`` included."""
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return value if is_integer and abs(value) < 2**63 else None


def moment(value: Any) -> datetime.datetime | None:
    """A time stamp, to the second: the kubelet's have no fractions, other writers' do.

    API servers write RFC 3339 in UTC (``metav1.Time``, ``metav1.MicroTime``).
    """
    if not isinstance(value, str):
        return None
    try:
        return datetime.datetime.fromisoformat(value[:19]).replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
