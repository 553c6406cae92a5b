"""Faults on demand: what a server, or the way to it, does wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

import attrs

from .arguments import a_boolean, a_duration, check_duration, check_type
from .errors import APIError, expired


@attrs.frozen
class Silence:
    """The request is accepted and never answered: a half-open connection.

    Attributes
    ----------
    after_commit
        Whether it is carried out first. A watch then sends its headers, but no events.
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
        Whether the request is carried out first. A watch then sends its
        headers and the objects that exist, and is reset.
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
        The Retry-After header: text as it is, or a time, which is also given in
        ``details.retryAfterSeconds``.
    body
        These bytes, as they are, instead of a Status.
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
        """Return the error that it answers with."""
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
        How many bytes of the body are sent.
    """

    after_bytes: int = attrs.field(default=10)

    @after_bytes.validator
    def _check_bytes(self, _attribute: object, after_bytes: int) -> None:
        check_type("after_bytes", after_bytes, int, "a whole number")
        if after_bytes < 0:
            raise ValueError(f"after_bytes must not be negative, got {after_bytes}")


@attrs.frozen
class Expire:
    """The request is answered 410 Gone, as after a compaction.

    Attributes
    ----------
    in_stream
        Whether a watch gets an ERROR event after its headers, as from the watch cache of
        kube-apiserver 1.37, instead of that status.
    """

    in_stream: bool = attrs.field(default=True, validator=a_boolean)

    def error(self) -> APIError:
        """Return the Status that it answers with."""
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
