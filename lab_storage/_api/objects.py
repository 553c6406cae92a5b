"""Read one object of any kind, or list all; the kinds themselves are data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import attrs

from lab_storage._api.answer import Answer, TransientError, mapping_at
from lab_storage._api.call import Call
from lab_storage._api.request import METADATA, Request
from lab_storage._manifests.decode import decode
from lab_storage._manifests.kinds import Kind
from lab_storage.exceptions import KubernetesError

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


def list_all(
    call: Call, first: Request, read_page: Callable[[dict[str, Any]], Iterable[T]]
) -> list[T]:
    """Give what ``read_page`` reads from each page of a list; one page is in memory at a time.

    All pages of a list are of one moment, which a server forgets after some minutes: then it
    answers 410, and everything is listed again
    (https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses).
    """
    for attempt in call.attempts(first):
        with attempt:
            return list(_read_pages(call, first, read_page))
    raise RuntimeError("a call ends by its deadline, not by itself")


def _read_pages(
    call: Call, first: Request, read_page: Callable[[dict[str, Any]], Iterable[T]]
) -> Iterator[T]:
    request = first
    while True:
        try:
            content = call.request(request, Answer.read_list)
        except KubernetesError as error:
            if error.status != 410:
                raise
            raise TransientError(error.message, error.status) from error
        yield from read_page(content)
        token = mapping_at(content, "metadata").get("continue")
        if not token:
            return
        del content
        request = attrs.evolve(first, query={**first.query, "continue": token})
