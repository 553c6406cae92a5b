"""How an API server refuses: Status objects, in its words.

The texts are those of kube-apiserver 1.37, as it said them; the contract tests
in ``tests/testing/test_contract.py`` keep them so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .resources import Resource


class APIError(Exception):
    """An answer that is a failure: the Status and its code.

    Parameters
    ----------
    code
        The HTTP status.
    message
        What a person reads.
    reason
        The word that programs compare; some failures of a real server lack it.
    details
        ``Status.details``: name, group, kind, causes, retryAfterSeconds.
    metadata
        ``Status.metadata``; only an expired list has something in it.
    nosniff
        Whether the answer carries ``X-Content-Type-Options``, as refusals by
        authorization do.
    retry_after
        The Retry-After header, where it is not ``details.retryAfterSeconds``.
    body, content_type
        What is sent instead of a Status, and of which type it is.
    """

    def __init__(
        self,
        code: int,
        message: str,
        reason: str | None = None,
        details: Mapping[str, Any] | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        nosniff: bool = False,
        retry_after: str | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.details = details
        self.metadata = metadata or {}
        self.nosniff = nosniff
        seconds = (details or {}).get("retryAfterSeconds")
        self.retry_after = retry_after or (None if seconds is None else str(seconds))
        self.body = body
        self.content_type = content_type

    def status(self) -> dict[str, Any]:
        """Give the Status object, with the fields in the server's order."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": dict(self.metadata),
            "status": "Failure",
            "message": self.message,
        }
        if self.reason is not None:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = dict(self.details)
        status["code"] = self.code
        return status


@attrs.frozen
class Cause:
    """One field that does not fit: an entry of ``details.causes``."""

    reason: str
    field: str
    message: str

    def entry(self) -> dict[str, str]:
        """Give it as ``details.causes`` lists it."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


def required(field: str, detail: str = "") -> Cause:
    """Say that a field is missing."""
    return Cause("FieldValueRequired", field, f"Required value: {detail}".removesuffix(": "))


def invalid_value(field: str, value: object, detail: str) -> Cause:
    """Say that a value does not fit."""
    return Cause("FieldValueInvalid", field, f"Invalid value: {json.dumps(value)}: {detail}")


def duplicate(field: str, value: str) -> Cause:
    """Say that a value appears twice."""
    return Cause("FieldValueDuplicate", field, f"Duplicate value: {json.dumps(value)}")


def unsupported(field: str, value: object, supported: Sequence[str]) -> Cause:
    """Say that a value is not one of those that are defined."""
    listed = ", ".join(json.dumps(each) for each in supported)
    message = f"Unsupported value: {json.dumps(value)}: supported values: {listed}"
    return Cause("FieldValueNotSupported", field, message)


def absent(field: str, value: object) -> Cause:
    """Say that what a value refers to does not exist."""
    return Cause("FieldValueNotFound", field, f"Not found: {json.dumps(value)}")


def forbidden_field(field: str, detail: str) -> Cause:
    """Say that a field may not be there, or not be changed."""
    return Cause("FieldValueForbidden", field, f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> Cause:
    """Say that a value is longer than so many bytes."""
    message = f"Too long: may not be more than {limit} bytes"
    return Cause("FieldValueTooLong", field, message)


def _details(resource: Resource, name: str | None, **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return {**details, "kind": resource.plural, **more}


def _subject(resource: Resource, name: str | None) -> str:
    return f'{resource.qualified} "{name}"' if name else resource.qualified


def bad_request(message: str) -> APIError:
    """400: the request cannot be understood."""
    return APIError(400, message, "BadRequest")


def unauthorized() -> APIError:
    """401: nobody with this token is known."""
    return APIError(401, "Unauthorized", "Unauthorized")


def forbidden(
    resource: Resource, name: str | None, text: str, causes: Iterable[Cause] = ()
) -> APIError:
    """403: admission does not let this object in."""
    message = f"{_subject(resource, name)} is forbidden: {text}"
    details = _details(resource, name)
    if listed := [cause.entry() for cause in causes]:
        details["causes"] = listed
    return APIError(403, message, "Forbidden", details)


def denied(
    resource: Resource,
    name: str | None,
    *,
    user: str,
    verb: str,
    subresource: str | None,
    namespace: str | None,
) -> APIError:
    """403: authorization does not let this user do that."""
    target = f"{resource.plural}/{subresource}" if subresource else resource.plural
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = (
        f'{_subject(resource, name)} is forbidden: User "{user}" cannot {verb} resource '
        f'"{target}" in API group "{resource.group}" {scope}'
    )
    return APIError(403, message, "Forbidden", _details(resource, name), nosniff=True)


def not_found(resource: Resource, name: str) -> APIError:
    """404: there is no such object."""
    message = f"{_subject(resource, name)} not found"
    return APIError(404, message, "NotFound", _details(resource, name))


def no_such_path() -> APIError:
    """404: the server has no such resource."""
    message = "the server could not find the requested resource"
    return APIError(404, message, "NotFound", {})


def page_not_found() -> APIError:
    """404: there is no such API group, or nothing of the API at all."""
    text = "404 page not found"
    plain = "text/plain; charset=utf-8"
    return APIError(404, text, body=f"{text}\n".encode(), content_type=plain, nosniff=True)


def method_not_allowed() -> APIError:
    """405: the resource is there, the method is not."""
    message = "the server does not allow this method on the requested resource"
    return APIError(405, message, "MethodNotAllowed", {})


def not_acceptable(message: str, details: Mapping[str, Any] | None = None) -> APIError:
    """406: nothing that the client accepts can be made of it."""
    return APIError(406, message, "NotAcceptable", details)


def already_exists(resource: Resource, name: str, *, going: bool) -> APIError:
    """409: an object of that name is there, or still there."""
    prefix = "object is being deleted: " if going else ""
    message = f"{prefix}{_subject(resource, name)} already exists"
    return APIError(409, message, "AlreadyExists", _details(resource, name))


def conflict(resource: Resource, name: str, text: str, *, subject: str | None = None) -> APIError:
    """409: the object is not the one that was meant, or has changed.

    Parameters
    ----------
    resource, name
        Of what.
    text
        What does not fit.
    subject
        What the real server calls the kind here where that is not the
        resource: failed preconditions of a delete name the Go type.
    """
    details = _details(resource, name)
    qualified = resource.qualified
    if subject:
        details["kind"] = subject
        qualified = f"{subject}.{resource.group}" if resource.group else subject
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {text}'
    return APIError(409, message, "Conflict", details)


def modified(resource: Resource, name: str) -> APIError:
    """409: the resource version is not the current one."""
    text = (
        "the object has been modified; please apply your changes to the latest version "
        "and try again"
    )
    return conflict(resource, name, text)


def expired(message: str, continuation: str | None = None) -> APIError:
    """410: that resource version has been compacted."""
    metadata = {"continue": continuation} if continuation else None
    return APIError(410, message, "Expired", metadata=metadata)


def unsupported_media_type(message: str, details: Mapping[str, Any] | None = None) -> APIError:
    """415: the body is of a type that is not read."""
    return APIError(415, message, "UnsupportedMediaType", details)


def invalid(kind: str, name: str, causes: Sequence[Cause], group: str = "") -> APIError:
    """422: the object is understood, and does not fit."""
    said = [f"{cause.field}: {cause.message}" for cause in causes]
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    details: dict[str, Any] = {"name": name} if name else {}
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details["causes"] = [cause.entry() for cause in causes]
    qualified = f"{kind}.{group}" if group else kind
    return APIError(422, f'{qualified} "{name}" is invalid: {text}', "Invalid", details)


def invalid_options(kind: str, *causes: Cause) -> APIError:
    """422: the query parameters of a request do not go together."""
    return invalid(kind, "", causes, "meta.k8s.io")


def not_implemented(what: str) -> APIError:
    """501: a real server can do that, and this one cannot."""
    server = "the embedded API server of lab_storage.testing"
    return APIError(501, f"{server} does not do this: {what}")


def version_too_large(asked: int, current: int) -> APIError:
    """504: a resource version that the server has not reached yet."""
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return APIError(504, message, "Timeout", {"causes": [cause], "retryAfterSeconds": 1})
