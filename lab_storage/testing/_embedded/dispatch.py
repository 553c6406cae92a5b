"""From a request to an answer: one verb, one call of `Objects`, one view."""

from __future__ import annotations

import contextlib
import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import attrs

from .decoding import parse
from .deletion import DeleteOptions
from .errors import (
    APIError,
    bad_request,
    invalid_options,
    not_implemented,
    too_long,
    unsupported,
    unsupported_media_type,
)
from .lists import ListOptions, list_objects
from .requests import whole_number
from .views import view_for

if TYPE_CHECKING:
    from email.message import Message

    from .objects import Objects
    from .requests import Target
    from .resources import Object
    from .views import View

# https://kubernetes.io/docs/reference/using-api/api-concepts/ and .../server-side-apply/
_LONGEST_MANAGER = 128
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
_MEDIA_TYPES = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@attrs.frozen
class Answered:
    """The answer to a request that was carried out."""

    status: int
    body: Object
    warnings: list[str] = attrs.field(factory=list)


class Body:
    """The body of a request, read as JSON once and only if somebody asks."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @functools.cached_property
    def json(self) -> Any:
        """What it says; a ValueError where it is not JSON, ``None`` where it is empty."""
        try:
            return parse(self._raw) if self._raw else None
        except ValueError as error:
            return error


def carry_out(objects: Objects, target: Target, headers: Message, body: Body) -> Answered:
    """Carry out any request but a watch.

    Raises
    ------
    APIError
        The server refuses it.
    """
    view = view_of(target, headers)
    name = target.name or ""
    where = (target.resource, target.namespace)
    if target.verb == "list":
        options = ListOptions.parse(target.resource, target.query)
        found, metadata = list_objects(objects.store, *where, options)
        return Answered(HTTPStatus.OK, view.many(found, metadata))
    if target.verb == "get":
        version = whole_number(target.query.get("resourceVersion") or "0")
        return Answered(HTTPStatus.OK, view.one(objects.read(*where, name, version)))
    if target.verb == "delete":
        if isinstance(body.json, ValueError):
            raise bad_request(f"couldn't get version/kind; json parse error: {body.json}")
        how = DeleteOptions.parse(body.json, target.query)
        gone = objects.delete(*where, name, how)
        return Answered(HTTPStatus.OK, gone if gone["kind"] == "Status" else view.one(gone))
    manager = _manager(target, headers)
    if target.verb == "create":
        _check_media_type(headers)
        validation = target.query.get("fieldValidation", "")
        obj, warnings = objects.create(*where, body.json, manager, validation)
        return Answered(HTTPStatus.CREATED, view.one(obj), warnings)
    obj, warnings = objects.patch(
        *where,
        name,
        body.json,
        content_type=headers.get_content_type(),
        manager=manager,
        subresource=target.subresource,
        validation=target.query.get("fieldValidation", ""),
    )
    return Answered(HTTPStatus.OK, view.one(obj), warnings)


def view_of(target: Target, headers: Message) -> View:
    """Choose how the answer shows objects.

    Raises
    ------
    APIError
        400, 406 or 501.
    """
    return view_for(
        headers.get("Accept", ""),
        target.query.get("includeObject", ""),
        target.resource,
        listed=target.verb == "list",
    )


def name_within(target: Target, body: Body) -> str | None:
    """Find the name that is not in the path: of a new object, or selected."""
    if target.verb == "create":
        with contextlib.suppress(TypeError, KeyError):
            return str(body.json["metadata"]["name"])
    elif target.verb in ("list", "watch"):
        with contextlib.suppress(APIError):
            return ListOptions.parse(target.resource, target.query).selector.name
    return None


def _check_media_type(headers: Message) -> None:
    given = headers.get("Content-Type")
    media_type = headers.get_content_type()
    if given is None or media_type == "application/json":
        return
    if media_type in _MEDIA_TYPES.split(", "):
        raise not_implemented(f"read {media_type}")
    raise unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: "
        f"{_MEDIA_TYPES}"
    )


def _manager(target: Target, headers: Message) -> str:
    """Give the field manager: the one that is named, or the program that asks."""
    query = target.query
    kind = "CreateOptions" if target.verb == "create" else "PatchOptions"
    named = query.get("fieldManager", "")
    if len(named.encode()) > _LONGEST_MANAGER:
        raise invalid_options(kind, too_long("fieldManager", _LONGEST_MANAGER))
    validation = query.get("fieldValidation", "")
    if validation not in _VALIDATIONS:
        raise invalid_options(kind, unsupported("fieldValidation", validation, _VALIDATIONS))
    if query.get("dryRun"):
        raise not_implemented("dry runs")
    agent: str = headers.get("User-Agent", "")
    return named or agent.partition("/")[0][:_LONGEST_MANAGER] or "unknown"
