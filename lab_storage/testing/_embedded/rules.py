"""Rules: to which requests something happens, and how often."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs

from .arguments import check_duration, check_type
from .faults import check_effect

if TYPE_CHECKING:
    from collections.abc import Callable

    from .faults import Effect
    from .resources import Resources

#: The verbs of the API, as RBAC names them.
VERBS = ("create", "get", "list", "watch", "patch", "delete")


@attrs.frozen(kw_only=True)
class RequestMatch:
    """The requests that a rule is about; ``None`` matches all.

    Attributes
    ----------
    verb
        ``create``, ``get``, ``list``, ``watch``, ``patch`` or ``delete``.
    resource
        The plural, such as ``pods``, or with a subresource ``pods/status``.
    namespace, name
        Of the object; the name of a new one is that in its manifest.
    user
        The user whose token is sent.
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
        """Whether a request is one of those."""
        wanted: dict[str, Any] = attrs.asdict(self)
        return all(wanted[key] in (None, value) for key, value in request.items())


class Fault:
    """A rule, in force until it has hit often enough or is removed.

    Parameters
    ----------
    effect
        What happens.
    match
        To which requests.
    times
        How often; ``None`` until it is removed.
    remove
        Removes the rule.
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
        """Remove the rule; requests that it has hit stay as they are."""
        self._remove(self)

    def wait(self, timeout: timedelta = timedelta(seconds=10), *, hits: int = 1) -> None:
        """Block until it has hit that often.

        Raises
        ------
        TimeoutError
            It has not within that time.
        """
        check_duration("timeout", timeout)
        with self._hit:
            if not self._hit.wait_for(lambda: self._hits >= hits, timeout.total_seconds()):
                raise TimeoutError(f"{self.effect} has hit {self._hits} times instead of {hits}")

    def take(self, **request: str | None) -> bool:
        """Whether this request is hit; counts it if so."""
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
        """Refuse requests by authorization; returns what removes that rule."""
        self._check_resource(match)
        with self._lock:
            self._refusals.append(match)

        def allow() -> None:
            with self._lock:
                if match in self._refusals:
                    self._refusals.remove(match)

        return allow

    def effect_on(self, **request: str | None) -> Effect | None:
        """Return what happens to a request, if anything does."""
        with self._lock:
            faults = tuple(self._faults)
        return next((fault.effect for fault in faults if fault.take(**request)), None)

    def forbids(self, **request: str | None) -> bool:
        """Whether authorization refuses a request."""
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
