"""The status of an object, read without the rest of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_storage._api.answer import Answer, TransientError

_TEXT = st.sampled_from(["", "status", '"status"', '","status":{', "\\", "}", "ü"]) | st.text()
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=12,
)
_OBJECT = st.dictionaries(_TEXT, _JSON, max_size=4)


def state_of(body: bytes) -> Any:
    """Give the status in the body of an answer."""
    return Answer(200, {}, body).read_state()


@given(content=_OBJECT, status=_OBJECT, last=st.booleans(), spaces=st.booleans())
def test_status_is_that_of_the_whole_object(
    content: dict[str, Any], status: dict[str, Any], last: bool, spaces: bool
) -> None:
    """Wherever it stands, and whatever else looks like one."""
    rest = {key: value for key, value in content.items() if key != "status"}
    whole = {**rest, "status": status} if last else {"status": status, **rest}
    body = json.dumps(whole, separators=None if spaces else (",", ":"), ensure_ascii=False)
    assert status == state_of(body.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"kind":"Pod","status":{"phase":"Running"}}\n', {"phase": "Running"}),
        ('{"kind":"Pod","status":{"phase":"Running"},"more":1}', {"phase": "Running"}),
        (
            '{"kind":"Pod","status":{"a":{"b":1,"status":{"c":2}}}}',
            {"a": {"b": 1, "status": {"c": 2}}},
        ),
        ('{"kind":"Pod","spec":{"a":1,"status":{"c":2}}}', {}),
        ('{"kind":"Pod","spec":[{"a":1,"status":{"c":2}}]}', {}),
        ('{"a,\\"status":{"c":2},"status":null}', {}),
        ('{"kind":"Pod","status":null}', {}),
        ('{"kind":"Pod","status":[]}', {}),
        ('{"kind":"Pod"}', {}),
        ("{}", {}),
    ],
)
def test_only_the_status_of_the_whole_counts(body: str, expected: Any) -> None:
    """Neither one deeper inside, nor the end of another key; null and no mapping are none."""
    assert expected == state_of(body.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"kind":"Pod","status":{"phase":"Running"',
        b'{"kind":"Pod","status":{"phase":"Running"}',
        b'{"kind":"Pod","status":{"phase":"Running"}}}',
        b'{"kind":"Pod","status":{"phase":"\xff"}}',
        b'[1,"status":{"phase":"Running"}}',
        b'<html>,"status":{}}',
    ],
)
def test_what_is_no_object_is_unusable(body: bytes) -> None:
    """As it is where all of an object is read."""
    with pytest.raises(TransientError):
        state_of(body)


def test_nothing_before_the_status_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a body that ends with it, as API servers write them."""
    monkeypatch.setattr(json, "loads", lambda _: pytest.fail("all of it was parsed"))
    body = b'{"spec":{"env":["' + b"x" * 20_000 + b'"]},"status":{"phase":"Running"}}\n'
    assert {"phase": "Running"} == state_of(body)
