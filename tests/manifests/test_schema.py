from __future__ import annotations

import datetime as dt

import pytest
from kubernetes import client

from lab_storage._manifests.schema import schema_of
from lab_storage._manifests.times import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-17T09:30:00Z", "2026-05-17T09:30:00Z"),
        ("2026-05-17T09:30:00.123456Z", "2026-05-17T09:30:00.123456Z"),
        ("2026-05-17T09:30:00.123456789Z", "2026-05-17T09:30:00.123456Z"),
        ("2026-05-17T09:30:00.5Z", "2026-05-17T09:30:00.500000Z"),
        ("2026-05-17T09:30:00+02:00", "2026-05-17T07:30:00Z"),
        ("2026-05-17T09:30:00-05:30", "2026-05-17T15:00:00Z"),
    ],
)
def test_a_timestamp_of_the_api_is_read_and_written(text: str, expected: str) -> None:
    """Every form that RFC 3339 has comes back as the one that the API server writes."""
    time = parse_time(text)

    assert time is not None
    assert expected == format_time(time)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-05-17",
        "2026-05-17T09:30:00",
        "2026-05-17 09:30:00Z",
        "2026-05-17t09:30:00z",
        "2026-05-17T09:30Z",
        "2026-13-17T09:30:00Z",
        "2026-02-30T09:30:00Z",
        "2026-05-17T24:30:00Z",
        "2026-05-17T09:30:60Z",
        "2026-05-17T09:30:00.Z",
        "2026-05-17T09:30:00+25:00",
        "0000-01-01T00:00:00Z",
        "٢٠٢٦-05-17T09:30:00Z",
        "2026-05-17T09:30:00Z\n",
    ],
)
def test_anything_but_a_timestamp_is_none(text: str) -> None:
    """Other forms, days that do not exist and what Python cannot hold are not guessed at."""
    assert parse_time(text) is None


@pytest.mark.parametrize("time", [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)])  # noqa: DTZ001
def test_times_at_the_ends_of_the_calendar_are_written(time: dt.datetime) -> None:
    """A time without an offset is taken for UTC, and is not moved."""
    assert f"{time.isoformat()}Z" == format_time(time)


@pytest.mark.parametrize(
    ("model", "required"),
    [
        (client.V1PodSpec, {"containers"}),
        (client.V1Container, {"name"}),
        (client.V1IPBlock, {"cidr"}),
        (client.V1Secret, set()),
    ],
)
def test_what_a_class_requires_is_found(model: type, required: set[str]) -> None:
    """All clients agree on the fields without which an object is refused."""
    assert required == {name for name, field in schema_of(model).items() if field.required}
