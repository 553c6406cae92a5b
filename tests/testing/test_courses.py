"""The embedded server's kubelet writes of a pod what a real one wrote, from creation to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lab_storage.testing import EmbeddedServer
from lab_storage.testing._pods.behaviours import BEHAVIOURS
from tests.statuses.courses import COURSES, differences, follow_all

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def said() -> Iterator[dict[str, Any]]:
    """What it says of each behaviour."""
    with EmbeddedServer() as server, server.api_client() as admin:
        yield follow_all(admin, COURSES.values())


def test_all_behaviours_are_compared() -> None:
    """Each that a stand-in knows has a course on a real node."""
    assert set(BEHAVIOURS) == set(COURSES)


@pytest.mark.parametrize("behaviour", COURSES)
def test_course_is_that_of_a_real_kubelet(said: dict[str, Any], behaviour: str) -> None:
    """Each status and event is one that a real kubelet wrote, in its order, up to the end."""
    assert [] == differences(said[behaviour], behaviour)
