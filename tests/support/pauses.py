"""The pauses between attempts, which are random, under the control of a test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_JITTER = "lab_storage._api.retry._jitter"

SetPauses = Callable[["float | Callable[[int], float]"], None]


def replace_pauses(patch: pytest.MonkeyPatch, pause: float | Callable[[int], float]) -> None:
    """Have each pause last so many seconds; a function is given the attempt's number."""
    patch.setattr(_JITTER, pause if callable(pause) else lambda _: pause)


@pytest.fixture
def set_pauses(monkeypatch: pytest.MonkeyPatch) -> SetPauses:
    """Sets how long the library pauses between attempts, in seconds or by a function."""
    return lambda pause: replace_pauses(monkeypatch, pause)
