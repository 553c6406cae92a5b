"""Faults on demand: what a server or the way to it does wrong, by rule."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from .arguments import a_boolean, a_duration, check_duration, check_type
from .errors import APIError, expired

if TYPE_CHECKING:
    from collections.abc import Callable

    from .resources import Resources

#: The verbs of the API, as RBAC names them.
VERBS = ("create", "get", "list", "watch", "patch", "delete")


@attrs.frozen
class Silence:
    """The request is taken and never answered: a half-open connection.

    Attributes
    ----------
    after_commit
        Whether it is carried out before. A watch then sends its headers, and no
        events.
    """

    after_commit: bool = attrs.field(default=False, validator=a_boolean)


@attrs.frozen
class Drip:
    """The answer comes byte by byte, headers and body.

    Attributes
    ----------
    interval
        The time between two bytes.
    """

    interval: timedelta = attrs.field(default=timedelta(seconds=0.1), validator=a_duration)


@attrs.frozen
class Reset:
    """The connection is reset (RST) instead of an answer.

    Attributes
    ----------
    after_commit
        Whether the request is carried out before. A watch then sends its
        headers and what exists, and is reset.
    """

    after_commit: bool = attrs.field(default=False, validator=a_boolean)


@attrs.frozen
class Answer:
    """The request is refused with a status of your choice and not carried out.

    Attributes
    ----------
    status
        The HTTP status.
    message
        The message of the Status object.
    reason
        Its reason, such as ``TooManyRequests``.
    retry_after
        The Retry-After header: text as it is, or a time, which is told in
        ``details.retryAfterSeconds`` too.
    body
        Instead of a Status: these bytes, as they are.
    content_type
        The media type of ``body``, such as ``text/html`` for a gateway's page.
    """

    status: int = attrs.field()
    message: str = "made up by a rule of lab_storage.testing"
    reason: str | None = None
    retry_after: str | timedelta | None = attrs.field(default=None)
    body: bytes | None = attrs.field(default=None)
    content_type: str = "application/json"

    @status.validator
    def _check_status(self, _attribute: object, status: int) -> None:
        check_type("status", status, int, "an HTTP status, such as 503")
        if not 200 <= status <= 599:
            raise ValueError(f"status must be between 200 and 599, got {status}")

    @retry_after.validator
    def _check_retry_after(self, _attribute: object, value: str | timedelta | None) -> None:
        # A number could be seconds; the header may also be a date, or nonsense.
        if value is not None and not isinstance(value, str):
            check_duration("retry_after", value)

    @body.validator
    def _check_body(self, _attribute: object, body: bytes | None) -> None:
        if body is not None:
            check_type("body", body, bytes, "bytes")

    def error(self) -> APIError:
        """Give what it answers with."""
        details, header = None, self.retry_after
        if isinstance(header, timedelta):
            details, header = {"retryAfterSeconds": int(header.total_seconds())}, None
        return APIError(
            self.status,
            self.message,
            self.reason,
            details,
            retry_after=header,
            body=self.body,
            content_type=self.content_type,
        )


@attrs.frozen
class Truncate:
    """The request is carried out, and the connection closed inside the answer's body.

    Attributes
    ----------
    after_bytes
        How much of the body is sent.
    """

    after_bytes: int = attrs.field(default=10)

    @after_bytes.validator
    def _check_bytes(self, _attribute: object, after_bytes: int) -> None:
        check_type("after_bytes", after_bytes, int, "a whole number")
        if after_bytes < 0:
            raise ValueError(f"after_bytes must not be negative, got {after_bytes}")


@attrs.frozen
class Expire:
    """A watch is told 410 Gone, as after a compaction; other requests are too.

    Attributes
    ----------
    in_stream
        Whether a watch is told by an ERROR event after its headers, as by the
        watch cache of kube-apiserver 1.37, or by the answer's status.
    """

    in_stream: bool = attrs.field(default=True, validator=a_boolean)

    def error(self) -> APIError:
        """Give the Status it tells."""
        return expired("too old resource version: 1 (2)")


Effect: TypeAlias = "Silence | Drip | Reset | Answer | Truncate | Expire"
_EFFECTS = (Silence, Drip, Reset, Answer, Truncate, Expire)


def check_effect(effect: object) -> None:
    """Refuse what is not an effect, such as ``Reset`` instead of ``Reset()``.

    Raises
    ------
    TypeError
        It would never do anything.
    """
    if not isinstance(effect, _EFFECTS):
        listed = ", ".join(each.__name__ for each in _EFFECTS)
        raise TypeError(f"effect must be an instance of one of {listed}, got {effect!r}")


@attrs.frozen(kw_only=True)
class RequestMatch:
    """Which requests a rule is about; what is ``None`` does not matter.

    Attributes
    ----------
    verb
        ``create``, ``get``, ``list``, ``watch``, ``patch`` or ``delete``.
    resource
        The plural, such as ``pods``, or with a subresource ``pods/status``.
    namespace, name
        Of the object; the name of a new one is that in its manifest.
    user
        Who asks.
    """

    verb: str | None = attrs.field(default=None)
    resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    user: str | None = None

    @verb.validator
    def _check_verb(self, _attribute: object, verb: str | None) -> None:
        if verb is not None and verb not in VERBS:
            raise ValueError(f"verb must be one of {', '.join(VERBS)}, got {verb!r}")

    def fits(self, **request: str | None) -> bool:
        """Tell whether a request is one of those."""
        wanted: dict[str, Any] = attrs.asdict(self)
        return all(wanted[key] in (None, value) for key, value in request.items())


class Fault:
    """A rule that is in force until it has hit often enough or is removed.

    Parameters
    ----------
    effect
        What happens.
    match
        To which requests.
    times
        How often; ``None`` for as long as the rule is there.
    remove
        Takes the rule back.
    """

    def __init__(
        self,
        effect: Effect,
        match: RequestMatch,
        times: int | None,
        remove: Callable[[Fault], None],
    ) -> None:
        self.effect = effect
        self._match = match
        self._times = times
        self._remove = remove
        self._hits = 0
        self._hit = threading.Condition()

    @property
    def hits(self) -> int:
        """How many requests it has hit."""
        return self._hits

    def remove(self) -> None:
        """Take the rule back; requests that it has hit stay as they are."""
        self._remove(self)

    def wait(self, timeout: timedelta = timedelta(seconds=10), *, hits: int = 1) -> None:
        """Block until it has hit so often.

        Raises
        ------
        TimeoutError
            It has not, in that time.
        """
        check_duration("timeout", timeout)
        with self._hit:
            if not self._hit.wait_for(lambda: self._hits >= hits, timeout.total_seconds()):
                raise TimeoutError(f"{self.effect} has hit {self._hits} times, not {hits}")

    def take(self, **request: str | None) -> bool:
        """Tell whether this request is hit, and count it then."""
        with self._hit:
            used_up = self._times is not None and self._hits >= self._times
            if used_up or not self._match.fits(**request):
                return False
            self._hits += 1
            self._hit.notify_all()
            return True


class Rules:
    """The faults and refusals of a server; thread-safe.

    Parameters
    ----------
    resources
        Those that a rule can be about.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._refusals: list[RequestMatch] = []

    def add_fault(self, effect: Effect, match: RequestMatch, times: int | None) -> Fault:
        """Add a fault; of several that fit, the first that was added hits."""
        check_effect(effect)
        if times is not None:
            check_type("times", times, int, "a whole number, or None for always")
            if times < 1:
                raise ValueError(f"times must be at least 1, got {times}")
        self._check_resource(match)
        fault = Fault(effect, match, times, self._remove)
        with self._lock:
            self._faults.append(fault)
        return fault

    def forbid(self, match: RequestMatch) -> Callable[[], None]:
        """Have requests refused by authorization, and give what takes that back."""
        self._check_resource(match)
        with self._lock:
            self._refusals.append(match)

        def allow() -> None:
            with self._lock:
                if match in self._refusals:
                    self._refusals.remove(match)

        return allow

    def effect_on(self, **request: str | None) -> Effect | None:
        """Give what happens to a request, if anything does."""
        with self._lock:
            faults = tuple(self._faults)
        return next((fault.effect for fault in faults if fault.take(**request)), None)

    def forbids(self, **request: str | None) -> bool:
        """Tell whether authorization refuses a request."""
        with self._lock:
            return any(match.fits(**request) for match in self._refusals)

    def _check_resource(self, match: RequestMatch) -> None:
        # One that does not exist would never fit, and a test pass for nothing.
        plural = (match.resource or "").partition("/")[0]
        if match.resource is not None and plural not in self._resources.plurals:
            known = ", ".join(self._resources.plurals)
            raise ValueError(f"resource must be one of {known}, got {match.resource!r}")

    def _remove(self, fault: Fault) -> None:
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)
