"""What only namespaces need."""

from __future__ import annotations

from typing import Any

from lab_storage._api.answer import mapping_at, mappings_at
from lab_storage._api.call import Call
from lab_storage._api.deletion import delete as delete_object
from lab_storage._api.objects import list_all
from lab_storage._api.request import TABLE, Request
from lab_storage._manifests.kinds import NAMESPACE
from lab_storage.exceptions import one_line

PAGE_SIZE = 2000


def list_names(call: Call, prefix: str) -> list[str]:
    """Give the names of all namespaces that start with ``prefix``, in the server's order."""
    # Names alone: a namespace's managedFields are most of it.
    query = {"includeObject": "None", "limit": str(PAGE_SIZE)}
    request = Request("GET", NAMESPACE, query=query, accept=TABLE)
    names = list_all(call, request, lambda content: _names(content, prefix))
    call.debug("Listed namespaces", request)
    return names


def _names(content: dict[str, Any], prefix: str) -> list[str]:
    if content.get("kind") != "Table":
        # A server without tables sends the objects.
        names = [
            mapping_at(item, "metadata").get("name") for item in mappings_at(content, "items")
        ]
        return [name for name in names if isinstance(name, str) and name.startswith(prefix)]
    columns = [column.get("name") for column in mappings_at(content, "columnDefinitions")]
    place = columns.index("Name") if "Name" in columns else 0
    rows = content.get("rows")
    found: list[str] = []
    for row in rows if isinstance(rows, list) else []:
        # To ask each of thousands of rows first what it is takes twice as long as this.
        try:
            cells = row["cells"]
            name = cells[place]
            if name.startswith(prefix) and isinstance(cells, list):
                found.append(name)
        except (AttributeError, IndexError, KeyError, TypeError):  # noqa: PERF203
            pass  # not a row of a table
    return found


def delete(call: Call, name: str, uid: str | None = None) -> None:
    """Delete a namespace, only that of ``uid`` if given, and block until it is gone."""
    delete_object(call, NAMESPACE, None, name, why_it_stays=why_it_stays, uid=uid)


def why_it_stays(namespace: dict[str, Any]) -> str:
    """What keeps a namespace that is being deleted.

    The conditions that its controller sets are `True` where something is in the
    way: content that remains, finalizers, kinds that cannot be found or deleted
    (``k8s.io/api/core/v1``, ``NamespaceConditionType``).
    """
    said = [
        f"{condition.get('type')}: {condition.get('message') or condition.get('reason')}"
        for condition in mappings_at(namespace, "status", "conditions")
        if condition.get("status") == "True"
    ]
    phase = mapping_at(namespace, "status").get("phase") or "still there"
    return one_line(f"the namespace is {phase}" + "".join(f"; {text}" for text in said))
