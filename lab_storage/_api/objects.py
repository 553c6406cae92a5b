"""Read one object of any kind; the kinds themselves are data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lab_storage._api.answer import Answer
from lab_storage._api.call import Call
from lab_storage._api.request import METADATA, Request
from lab_storage._manifests.decode import decode
from lab_storage._manifests.kinds import Kind

T = TypeVar("T")


def read(
    call: Call, kind: Kind, namespace: str | None, name: str, parse: Callable[[Answer], T]
) -> T | None:
    """Give what ``parse`` reads from an object, or `None` if there is no such object."""
    request = Request("GET", kind, namespace, name)
    found = call.find(request, parse)
    call.debug("Read object", request)
    return found


def read_model(call: Call, kind: Kind, namespace: str | None, name: str) -> Any:
    """Give an object as the client's model, or `None` if there is no such object."""
    return read(call, kind, namespace, name, lambda answer: decode(kind, answer.read_object()))


def read_metadata(
    call: Call, kind: Kind, namespace: str | None, name: str
) -> dict[str, Any] | None:
    """Give the metadata of an object, or `None` if there is no such object."""
    request = Request("GET", kind, namespace, name, accept=METADATA)
    return call.find(request, Answer.read_metadata)
