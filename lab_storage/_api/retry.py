"""The one policy of retries: what is tried again, when, and for how long.

=========================================  ======================================
what happened                              what is done
=========================================  ======================================
no connection, a reset, a truncated or     again, after a pause
unusable answer
429 and 5xx, except what is too large      again, after a pause; never before what
for the server                             ``Retry-After`` or the Status'
                                           ``details.retryAfterSeconds`` say; if
                                           that is past the deadline it is final
401                                        once more, with credentials asked for
                                           anew; then final
a creation that is refused because a       again, after a pause
controller is late, or by any 409
``Conflict``
403, 404, 409 in a namespace that the      again, after a pause, for 5 s; except
same call has just made                    ``exceeded quota``, ``AlreadyExists`` and
                                           a namespace that is being terminated,
                                           not the one that had its name before
any other status; a certificate that       final
does not fit
=========================================  ======================================

The pause is random between nothing and a bound that doubles from 0.1 s to 5 s
("full jitter"; https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
Nothing gives up by itself: the deadline of a call ends it, or a cancel.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import tenacity

from lab_storage._api.answer import Answer, TransientError, mapping_at
from lab_storage._api.request import Request

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
# For so long after a namespace was made, what is refused in it may only be late.
NEW_NAMESPACE_SECONDS = 5.0
_FOREVER = 10**18
# etcd and its client say so with status 500 (https://etcd.io/docs/v3.6/dev-guide/limit/).
_TOO_LARGE = "request is too large", "trying to send message larger than max"


def is_transient(answer: Answer, request: Request, *, namespace_is_new: bool) -> bool:
    """Whether a refusal may pass."""
    if answer.status == 429 or 500 <= answer.status <= 599:
        return not any(text in answer.message for text in _TOO_LARGE)
    if request.method == "POST" and _awaits_controller(answer):
        return True
    return namespace_is_new and _may_be_late(answer, request)


def _awaits_controller(answer: Answer) -> bool:
    """Whether a creation was refused for what will be there soon.

    Two controllers are at work in a new namespace. One makes the default
    ServiceAccount, without which no pod is admitted (kubernetes#66689); the other fills
    in the quota's status, without which nothing is admitted that the quota counts, and
    it may write it at the same moment (kubernetes#67761): a ``Conflict``, as it is for
    other quotas that are counted at admission, such as OpenShift's. ``exceeded quota`` is final.
    """
    message = answer.message
    if answer.status == 403:
        return "error looking up service account" in message or (
            "status unknown for quota" in message
        )
    return answer.status == 409 and answer.reason == "Conflict"


def _may_be_late(answer: Answer, request: Request) -> bool:
    """Whether a refusal in a namespace that was made a moment ago may be due to that.

    Rancher grants the rights in it, and OpenShift the use of a security context, by controllers
    of their own; an API server beside the one that made it may not know it yet. Lists and
    watches do not count: whoever may create objects need not be allowed to watch them.
    """
    is_creation = request.method == "POST"
    if answer.status == 403:
        message = answer.message
        is_look = request.method == "GET" and not request.collection
        return (is_creation or is_look) and not (
            "exceeded quota" in message or "being terminated" in message
        )
    is_conflict = answer.status == 409 and answer.reason != "AlreadyExists"
    return is_creation and (answer.status == 404 or is_conflict)


def retrying(
    *,
    made: int,
    sleep: Callable[[float], None],
    report: Callable[[TransientError, int, float], None],
) -> tenacity.Retrying:
    """The policy as tenacity's, for a function that raises `TransientError`, or for a loop.

    All other exceptions leave it at once, including those that somebody throws into the thread.

    Parameters
    ----------
    made
        How many attempts have been made, and failed, before it.
    sleep
        Blocks for so many seconds, or raises what ends the call.
    report
        Called before each pause with the failure, the number of the attempt and the seconds.
    """

    def before_sleep(state: tenacity.RetryCallState) -> None:
        report(_failure(state), state.attempt_number + made, state.upcoming_sleep)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        wait=lambda state: pause_seconds(_failure(state), state.attempt_number + made),
        sleep=sleep,
        before_sleep=before_sleep,
        reraise=True,
    )


def pause_seconds(error: TransientError, attempt: int) -> float:
    """How long to wait after that failure in that attempt, counted from 1."""
    return max(_jitter(attempt), error.not_before_seconds)


def _jitter(attempt: int) -> float:
    bound = FIRST_PAUSE_SECONDS * 2 ** min(attempt - 1, 30)
    return random.uniform(0, min(bound, LONGEST_PAUSE_SECONDS))  # noqa: S311 - not a secret


def _failure(state: tenacity.RetryCallState) -> TransientError:
    error = state.outcome.exception() if state.outcome is not None else None
    if not isinstance(error, TransientError):
        raise TypeError("only a failed attempt is followed by a pause")
    return error


def retry_after_seconds(answer: Answer) -> float:
    """How long the server wants to be left alone, in seconds; 0 where it does not say.

    ``Retry-After`` is a number of seconds or a date (RFC 9110, section 10.2.3), which is one by
    the server's clock: it counts from the answer's own ``Date``.
    ``details.retryAfterSeconds`` of a Status is a number of seconds
    (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/).
    What cannot be read, or lies in the past, counts as not said.
    """
    stated = mapping_at(answer.details, "details").get("retryAfterSeconds")
    # A number too large for a float is past any deadline all the same.
    from_status = float(min(stated, _FOREVER)) if type(stated) is int and stated > 0 else 0.0
    header = (answer.header("Retry-After") or "").strip()
    if header.isascii() and header.isdigit():
        return max(from_status, float(header))
    then = _date_of(header)
    if then is None:
        return from_status
    now = _date_of(answer.header("Date")) or datetime.now(timezone.utc)
    return max(from_status, (then - now).total_seconds())


def _date_of(header: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(header or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)
