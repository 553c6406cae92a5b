"""Warnings that a server sends are logged, each text once a minute."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import LogCapture
from urllib3 import HTTPHeaderDict

from lab_storage._api import server_warnings
from lab_storage._api.server_warnings import ServerWarnings
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import LAB, NAMES, PENDING
from tests.support.villain import Act, Cluster, Seen, Villain, json_answer, stream

EVENT = "Warning from the API server"


def warned(*warnings: str) -> HTTPHeaderDict:
    """Give the headers of an answer with warnings."""
    headers = HTTPHeaderDict()
    for warning in warnings:
        headers.add("Warning", warning)
    return headers


def lines(log: LogCapture) -> list[Any]:
    """Give the log lines about warnings."""
    return [entry for entry in log.entries if entry["event"] == EVENT]


def test_is_logged_with_what_it_is_about(storage_of: StorageOf, log: LogCapture) -> None:
    """One line each, without what HTTP puts around it."""
    headers = {"Warning": '299 - "v1 Pod is \\"old\\"", 299 kube "use apps/v2" "a date"'}
    with Villain(json_answer(PENDING, headers=headers)) as villain:
        storage_of(villain).read_pod_phase(NAMES, timeout_of(5))

    expected = {"event": EVENT, "log_level": "warning", "user": "jovyan", "kind": "Pod"}
    expected |= {"namespace": NAMES.namespace, "name": NAMES.pod}
    assert [
        {**expected, "warning": 'v1 Pod is "old"'},
        {**expected, "warning": "use apps/v2"},
    ] == lines(log)


def test_is_logged_once_a_minute(
    storage_of: StorageOf, log: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then again, if it still holds."""
    now = [1000.0]
    monkeypatch.setattr(server_warnings, "monotonic", lambda: now[0])
    with Villain(json_answer(PENDING, headers={"Warning": '299 - "old"'})) as villain:
        storage = storage_of(villain)
        for seconds in (0.0, 1.0, 58.9, 0.2, 59.9, 0.2):
            now[0] += seconds
            storage.read_pod_phase(NAMES, timeout_of(5))

    assert 3 == len(lines(log))


def test_is_logged_for_a_watch(storage_of: StorageOf, log: LogCapture) -> None:
    """Its headers come before its first line."""

    def with_warning(request: Seen) -> Act:
        if request.is_watch:
            gone = {"type": "DELETED", "object": PENDING}
            return stream(gone)
        listed = {"metadata": {"resourceVersion": "1"}, "items": [PENDING]}
        return json_answer(listed, headers={"Warning": '299 - "old"'})

    with Villain(with_warning) as villain:
        storage_of(villain).wait_for_pod_start(NAMES.pod, NAMES.namespace, timeout_of(5))

    assert ["old"] == [entry["warning"] for entry in lines(log)]


def test_about_a_secret_shows_nothing(storage_of: StorageOf, log: LogCapture) -> None:
    """Whatever it says, it may be a value."""

    def after(request: Seen) -> Act | None:
        if not request.path.endswith("/secrets"):
            return None
        return json_answer({"kind": "Secret"}, 201, {"Warning": '299 - "hunter2"'})

    with Villain(Cluster(after=after)) as villain:
        storage_of(villain).create(LAB, timeout_of(10))

    assert ["withheld: it may show the Secret"] == [entry["warning"] for entry in lines(log)]
    assert "hunter2" not in str(log.entries)


@pytest.mark.parametrize(
    ("header", "texts"),
    [
        ("", [""]),
        ("deprecated", ["deprecated"]),
        ('299 - ""', [""]),
        ('299 - "a, 299 - b"', ["a, 299 - b"]),
        ('299 - "unfinished', ['299 - "unfinished']),
        ('299 - "\x1b[2J\r\n moved"', ["\\x1b[2J moved"]),
        ('299 - "' + "x" * 5000 + '"', ["x" * 1000]),
    ],
)
def test_may_be_written_in_any_way(header: str, texts: list[str]) -> None:
    """What cannot be read is given as it is, and moves no cursor."""
    assert texts == [*ServerWarnings().new_in(warned(header))]


def test_each_header_counts() -> None:
    """A server may send several."""
    headers = warned('299 - "a"', '299 - "b", 299 - "a"')
    assert ["a", "b"] == [*ServerWarnings().new_in(headers)]


def test_memory_does_not_grow() -> None:
    """Only the latest texts are remembered."""
    warnings = ServerWarnings()
    for number in range(1000):
        assert [str(number)] == [*warnings.new_in(warned(f'299 - "{number}"'))]
    assert 200 == len(warnings._given)
    assert [] == [*warnings.new_in(warned('299 - "999"'))]


def test_odd_header_takes_no_time() -> None:
    """Its pattern does not go back and forth."""
    for text in ('299 - "' + '\\"' * 30_000, '299 - "a' * 8000, "299 " * 15_000, "9" * 60_000):
        assert [*ServerWarnings().new_in(warned(text))]
