"""What the API server answers, and how it is read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import Any

import attrs

from lab_storage._api import protobuf
from lab_storage.exceptions import one_line

_LAST_FIELD = b',"status":{'
_decoder = json.JSONDecoder()
# A longer body is parsed under the deadline: a list of 30 MB may take seconds.
_LONG_BYTES = 1 << 20
_OBJECTS_PER_CHECK = 1000
# The length of what is shown of a refusal in plain text.
_LONGEST_TEXT = 300


class TransientError(Exception):
    """An attempt failed, and another one is worth making. Never reaches a caller.

    Its cause is what another library raised, or the `KubernetesError` that it would be if there
    were no other attempt.

    Attributes
    ----------
    reason
        What went wrong.
    status
        The HTTP status; `None` if there was no usable answer.
    not_before_seconds
        How long the server wants to be left alone.
    """

    def __init__(
        self, reason: str, status: int | None = None, not_before_seconds: float = 0.0
    ) -> None:
        self.reason = one_line(reason)
        super().__init__(self.reason)
        self.status = status
        self.not_before_seconds = not_before_seconds

    @property
    def may_be_done(self) -> bool:
        """Whether the server may have done what it was asked, all the same."""
        return self.status is None or self.status >= 500


class SilenceError(TransientError):
    """Nothing was heard for the idle limit."""


@attrs.frozen(slots=False)
class Answer:
    """What the API server said, whole.

    Attributes
    ----------
    status
        The HTTP status.
    headers
        Their names in any case.
    body
        As it was sent, decompressed.
    origin
        The session that it came by: see `lab_storage._api.client.Client.renew`.
    check
        Raises once the call is over, which ends the parsing of a long body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)
    origin: object = attrs.field(default=None, repr=False)
    check: Callable[[], object] | None = attrs.field(default=None, repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status <= 299

    @cached_property
    def content(self) -> dict[str, Any]:
        """The JSON object in the body, whatever it is.

        Raises
        ------
        TransientError
            If there is none: no API server answers so.
        """
        try:
            content = self._parse()
        except (ValueError, RecursionError):
            # Not chained: the parser's error holds the whole body, a Secret's too.
            content = self._status_in_protobuf()
        if not isinstance(content, dict):
            size = f"{len(self.body)} bytes" if self.body else "empty"
            raise TransientError(f"the answer is not a JSON object ({size})")
        return content

    def _parse(self) -> Any:
        if self.check is None or len(self.body) < _LONG_BYTES:
            return json.loads(self.body)
        check, count = self.check, itertools.count(1)

        def checked(content: dict[str, Any]) -> dict[str, Any]:
            if next(count) % _OBJECTS_PER_CHECK == 0:
                check()
            return content

        return json.loads(self.body, object_hook=checked)

    def _status_in_protobuf(self) -> dict[str, Any] | None:
        """What is wrong, where protobuf was asked for: refusals come in it too."""
        try:
            return protobuf.status(self.body)
        except protobuf.DecodeError:
            return None

    def read_object(self) -> dict[str, Any]:
        """Read the answer to a request for an object.

        Raises
        ------
        TransientError
            If there is no object, or a failure that calls itself a success.
        """
        content = self.content
        if content.get("kind") == "Status" and content.get("status") == "Failure":
            raise TransientError(f"the answer is a failure with status {self.status}")
        return content

    def read_metadata(self) -> dict[str, Any]:
        """Read the metadata of the object that was asked for; raises as `read_object`."""
        metadata = mapping_at(self.read_object(), "metadata")
        if not metadata:
            raise TransientError("the answer is not a Kubernetes object")
        return metadata

    def read_list(self) -> dict[str, Any]:
        """Read the answer to a request for a list, which must not read as empty if it is not one.

        Raises
        ------
        TransientError
            If it is not a list.
        """
        content = self.read_object()
        if not {"items", "rows", "metadata"} & content.keys():
            raise TransientError("the answer is not a list")
        return content

    def read_state(self) -> dict[str, Any]:
        """Read the ``status`` of the object in the body; empty if there is none.

        A pod has 20 kB of which its status is one, and the last field: API servers write JSON
        without spaces, in the order of the fields in their types (``k8s.io/api/core/v1``,
        ``Pod``). Where the body ends so, nothing before the status is parsed, which is most
        of what reading a phase costs. A quotation mark after a comma begins a string, so
        that what is found is a key; what ends together with the body is a part of the whole.

        Raises
        ------
        TransientError
            If there is no object in the body.
        """
        body = self.body
        place = body.rfind(_LAST_FIELD)
        if place >= 0 and body.startswith(b"{") and len(body) < _LONG_BYTES:
            try:
                text = body[place + len(_LAST_FIELD) - 1 :].decode()
                state, end = _decoder.raw_decode(text)
            except (ValueError, RecursionError):
                pass
            else:
                if text[end:].rstrip() == "}":
                    return state  # type: ignore[no-any-return]
        return mapping_at(self.content, "status")

    @cached_property
    def details(self) -> dict[str, Any]:
        """The ``Status`` in the body of a refusal, or nothing: proxies answer in HTML."""
        try:
            content = self.content
        except TransientError:
            return {}
        return content if content.get("kind", "Status") == "Status" else {}

    @property
    def message(self) -> str:
        """What the server says is wrong."""
        message = self.details.get("message")
        if isinstance(message, str) and message:
            return message
        if (self.header("Content-Type") or "").startswith("text/plain"):
            # The API server itself refuses excess load so, and many proxies do.
            text = self.body[:_LONGEST_TEXT].decode("utf-8", "replace").strip()
            if text:
                return text
        if 300 <= self.status <= 399 and (location := self.header("Location")):
            return f"{self.phrase} (Location: {location[:_LONGEST_TEXT]})"
        return self.phrase

    @property
    def phrase(self) -> str:
        """HTTP's words for the status, whatever the server says."""
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return "no reason given"

    @property
    def reason(self) -> str | None:
        """Kubernetes' word for the status, such as ``AlreadyExists``."""
        reason = self.details.get("reason")
        return reason if isinstance(reason, str) and reason else None

    def header(self, name: str) -> str | None:
        """Give a header; its name may be in any case."""
        for key, value in self.headers.items():
            if key.lower() == name.lower():
                return value
        return None


def mapping_at(content: Any, *path: str) -> dict[str, Any]:
    """Give the mapping at ``path`` in an answer; empty if there is none, as with null."""
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def mappings_at(content: Any, *path: str) -> list[dict[str, Any]]:
    """Give the mappings in the list at ``path`` in an answer: servers send null for none."""
    *parents, last = path
    items = mapping_at(content, *parents).get(last)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
