"""One call of the library: who sends its requests, by when, for whom, and what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from lab_storage._api.answer import Answer, TransientError, mapping_at
from lab_storage._api.client import Client
from lab_storage._api.redaction import no_answer, refusal, summary
from lab_storage._api.request import Request
from lab_storage._api.retry import (
    NEW_NAMESPACE_SECONDS,
    is_transient,
    pause_seconds,
    retry_after_seconds,
    retrying,
)
from lab_storage._api.stream import Stream
from lab_storage.exceptions import (
    KubernetesError,
    LabStorageError,
    OperationCancelledError,
    OperationTimeoutError,
    one_line,
)
from lab_storage.models import RequestRecord
from lab_storage.timeout import Timeout

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")
A = TypeVar("A", bound="Answer | Stream")


@attrs.frozen
class _Failure:
    """What went wrong, and the exception that is the cause of a timeout then."""

    text: str
    cause: BaseException | None = attrs.field(default=None, repr=False)


class Call:
    """What the requests of one call of the library have in common.

    A request is made by `request` or `find`, which retry it. Whoever has to do something between
    two attempts loops over `attempts` and makes each by `attempt`.

    Attributes
    ----------
    client
        Sends the requests.
    timeout
        The deadline, and whether somebody cancelled.
    log
        A structlog logger.
    user
        Whose lab it is about, for messages and logs.
    idle_seconds
        A request that hears nothing for so long is given up; `None` for the usual time.
    """

    def __init__(
        self,
        client: Client,
        timeout: Timeout,
        log: Any,
        user: str | None = None,
        *,
        idle_seconds: float | None = None,
    ) -> None:
        if not isinstance(timeout, Timeout):
            raise TypeError(f"timeout must be a Timeout, not {type(timeout).__name__}")
        self.client = client
        self.timeout = timeout
        self.log = log
        self.user = timeout.user if timeout.user is not None else user
        self.idle_seconds = idle_seconds
        # What is in the way now, by the request that met it: the newest is the last. Several
        # requests may be under way at once, and one that works says nothing of another.
        self._failures: dict[Request, _Failure] = {}
        self._waits: dict[Request, str] = {}
        # Requests that were refused by a 401, and made again with credentials asked for anew.
        self._renewed: set[Request] = set()
        self._meanwhile: Callable[[], None] | None = None
        # How often requests were sent that have not come to an end yet.
        self._sent: dict[Request, int] = {}
        self._namespace_made: float | None = None

    def part(self) -> Call:
        """The same call, to be cancelled by itself."""
        timeout = self.timeout.partial(timedelta.max)
        part = Call(self.client, timeout, self.log, self.user, idle_seconds=self.idle_seconds)
        part._failures, part._waits = self._failures, self._waits
        part._namespace_made = self._namespace_made
        return part

    def aside(self, seconds: float) -> Call:
        """A call for what is not worth failing for, and what a timeout does not report.

        It takes at most ``seconds``, and half of the time that is left.
        """
        limit = timedelta(seconds=max(0.0, min(seconds, self.timeout._left() / 2)))
        return Call(self.client, self.timeout.partial(limit), self.log, self.user)

    def meanwhile(self, do: Callable[[], None]) -> None:
        """Have something done once the next request has been sent, before its answer is awaited.

        So a thread has two requests under way. What stands in for urllib3 leaves it to
        `do_meanwhile`.
        """
        self._meanwhile = do

    def do_meanwhile(self) -> None:
        """Do what is to be done meanwhile, unless that has been."""
        do, self._meanwhile = self._meanwhile, None
        if do is not None:
            do()

    # -- Requests ------------------------------------------------------------------

    def request(self, request: Request, read: Callable[[Answer], T]) -> T:
        """Make a request until it is answered for good. Blocks.

        Parameters
        ----------
        request
            What is asked.
        read
            Reads what is wanted from the answer of a success, such as `Answer.read_object`. If
            it raises `TransientError`, the request is made again.

        Raises
        ------
        KubernetesError
            If the server refuses for good.
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        """

        def attempt() -> T:
            answer = self.attempt(request)
            if answer.is_success:
                return read(answer)
            raise self.refusal(request, answer)

        return self._pursue(request, attempt)

    def find(self, request: Request, read: Callable[[Answer], T]) -> T | None:
        """Make a request as `request` does; give `None` if there is no such object."""

        def attempt() -> T | None:
            answer = self.attempt(request)
            if answer.is_success:
                return read(answer)
            if is_missing(answer, request):
                return None
            raise self.refusal(request, answer)

        return self._pursue(request, attempt)

    def _pursue(self, request: Request, attempt: Callable[[], T]) -> T:
        try:
            try:
                # Nearly always the first attempt will do. tenacity's loop would add a tenth to
                # what a small request costs.
                return attempt()
            except TransientError as error:
                failure = error
            self.pause(request, failure, 1)
            return self._retrying(request, made=1)(attempt)
        finally:
            # It has an outcome: what went wrong before is over.
            self.settle(request)

    def attempts(self, request: Request) -> Iterator[tenacity.AttemptManager]:
        """Yield attempts until one succeeds: ``for attempt in …: with attempt: …``.

        One fails by a `TransientError`; then comes a pause. Not to be kept while other code
        runs, such as a loop over a generator: tenacity wants one thread for all of it.
        """
        try:
            yield from self._retrying(request)
        finally:
            self.settle(request)

    def attempt(self, request: Request) -> Answer:
        """Make a request once, and give its success or final refusal. Blocks.

        Raises
        ------
        TransientError
            If it is worth another attempt.
        KubernetesError
            If no answer will ever come.
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        """
        answer = self._ask(self.client.send, request)
        if not answer.is_success:
            error = self.judge(request, answer)
            if isinstance(error, TransientError):
                raise error
        return answer

    def open(self, request: Request, *, failures: int = 0) -> Stream | Answer:
        """Make a request once; leave a success to be read as it comes. Blocks.

        A refusal is given as it is: `judge` says what it means. Raises as `attempt`.

        Parameters
        ----------
        request
            What is asked.
        failures
            How many attempts of it have failed already.
        """
        self._sent[request] = failures
        try:
            return self._ask(self.client.open, request)
        finally:
            self._renewed.discard(request)
            self._sent.pop(request, None)

    def _ask(self, ask: Callable[[Request, Call], A], request: Request) -> A:
        """Make a request once; after a 401 once more, if it is the first of all its attempts."""
        answer = ask(request, self)
        if answer.status == 401 and isinstance(answer, Answer) and request not in self._renewed:
            self._renewed.add(request)
            self.client.renew(answer.origin)
            answer = ask(request, self)
        if "Warning" in answer.headers:
            self._log_warnings(request, answer.headers)
        return answer

    def _log_warnings(self, request: Request, headers: Mapping[str, str]) -> None:
        kind = request.kind
        withheld = f"withheld: it may show the {kind.name}" if kind.confidential else None
        for text in self.client.warnings.new_in(headers, withheld=withheld):
            self.write(self.log.warning, "Warning from the API server", request, warning=text)

    def judge(self, request: Request, answer: Answer) -> TransientError | KubernetesError:
        """Make the error that a refusal is: final, or worth another attempt."""
        error = self.refusal(request, answer)
        if not is_transient(answer, request, namespace_is_new=self.namespace_is_new(request)):
            return error
        not_before_seconds = retry_after_seconds(answer)
        if not_before_seconds > max(0.0, self.timeout._left()):
            return error
        transient = TransientError(summary(answer, request), answer.status, not_before_seconds)
        transient.__cause__ = error
        return transient

    def note_namespace_made(self) -> None:
        """Note that this call has just made the namespace that it works in."""
        self._namespace_made = monotonic()

    def namespace_is_new(self, request: Request) -> bool:
        """Whether this call has made the namespace of a request a moment ago."""
        made = self._namespace_made
        return (
            request.namespace is not None
            and made is not None
            and monotonic() < made + NEW_NAMESPACE_SECONDS
        )

    def refusal(self, request: Request, answer: Answer) -> KubernetesError:
        """Make the error of a refusal that is final."""
        return refusal(answer, request, operation=self.timeout.operation, user=self.user)

    def no_answer(self, request: Request, text: str) -> KubernetesError:
        """Make the error of a request that cannot be answered, whatever is tried."""
        return no_answer(text, request, operation=self.timeout.operation, user=self.user)

    def _retrying(self, request: Request, made: int = 0) -> tenacity.Retrying:
        return retrying(
            made=made,
            sleep=self.sleep,
            report=lambda error, attempt, seconds: self._report(request, error, attempt, seconds),
        )

    # -- Deadline and failures -----------------------------------------------------

    def over(self, otherwise: str | None = None) -> LabStorageError | None:
        """The error that ends this call, once it is cancelled or expired.

        A timeout reports the newest failure that has not been overcome; else what is being
        waited for; else ``otherwise``.
        """
        operation = self.timeout.operation
        if self.timeout.cancelled:
            return OperationCancelledError(operation, self.user)
        if not self.timeout.expired:
            return None
        failure = self._last()
        last = otherwise if failure is None else failure.text
        last = one_line(last) if last is not None else None
        error = OperationTimeoutError(operation, self.user, self.timeout._whole.elapsed(), last)
        error.__cause__ = None if failure is None else failure.cause
        return error

    @property
    def last(self) -> str | None:
        """What a timeout would report now."""
        failure = self._last()
        return None if failure is None else failure.text

    def _last(self) -> _Failure | None:
        for failure in list(self._failures.values())[-1:]:
            return failure
        for wait in list(self._waits.values())[-1:]:
            return _Failure(wait)
        return None

    def check(self) -> None:
        """Raise `over`, if it is."""
        error = self.over()
        if error is not None:
            raise error

    def left(self) -> float:
        """Seconds that are left, and more than none; raises `over`."""
        self.check()
        return max(0.001, self.timeout._left())

    def sleep(self, seconds: float) -> None:
        """Block for ``seconds``; raises `over` as soon as it is."""
        self.timeout._sleep(seconds)
        self.check()

    def pause(self, request: Request, error: TransientError, attempt: int) -> None:
        """Log a failure and block until it is time for another attempt.

        For what outlives a loop over `attempts`. Counts as a failure until `settle`.
        """
        seconds = pause_seconds(error, attempt)
        self._report(request, error, attempt, seconds)
        self.sleep(seconds)

    def wait_for(self, request: Request, what: str) -> None:
        """Note what is being waited for, by watching what ``request`` lists."""
        self._waits[request] = what
        self.timeout._note_wait(what)

    def settle(self, request: Request, *, is_done: bool = False) -> None:
        """Note that a request has worked since it failed; and that its wait is done, if it is."""
        self._failures.pop(request, None)
        self._renewed.discard(request)
        self._sent.pop(request, None)
        if is_done:
            self._waits.pop(request, None)
            self.timeout._note_wait(next(reversed(list(self._waits.values())), None))

    def _report(
        self, request: Request, error: TransientError, attempt: int, seconds: float
    ) -> None:
        self._failures.pop(request, None)
        self._failures[request] = _Failure(error.reason, error.__cause__)
        self.write(
            self.log.warning,
            "Retrying Kubernetes request",
            request,
            attempt=attempt,
            status=error.status,
            wait_seconds=round(seconds, 3),
            reason=error.reason,
        )

    # -- Observer ------------------------------------------------------------------

    def count(self, request: Request) -> int:
        """Count an attempt of a request that is being sent."""
        self._sent[request] = self._sent.get(request, 0) + 1
        return self._sent[request]

    def observe(
        self, request: Request, *, status: int | None, attempt: int, seconds: float
    ) -> None:
        """Report an HTTP request that has ended to the observer."""
        record = RequestRecord(
            request.verb,
            request.kind.name,
            request.namespace,
            request.name,
            status,
            attempt,
            seconds,
            self.user,
        )
        try:
            if self.client.observer is not None:
                self.client.observer(record)
        except Exception as error:
            self.write(self.log.warning, "Observer failed", request, reason=repr(error))

    # -- Log -----------------------------------------------------------------------

    def debug(self, event: str, request: Request) -> None:
        """Log what has been done, to which object, for whom."""
        self.write(self.log.debug, event, request)

    def write(
        self, write: Callable[..., Any], event: str, request: Request, **fields: Any
    ) -> None:
        """Write a line about a request to the log.

        With `structlog.stdlib.render_to_log_kwargs` the fields become attributes of a
        `logging.LogRecord`, which has a ``name`` of its own and refuses another by a KeyError.
        """
        fields.update(kind=request.kind.name, namespace=request.namespace, name=request.name)
        try:
            write(event, user=self.user, **fields)
        except KeyError:
            fields["object_name"] = fields.pop("name")
            write(event, user=self.user, **fields)


def is_missing(answer: Answer, request: Request) -> bool:
    """Whether the API server says that there is no such object.

    It says so by a Status with the reason NotFound, whose details name the object. That a
    namespace does not exist, or a resource, is another matter; and what stands before the server
    has its own words for not knowing the way.
    """
    status = answer.details
    if answer.status != 404 or status.get("kind") != "Status" or answer.reason != "NotFound":
        return False
    if "could not find the requested resource" in answer.message:
        return False
    details = mapping_at(status, "details")
    kind, name = details.get("kind"), details.get("name")
    is_of_kind = not kind or kind in (request.kind.plural, request.kind.name)
    return is_of_kind and (not name or name == request.name)
