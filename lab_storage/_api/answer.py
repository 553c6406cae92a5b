"""What is asked of the API server, what it answers, and the error an answer makes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import attrs
from kubernetes.client.exceptions import ApiException

from lab_storage._api.operation import Operation
from lab_storage._manifests.kinds import SECRET, Kind
from lab_storage.exceptions import KubernetesError, describe_object, one_line

JSON = "application/json"
_LAST_FIELD = b',"status":{'
_decoder = json.JSONDecoder()


# Of a refusal in plain text, as much is shown.
_LONGEST_TEXT = 300


class UnusableError(Exception):
    """No answer came, or none that can be used: to be tried again.

    Never reaches a caller. Its cause is what another library raised.
    """


class SilenceError(UnusableError):
    """Nothing was heard for the idle limit."""


@attrs.frozen
class Request:
    """One request to the API server.

    Attributes
    ----------
    method
        The HTTP method.
    kind, namespace, name
        What it is about.
    query
        The query's parameters, not encoded.
    body
        What is sent, as JSON.
    accept
        The media types that may come back.
    collection
        Whether it goes to the collection, although it may be about one object.
    """

    method: str
    kind: Kind
    namespace: str | None = None
    name: str | None = None
    query: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes | None = attrs.field(default=None, repr=False)
    accept: str = JSON
    collection: bool = False

    @property
    def url(self) -> str:
        """Path and query, encoded."""
        path = self.kind.path(self.namespace, None if self.collection else self.name)
        return f"{path}?{urlencode(self.query)}" if self.query else path

    @property
    def is_list(self) -> bool:
        """Whether it asks for objects and not for one."""
        return self.method == "GET" and (self.collection or self.name is None)

    def __str__(self) -> str:
        about = describe_object(self.kind.name, self.namespace, self.name)
        return f"{self.method} {about}"


@attrs.frozen(slots=False)
class Answer:
    """What the API server said, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)
    # Of what the client was made that got it: see Client.renew.
    origin: object = attrs.field(default=None, repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the server did what it was asked."""
        return 200 <= self.status <= 299

    @cached_property
    def content(self) -> dict[str, Any]:
        """The object in the body.

        Raises
        ------
        UnusableError
            If there is none: that is no answer of an API server.
        """
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            # Not chained: the parser's error holds the whole body, a Secret's too.
            content = None
        if not isinstance(content, dict):
            size = f"{len(self.body)} bytes" if self.body else "empty"
            raise UnusableError(f"the answer is no JSON object ({size})")
        return content

    @cached_property
    def state(self) -> dict[str, Any]:
        """The ``status`` of the object in the body; empty where there is none.

        A pod has 20 kB of which its status is one, and the last field: API servers write JSON
        without spaces, in the order of the fields in their types (``k8s.io/api/core/v1``,
        ``Pod``). Where the body ends so, nothing before the status is parsed, which is most
        of what reading a phase costs. A quotation mark after a comma begins a string, so
        that what is found is a key; what ends together with the body is a part of the whole.

        Raises
        ------
        UnusableError
            If there is no object in the body.
        """
        body = self.body
        place = body.rfind(_LAST_FIELD)
        if place >= 0 and body.startswith(b"{"):
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
        except UnusableError:
            return {}
        return content if content.get("kind", "Status") == "Status" else {}

    @property
    def message(self) -> str:
        """What the server says is wrong."""
        message = self.details.get("message")
        if isinstance(message, str) and message:
            return message
        if (self.header("Content-Type") or "").startswith("text/plain"):
            # As the API server itself refuses what is too much for it, and many proxies do.
            text = self.body[:_LONGEST_TEXT].decode("utf-8", "replace").strip()
            if text:
                return text
        return self.phrase

    @property
    def phrase(self) -> str:
        """HTTP's words for the status, whatever the server says."""
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return "no reason given"

    def header(self, name: str) -> str | None:
        """A header, its name in any case, as HTTP has it."""
        for key, value in self.headers.items():
            if key.lower() == name.lower():
                return value
        return None

    @property
    def reason(self) -> str | None:
        """Kubernetes' word for the status, as ``AlreadyExists``."""
        reason = self.details.get("reason")
        return reason if isinstance(reason, str) and reason else None


def mapping_at(content: Any, *path: str) -> dict[str, Any]:
    """What is at ``path`` in an answer; empty where there is no mapping, as with null."""
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def mappings_at(content: Any, *path: str) -> list[dict[str, Any]]:
    """The mappings in the list at ``path`` in an answer: servers send null for none."""
    *parents, last = path
    items = mapping_at(content, *parents).get(last)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def check_list(answer: Answer) -> None:
    """Raise `UnusableError` of an answer to a list that is none: it must not mean "nothing"."""
    if not {"items", "rows", "metadata"} & answer.content.keys():
        raise UnusableError("the answer is no list")


def refusal(answer: Answer, request: Request, operation: Operation) -> KubernetesError:
    """Make the error of a status that is final."""
    secret = request.kind is SECRET
    # The body of a watch's answer may be long; what is wrong stands in the message.
    body = None if secret else answer.body.decode("utf-8", "replace")
    error = KubernetesError(
        message=one_line(safe_message(answer, request)),
        user=operation.user,
        kind=request.kind.name,
        namespace=request.namespace,
        name=request.name,
        status=answer.status,
        reason=safe_reason(answer, request),
        body=body,
        operation=operation.timeout.operation,
    )
    # Whoever knows the official client finds its exception, with the headers.
    cause = ApiException(status=answer.status, reason=error.reason)
    cause.body = body
    cause.headers = {} if secret else dict(answer.headers)
    error.__cause__ = cause
    return error


def unusable(text: str, request: Request, operation: Operation) -> KubernetesError:
    """Make the error of a request that got no answer and that is not worth a second try."""
    return KubernetesError(
        message=one_line(text),
        user=operation.user,
        kind=request.kind.name,
        namespace=request.namespace,
        name=request.name,
        operation=operation.timeout.operation,
    )


def summary(answer: Answer, request: Request) -> str:
    """``503 ServiceUnavailable: …``: an answer in a log line or in a timeout's text."""
    message = one_line(safe_message(answer, request))
    words = str(answer.status), safe_reason(answer, request)
    return " ".join(word for word in words if word) + f": {message}"


@lru_cache
def _safe(name: str | None, namespace: str | None) -> re.Pattern[str]:
    """What a server says of that Secret without a word from inside it.

    It quotes a value that it finds invalid, and parts of the manifest that it cannot read;
    so anything else is withheld. Of names, those count that were asked for.
    """
    this, here = re.escape(name or ""), re.escape(namespace or "")
    quota = r"[-a-z0-9.]+"
    amounts = r"(?:[-\w./]+=[-\w.]+,?)+"
    return re.compile(
        rf"""secrets\ "{this}"\ (?:already\ exists|not\ found)
        | secrets(?:\ "{this}")?\ is\ forbidden:\ (?:
            User\ "[-\w.:@]+"\ cannot\ [a-z]+\ resource\ "secrets"\ in\ API\ group\ ""
              (?:\ in\ the\ namespace\ "{here}")?
          | exceeded\ quota:\ {quota},\ requested:\ {amounts},\ used:\ {amounts},
            \ limited:\ {amounts}
          | status\ unknown\ for\ quota:\ {quota},\ resources:\ [-\w./,]+
          | unable\ to\ create\ new\ content\ in\ namespace\ {here}\ because
            \ it\ is\ being\ terminated
          )
        | namespaces\ "{here}"\ not\ found
        | Operation\ cannot\ be\ fulfilled\ on\ resourcequotas\ "{quota}":\ the\ object\ has
          \ been\ modified;\ please\ apply\ your\ changes\ to\ the\ latest\ version\ and
          \ try\ again
        | Unauthorized
        """,
        re.VERBOSE,
    )


# Of a Secret's answer, a reason that is none of Kubernetes' (k8s.io/apimachinery,
# metav1.StatusReason) is not shown either.
_REASONS = frozenset({
    "AlreadyExists", "BadRequest", "Conflict", "Expired", "Forbidden", "Gone", "InternalError",
    "Invalid", "MethodNotAllowed", "NotAcceptable", "NotFound", "RequestEntityTooLarge",
    "ServerTimeout", "ServiceUnavailable", "StoreReadError", "Timeout", "TooManyRequests",
    "Unauthorized", "UnsupportedMediaType",
})  # fmt: skip


def safe_reason(answer: Answer, request: Request) -> str | None:
    """The server's reason; of a Secret only a known one."""
    reason = answer.reason
    return reason if request.kind is not SECRET or reason in _REASONS else None


def safe_message(answer: Answer, request: Request) -> str:
    """The server's message; of a Secret only where it shows nothing of its values."""
    safe = _safe(request.name, request.namespace)
    if request.kind is not SECRET or safe.fullmatch(answer.message):
        return answer.message
    withheld = " (message withheld: it may show the Secret)" if answer.details else ""
    return answer.phrase + withheld
