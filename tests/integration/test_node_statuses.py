"""What is recorded of real nodes is true, and the stand-in for a kubelet is held to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.statuses.cases import CASES
from tests.statuses.courses import COURSES, differences, essence, follow_all, kinds, recorded
from tests.statuses.record import FOLDER, record

if TYPE_CHECKING:
    from tests.plane.control_plane import ControlPlane

#: Some of each kind, none of which takes long.
PLAYED = (
    "command-missing",
    "config-map-missing",
    "deadline",
    "evicted-by-api",
    "exit-1",
    "image-name-impossible",
    "image-never-pulled",
    "image-private",
    "init-exit-1",
    "out-of-memory",
    "readiness-probe-fails",
    "refused-out-of-cpu",
    "restarted-and-ready",
    "root-refused",
    "sandbox-runtime-missing",
    "unschedulable-resources",
    "volume-host-path-wrong-type",
    "volume-secret-missing",
)
#: Those that end without a back-off or a slow pull.
FOLLOWED = ("run", "succeed", "fail", "mount-error", "not-ready")


@pytest.fixture(scope="module")
def found(real_node: ControlPlane) -> dict[str, Any]:
    """What becomes of these pods now."""
    played = record(real_node, [CASES[name] for name in PLAYED])
    return {case.name: said for case, said in played}


@pytest.mark.parametrize("name", PLAYED)
def test_recorded_status_is_true(found: dict[str, Any], name: str) -> None:
    """Phase, conditions, containers and the kinds of events are those of the recording."""
    now = found[name]
    before = yaml.load((FOLDER / f"{name}.yaml").read_text(), yaml.CSafeLoader)

    assert isinstance(now, dict), now
    assert essence(before["pod"]) == essence(now["pod"])
    assert told(before) == told(now)


def told(recording: dict[str, Any]) -> set[tuple[str, str]]:
    """Type and reason of the events."""
    return {(each["type"], each["reason"]) for each in recording["events"]}


@pytest.fixture(scope="module")
def followed(real_node: ControlPlane) -> dict[str, Any]:
    """The courses of these pods now."""
    with real_node.api_client() as admin:
        return follow_all(admin, [COURSES[name] for name in FOLLOWED])


@pytest.mark.parametrize("behaviour", FOLLOWED)
def test_recorded_course_is_true(followed: dict[str, Any], behaviour: str) -> None:
    """It ends in the same way, after events of the same kinds."""
    now, before = followed[behaviour], recorded(behaviour)

    assert before["statuses"][-1] == now["statuses"][-1]
    assert kinds(before) == kinds(now)


@pytest.fixture(scope="module")
def played_by_stand_in(control_plane: ControlPlane) -> dict[str, Any]:
    """What the stand-in says of each behaviour, on a real control plane."""
    assert control_plane.stand_in_kubelet
    with control_plane.api_client() as admin:
        return follow_all(admin, COURSES.values())


@pytest.mark.parametrize("behaviour", COURSES)
def test_stand_in_plays_the_course_of_a_real_kubelet(
    played_by_stand_in: dict[str, Any], behaviour: str
) -> None:
    """Each status and event is one that a real kubelet wrote, in its order, up to the end."""
    assert [] == differences(played_by_stand_in[behaviour], behaviour)
