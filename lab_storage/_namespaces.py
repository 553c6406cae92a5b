"""What only namespaces need."""

from __future__ import annotations

from typing import Any

import attrs

from lab_storage._api import objects as _objects
from lab_storage._api.answer import JSON, Answer, Request, mapping_at, mappings_at
from lab_storage._api.client import Client
from lab_storage._api.operation import Operation
from lab_storage._api.retry import Backoff, TransientError, call
from lab_storage._manifests.kinds import NAMESPACE
from lab_storage.exceptions import one_line

# Names alone: a namespace's managedFields are most of it. See
# https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
_TABLE = f"application/json;as=Table;v=v1;g=meta.k8s.io,{JSON}"
PAGE_SIZE = 2000


def list_names(client: Client, operation: Operation, prefix: str) -> list[str]:
    """Give the names of all namespaces that begin with ``prefix``, as the server sorts them."""
    first = Request(
        "GET", NAMESPACE, query={"includeObject": "None", "limit": str(PAGE_SIZE)}, accept=_TABLE
    )
    backoff = Backoff(operation, first)
    names: list[str] = []
    token = ""
    while True:
        query = {**first.query, "continue": token} if token else first.query
        try:
            page, token = _read_page(client, operation, attrs.evolve(first, query=query), prefix)
        except TransientError as error:
            names, token = [], ""
            backoff.pause(error)
            continue
        names += page
        if not token:
            operation.debug("Listed namespaces", NAMESPACE.name, None, None)
            return names


def _read_page(
    client: Client, operation: Operation, request: Request, prefix: str
) -> tuple[list[str], str]:
    """Give the names of a page that begin with ``prefix``, and the token of the next page.

    Of the page itself nothing is left then: only one is in memory at a time.

    Raises
    ------
    TransientError
        If the first page has to be asked for again. All are of one moment, and the server has
        forgotten it
        (https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses).
    """
    answer = call(client, request, operation, is_welcome=_is_expired)
    if not answer.is_success:
        raise TransientError(answer.message, answer.status)
    token = mapping_at(answer.content, "metadata").get("continue") or ""
    return _names(answer.content, prefix), token


def _is_expired(answer: Answer) -> bool:
    return answer.status == 410


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
            pass  # no row of a table
    return found


def delete(client: Client, operation: Operation, name: str) -> None:
    """Delete a namespace and block until it is gone."""
    uid = _objects.delete(client, operation, NAMESPACE, None, name)
    if uid is not None:
        _objects.wait_until_gone(client, operation, NAMESPACE, None, name, uid, why_it_stays)


def why_it_stays(namespace: dict[str, Any]) -> str:
    """What a namespace that is going says of why it is not gone.

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
