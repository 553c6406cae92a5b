"""The table of pod behaviours says what a real kubelet wrote.

``tests/recordings/statuses`` keeps what that was, on a node of Kubernetes 1.37 with containerd.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import yaml

from lab_storage.testing._pods.courses import Course, Shown, Told
from lab_storage.testing._pods.statuses import pod_status
from tests.plane.programs import ROOT

RECORDINGS = ROOT / "tests" / "recordings" / "statuses"
#: The recording that a behaviour is compared with.
LIKE = {
    "run": "running",
    "pending": "image-being-pulled",
    "image-pull-back-off": "image-missing",
    "config-error": "config-map-missing",
    "mount-error": "volume-secret-missing",
    "crash": "crash-loop",
    "out-of-memory": "out-of-memory-loop",
    "init-crash": "init-crash-loop",
    "not-ready": "readiness-probe-fails",
    "succeed": "succeeded",
    "fail": "exit-1",
}
# Each of these is told of a pull, which depends on whether the image is there already.
PULLS = {"Pulling", "Pulled"}


def recorded(behaviour: str) -> Any:
    """What the real kubelet wrote."""
    text = (RECORDINGS / f"{LIKE[behaviour]}.yaml").read_text()
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def container(status: dict[str, Any]) -> dict[str, Any]:
    """What programs read of a container's status."""
    ended = status["lastState"].get("terminated", {})
    ((kind, state),) = status["state"].items()
    return {
        "state": kind,
        "reason": state.get("reason"),
        "exitCode": state.get("exitCode"),
        "ready": status["ready"],
        "started": status["started"],
        "has an ID": "containerID" in status,
        "last": (ended.get("reason"), ended.get("exitCode")),
        "restarted": status["restartCount"] > 0,
    }


def summary(status: dict[str, Any]) -> dict[str, Any]:
    """What programs read of a pod's status."""
    init = status.get("initContainerStatuses", [])
    return {
        "phase": status["phase"],
        "has an address": "podIP" in status,
        "conditions": {
            each["type"]: (each["status"], each.get("reason"), each.get("message"))
            for each in status["conditions"]
            if each["type"] != "PodScheduled"
        },
        # Of the init containers the table is about the first one that does not end well.
        "init": [container(each) for each in init if not each["ready"]],
        "containers": [container(each) for each in status["containerStatuses"]],
    }


def played(behaviour: str, pod: dict[str, Any]) -> tuple[list[dict[str, Any]], list[Told]]:
    """The statuses and events of the table, for the first 40 steps of such a pod."""
    if behaviour == "init-crash":
        # The first one ends well there, and the second is the one that crashes.
        pod = {**pod, "spec": {**pod["spec"], "initContainers": pod["spec"]["initContainers"][1:]}}
    course = Course(pod)
    steps = list(itertools.islice(course.start(behaviour, 0.0), 40))
    shown = [pod_status(course, each, "") for each in steps if isinstance(each, Shown)]
    return [summary(each) for each in shown], [each for each in steps if isinstance(each, Told)]


@pytest.mark.parametrize("behaviour", LIKE)
def test_status_is_one_that_a_kubelet_wrote(behaviour: str) -> None:
    """Phase, conditions with their reasons and messages, and the states of all containers."""
    real = recorded(behaviour)

    statuses, _ = played(behaviour, real["pod"])

    wanted = [summary(each["status"]) for each in (*real.get("moments", []), real["pod"])]
    assert [] == [each for each in wanted if each not in statuses]


@pytest.mark.parametrize("behaviour", LIKE)
def test_events_are_those_that_a_kubelet_wrote(behaviour: str) -> None:
    """Reason, type and container of each, in the order in which they came first."""
    real = recorded(behaviour)

    _, told = played(behaviour, real["pod"])

    wanted = [
        (each["reason"], each["type"], each["involvedObject"].get("fieldPath"))
        for each in real["events"]
        if each.get("reportingComponent") == "kubelet" and each["reason"] not in PULLS
    ]
    if behaviour == "init-crash":
        wanted = [each for each in wanted if "{first}" not in each[2]]
    found = [(each.reason, each.type, each.field_path) for each in told if each.count == 1]
    assert wanted == [each for each in found if each[0] not in PULLS]
