"""What is shown of a refusal: in an error, in a log line, in the text of a timeout.

A server that refuses something about a Secret may quote it. So of a confidential kind, only what
is known to be harmless is shown.
"""

from __future__ import annotations

import re
from functools import lru_cache

from kubernetes.client.exceptions import ApiException

from lab_storage._api.answer import Answer
from lab_storage._api.request import Request
from lab_storage.exceptions import KubernetesError, one_line


def refusal(
    answer: Answer, request: Request, *, operation: str, user: str | None
) -> KubernetesError:
    """Make the error of a status that is final."""
    is_confidential = request.kind.confidential
    body = None if is_confidential else answer.body.decode("utf-8", "replace")
    error = KubernetesError(
        message=one_line(safe_message(answer, request)),
        user=user,
        kind=request.kind.name,
        namespace=request.namespace,
        name=request.name,
        status=answer.status,
        reason=safe_reason(answer, request),
        body=body,
        operation=operation,
    )
    # Whoever knows the official client finds its exception, with the headers.
    cause = ApiException(status=answer.status, reason=error.reason)
    cause.body = body
    cause.headers = {} if is_confidential else dict(answer.headers)
    error.__cause__ = cause
    return error


def no_answer(text: str, request: Request, *, operation: str, user: str | None) -> KubernetesError:
    """Make the error of a request that got no answer, if another attempt is no use."""
    return KubernetesError(
        message=one_line(text),
        user=user,
        kind=request.kind.name,
        namespace=request.namespace,
        name=request.name,
        operation=operation,
    )


def summary(answer: Answer, request: Request) -> str:
    """Sum an answer up for a log line or the text of a timeout: ``503 ServiceUnavailable: …``."""
    message = one_line(safe_message(answer, request))
    words = str(answer.status), safe_reason(answer, request)
    return " ".join(word for word in words if word) + f": {message}"


def safe_reason(answer: Answer, request: Request) -> str | None:
    """Give the server's reason; of a confidential kind, only a known one."""
    reason = answer.reason
    return reason if not request.kind.confidential or reason in _REASONS else None


def safe_message(answer: Answer, request: Request) -> str:
    """Give the server's message; of a confidential kind, only one that shows no value."""
    message = answer.message
    if not request.kind.confidential:
        return message
    if _harmless(request.kind.plural, request.name, request.namespace).fullmatch(message):
        return message
    withheld = f" (message withheld: it may show the {request.kind.name})"
    return answer.phrase + (withheld if answer.details else "")


# Reasons of Kubernetes (k8s.io/apimachinery, metav1.StatusReason).
_REASONS = frozenset({
    "AlreadyExists", "BadRequest", "Conflict", "Expired", "Forbidden", "Gone", "InternalError",
    "Invalid", "MethodNotAllowed", "NotAcceptable", "NotFound", "RequestEntityTooLarge",
    "ServerTimeout", "ServiceUnavailable", "StoreReadError", "Timeout", "TooManyRequests",
    "Unauthorized", "UnsupportedMediaType",
})  # fmt: skip


@lru_cache
def _harmless(plural: str, name: str | None, namespace: str | None) -> re.Pattern[str]:
    """What a server says about that object without a word from inside it.

    It quotes a value that it finds invalid, and parts of a manifest that it cannot read;
    so anything else is withheld. Only names that were asked for count as names. The pattern
    meets texts of any length: no two of its repetitions can share the same characters.
    """
    this, here = re.escape(name or ""), re.escape(namespace or "")
    quota = r"[-a-z0-9.]+"
    amount = r"[-\w./]+=[-\w.]+"
    amounts = rf"{amount}(?:,{amount})*"
    return re.compile(
        rf"""{plural}\ "{this}"\ (?:already\ exists|not\ found)
        | {plural}(?:\ "{this}")?\ is\ forbidden:\ (?:
            User\ "[-\w.:@]+"\ cannot\ [a-z]+\ resource\ "{plural}"\ in\ API\ group\ ""
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
