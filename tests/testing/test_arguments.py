"""What the test kit is called with: a mistake is an error where it is made."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lab_storage.testing import (
    Answer,
    Delays,
    Drip,
    EmbeddedServer,
    Expire,
    Reset,
    Silence,
    Truncate,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER = EmbeddedServer()
# What a type checker would refuse.
WRONG: Any = {"status": "503", "body": "text", "flag": "no", "effect": Reset, "number": 503}


@pytest.mark.parametrize(
    "call",
    [
        lambda wrong: Drip(wrong),
        lambda wrong: Answer(503, retry_after=wrong),
        lambda wrong: Delays(service_account=wrong),
        lambda wrong: Delays(quota=wrong),
        lambda wrong: Delays(namespace=wrong),
        lambda wrong: setattr(SERVER.delays, "quota", wrong),
        lambda wrong: EmbeddedServer(bookmark_interval=wrong),
        lambda wrong: SERVER.script_pods(delay=wrong),
        lambda wrong: SERVER.add_fault(Reset()).wait(wrong),
    ],
)
def test_number_where_a_time_belongs_is_an_error(call: Callable[[Any], object]) -> None:
    """It could be seconds or milliseconds; a negative time is refused too."""
    for number in (1, 0.5):
        with pytest.raises(TypeError, match=f"must be a datetime.timedelta, got {number}"):
            call(number)
    with pytest.raises(ValueError, match="must not be negative"):
        call(timedelta(seconds=-1))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: Answer(WRONG["status"]),
            TypeError,
            "status must be an HTTP status, such as 503, got '503'",
        ),
        (lambda: Answer(True), TypeError, "status must be an HTTP status"),
        (lambda: Answer(0), ValueError, "between 200 and 599, got 0"),
        (lambda: Answer(200, body=WRONG["body"]), TypeError, "body must be bytes"),
        (lambda: Silence(after_commit=WRONG["flag"]), TypeError, "after_commit must be a bool"),
        (lambda: Reset(WRONG["number"]), TypeError, "after_commit must be a bool"),
        (lambda: Expire(in_stream=WRONG["flag"]), TypeError, "in_stream must be a bool"),
        (lambda: Truncate(WRONG["flag"]), TypeError, "after_bytes must be a whole number"),
        (lambda: Truncate(-1), ValueError, "after_bytes must not be negative"),
        (
            lambda: SERVER.add_fault(WRONG["effect"]),
            TypeError,
            "effect must be an instance of one of",
        ),
        (
            lambda: SERVER.add_fault(WRONG["number"]),
            TypeError,
            "effect must be an instance of one of",
        ),
        (lambda: SERVER.add_fault(Reset(), times=0), ValueError, "times must be at least 1"),
        (
            lambda: SERVER.add_fault(Reset(), times=WRONG["flag"]),
            TypeError,
            "times must be a whole number",
        ),
        (lambda: EmbeddedServer(delays=WRONG["number"]), TypeError, "delays must be a Delays"),
        (
            lambda: EmbeddedServer(history=WRONG["flag"]),
            TypeError,
            "history must be a whole number",
        ),
    ],
)
def test_argument_of_another_type_is_an_error(
    call: Callable[[], object], error: type[Exception], text: str
) -> None:
    """A rule that can never do what it says would let a test pass for nothing."""
    with pytest.raises(error, match=text):
        call()
