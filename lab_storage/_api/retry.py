"""The one policy of what is tried again, when, and for how long.

=========================================  ======================================
what happened                              what is done
=========================================  ======================================
no connection, a reset, a truncated or     again, after a pause
unusable answer
429 and 5xx                                again, after a pause; never before what
                                           ``Retry-After`` or the Status'
                                           ``details.retryAfterSeconds`` say; if
                                           that is past the deadline it is final
401                                        once more, with credentials asked for
                                           anew; then final
a race that the request names              again, after a pause
any other status; a certificate that       final
does not fit
=========================================  ======================================

The pause is random between nothing and a bound that doubles from 0.1 s to 5 s
("full jitter"; https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import attrs
import tenacity
from tenacity.wait import wait_base

from lab_storage._api.answer import (
    Answer,
    Request,
    UnusableError,
    check_list,
    mapping_at,
    refusal,
    summary,
)
from lab_storage._api.client import Client, Stream
from lab_storage._api.operation import Operation
from lab_storage.exceptions import KubernetesError

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
_FOREVER = 10**18

_jitter = tenacity.wait_random_exponential(
    multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS
)

Judge = Callable[[Answer], bool]


def never(answer: Answer) -> bool:
    """No answer is an exception to the policy."""
    del answer
    return False


def check_object(answer: Answer) -> None:
    """See that there is an object in an answer, and that a success does not say that it failed."""
    content = answer.content
    if (
        answer.is_success
        and content.get("kind") == "Status"
        and content.get("status") == "Failure"
    ):
        raise UnusableError(f"the answer is a failure with status {answer.status}")


class TransientError(Exception):
    """Worth another try, ``not_before_seconds`` from now. Never reaches a caller."""

    def __init__(self, reason: str, status: int | None = None, not_before_seconds: float = 0.0):
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.not_before_seconds = not_before_seconds

    @property
    def may_be_done(self) -> bool:
        """Whether the server may have done what it was asked, all the same."""
        return self.status is None or self.status >= 500


class _Pause(wait_base):
    """Jitter, but not sooner than the server says."""

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        pause_seconds = _jitter(retry_state)
        outcome = retry_state.outcome
        error = outcome.exception() if outcome is not None else None
        if isinstance(error, TransientError):
            pause_seconds = max(pause_seconds, error.not_before_seconds)
        return pause_seconds


def retrying(operation: Operation, request: Request) -> tenacity.Retrying:
    """Tenacity's view of the policy, for one request of ``operation``.

    It repeats what raises `TransientError`. It never gives up by itself: the
    deadline ends it, or a cancel, in `Operation.sleep`. All other exceptions,
    those that somebody throws into the thread too, leave it at once.
    """

    def log(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, TransientError):
            operation.write(
                operation.log.warning,
                "Kubernetes request will be tried again",
                namespace=request.namespace,
                name=request.name,
                kind=request.kind.name,
                attempt=state.attempt_number,
                status=error.status,
                wait_seconds=round(state.upcoming_sleep, 3),
                reason=error.reason,
            )

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        wait=_Pause(),
        sleep=operation.sleep,
        before_sleep=log,
        reraise=True,
    )


class Backoff:
    """The pauses of the policy for what `call` cannot repeat by itself.

    That is a watch that breaks, or a request that is not to be made again blindly.

    `pause` blocks for longer from time to time, until `reset`.
    """

    def __init__(self, operation: Operation, request: Request) -> None:
        self._retrying = retrying(operation, request)
        self.reset()

    def reset(self) -> None:
        """Begin again with a short pause, since something has worked."""
        self._state = tenacity.RetryCallState(self._retrying, None, (), {})

    def pause(self, error: TransientError) -> None:
        """Log the failure and block until it is time to try again."""
        state = self._state
        state.set_exception((type(error), error, error.__traceback__))
        state.upcoming_sleep = self._retrying.wait(state)
        if self._retrying.before_sleep is not None:
            self._retrying.before_sleep(state)
        self._retrying.sleep(state.upcoming_sleep)
        state.prepare_for_next_attempt()


@attrs.define(eq=False)
class _Attempts:
    """The tries of one request."""

    ask: Callable[[Request, Operation], Answer | Stream]
    client: Client
    request: Request
    operation: Operation
    is_race: Judge = never
    is_welcome: Judge = never
    read: Callable[[Answer], Any] = check_object
    refreshed: bool = False

    def __call__(self) -> Any:
        operation = self.operation
        try:
            answer = self.ask(self.request, operation)
            if isinstance(answer, Stream):
                return answer
            if answer.is_success or self.is_welcome(answer):
                self.read(answer)  # is it an answer at all?
                if answer.is_success and self.request.is_list:
                    check_list(answer)
                return answer
        except UnusableError as error:
            operation.fail(str(error), error.__cause__)
            raise TransientError(str(error)) from error
        if answer.status == 401 and not self.refreshed:
            self.refreshed = True
            self.client.renew(answer.origin)
            return self()
        raise judged(answer, self.request, operation, self.is_race)


def judged(
    answer: Answer, request: Request, operation: Operation, is_race: Judge = never
) -> KubernetesError | TransientError:
    """What a refusal means: an error that is final, or another try."""
    error = refusal(answer, request, operation)
    if answer.status != 429 and not 500 <= answer.status <= 599 and not is_race(answer):
        return error
    reason = summary(answer, request)
    operation.fail(reason, error)
    not_before_seconds = retry_after_seconds(answer)
    if not_before_seconds > operation.left():
        return error
    transient = TransientError(reason, answer.status, not_before_seconds)
    transient.__cause__ = error
    return transient


def call(
    client: Client,
    request: Request,
    operation: Operation,
    *,
    is_race: Judge = never,
    is_welcome: Judge = never,
    read: Callable[[Answer], Any] = check_object,
) -> Answer:
    """Make a request until it is answered for good. Blocks.

    Parameters
    ----------
    client
        Sends it.
    request
        What is asked.
    operation
        The call it belongs to; its deadline ends the tries.
    is_race
        Tells of a refusal that is otherwise final whether it will pass.
    is_welcome
        Tells of a refusal whether it is given back like a success.
    read
        Reads of an answer what the caller needs, and raises `UnusableError` if it cannot: then it
        is asked again.

    Returns
    -------
    Answer
        With a JSON object in it.

    Raises
    ------
    KubernetesError
        If the server refuses for good.
    OperationCancelledError, OperationTimeoutError
        If the call is over.
    """
    attempts = _Attempts(client.send, client, request, operation, is_race, is_welcome, read)
    answer: Answer = _run(attempts)
    return answer


def tries(
    client: Client,
    request: Request,
    operation: Operation,
    *,
    is_race: Judge = never,
    is_welcome: Judge = never,
) -> Callable[[], Answer]:
    """Make what makes a request once each time it is called, as `call` makes it.

    For who has to look at something before the next try. Then it raises `TransientError` where
    `call` would make that itself: `Backoff.pause` is the pause before it.
    """
    return _Attempts(client.send, client, request, operation, is_race, is_welcome)


def open_stream(
    client: Client, request: Request, operation: Operation, *, is_welcome: Judge = never
) -> Answer | Stream:
    """Make a request until its body can be read as it comes. Blocks, and raises, as `call`."""
    attempts = _Attempts(client.open, client, request, operation, is_welcome=is_welcome)
    opened: Answer | Stream = _run(attempts)
    return opened


def _run(attempts: _Attempts) -> Any:
    try:
        # Nearly always the first try will do, and needs none of tenacity's state.
        return attempts()
    except TransientError as error:
        failure: list[TransientError] = [error]

    def again() -> Any:
        if failure:
            raise failure.pop()
        return attempts()

    return retrying(attempts.operation, attempts.request)(again)


def retry_after_seconds(answer: Answer) -> float:
    """How long the server wants to be left alone, in seconds; 0 where it does not say.

    ``Retry-After`` is a number of seconds or a date (RFC 9110, section 10.2.3);
    ``details.retryAfterSeconds`` of a Status is a number of seconds
    (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/).
    What cannot be read, or lies in the past, counts as not said.
    """
    stated = mapping_at(answer.details, "details").get("retryAfterSeconds")
    # A number too large for a float is past any deadline all the same.
    from_status = float(min(stated, _FOREVER)) if type(stated) is int and stated > 0 else 0.0
    return max(from_status, _header_seconds(answer.header("Retry-After")))


def _header_seconds(header: str | None) -> float:
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())
