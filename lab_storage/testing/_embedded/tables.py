"""Tables: the columns that the server prints of a resource.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ (Receiving
resources as Tables). A list of names is all that labs read as a table, so only
namespaces and config maps are printed. Column descriptions are left empty.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import not_implemented
from .resources import CONFIG_MAPS, NAMESPACES
from .schema import parse_time

if TYPE_CHECKING:
    from .resources import Object, Resource

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_COLUMNS = {CONFIG_MAPS: ("Name", "Data", "Age"), NAMESPACES: ("Name", "Status", "Age")}


def age(time: str | None) -> str:
    """Give how long ago something was, as the server prints it."""
    moment = parse_time(time) if time else None
    if moment is None:
        return "<unknown>"
    seconds = max(int((datetime.now(timezone.utc) - moment).total_seconds()), 0)
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < 10 * _MINUTE:
        rest = seconds % _MINUTE
        return f"{seconds // _MINUTE}m" + (f"{rest}s" if rest else "")
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    return f"{seconds // _HOUR}h" if seconds < 2 * _DAY else f"{seconds // _DAY}d"


def columns(resource: Resource) -> list[dict[str, Any]]:
    """Give the column definitions of a resource.

    Raises
    ------
    APIError
        501: a real server prints it, this one does not.
    """
    if resource not in _COLUMNS:
        raise not_implemented(f"print {resource.plural} as a Table")
    return [
        {
            "name": name,
            "type": "string",
            "format": "name" if name == "Name" else "",
            "description": "",
            "priority": 0,
        }
        for name in _COLUMNS[resource]
    ]


def row(resource: Resource, obj: Object, shown: Object | None) -> dict[str, Any]:
    """Give the row of an object, and beside it what is shown of the object."""
    metadata = obj["metadata"]
    if resource is NAMESPACES:
        content: Any = obj.get("status", {}).get("phase", "")
    else:
        content = len(obj.get("data", {})) + len(obj.get("binaryData", {}))
    cells = [str(metadata.get("name", "")), content, age(metadata.get("creationTimestamp"))]
    return {"cells": cells, "object": shown}
