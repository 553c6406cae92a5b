"""Faults on demand: what a server or the way to it does wrong, by rule."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from .errors import APIError, expired
from .resources import BY_PLURAL

if TYPE_CHECKING:
    from collections.abc import Callable

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

    after_commit: bool = False


@attrs.frozen
class Drip:
    """The answer comes byte by byte, headers and body.

    Attributes
    ----------
    interval
        The time between two bytes.
    """

    interval: timedelta = timedelta(seconds=0.1)


@attrs.frozen
class Reset:
    """The connection is reset (RST) instead of an answer.

    Attributes
    ----------
    after_commit
        Whether the request is carried out before. A watch then sends its
        headers and what exists, and is reset.
    """

    after_commit: bool = False


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
    """

    status: int
    message: str = "made up by a rule of lab_storage.testing"
    reason: str | None = None
    retry_after: str | timedelta | None = None
    body: bytes | None = None

    def error(self) -> APIError:
        """Give what it answers with."""
        details, header = None, self.retry_after
        if isinstance(header, timedelta):
            details, header = {"retryAfterSeconds": int(header.total_seconds())}, None
        return APIError(
            self.status, self.message, self.reason, details, retry_after=header, body=self.body
        )


@attrs.frozen
class Truncate:
    """The request is carried out, and the connection closed inside the answer's body.

    Attributes
    ----------
    after_bytes
        How much of the body is sent.
    """

    after_bytes: int = 10


@attrs.frozen
class Expire:
    """A watch is told 410 Gone, as after a compaction; other requests are too.

    Attributes
    ----------
    in_stream
        Whether a watch is told by an ERROR event after its headers, as by the
        watch cache of kube-apiserver 1.37, or by the answer's status.
    """

    in_stream: bool = True

    def error(self) -> APIError:
        """Give the Status it tells."""
        return expired("too old resource version: 1 (2)")


Effect: TypeAlias = "Silence | Drip | Reset | Answer | Truncate | Expire"


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
    resource: str | None = attrs.field(default=None)
    namespace: str | None = None
    name: str | None = None
    user: str | None = None

    @verb.validator
    def _check_verb(self, _attribute: object, verb: str | None) -> None:
        if verb is not None and verb not in VERBS:
            raise ValueError(f"verb has to be one of {', '.join(VERBS)}, not {verb!r}")

    @resource.validator
    def _check_resource(self, _attribute: object, resource: str | None) -> None:
        if resource is not None and resource.partition("/")[0] not in BY_PLURAL:
            known = ", ".join(sorted(BY_PLURAL))
            raise ValueError(f"resource has to be one of {known}, not {resource!r}")

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
    """The faults and refusals of a server; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._refusals: list[RequestMatch] = []

    def add_fault(self, effect: Effect, match: RequestMatch, times: int | None) -> Fault:
        """Add a fault; of several that fit, the first that was added hits."""
        fault = Fault(effect, match, times, self._remove)
        with self._lock:
            self._faults.append(fault)
        return fault

    def forbid(self, match: RequestMatch) -> Callable[[], None]:
        """Have requests refused by authorization, and give what takes that back."""
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

    def _remove(self, fault: Fault) -> None:
        with self._lock:
            if fault in self._faults:
                self._faults.remove(fault)
