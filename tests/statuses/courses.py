"""The courses of pods: all statuses and events between creation and end, in their order.

For each behaviour that the stand-ins for a kubelet can play
(``lab_storage.testing._pods.behaviours``), there is a pod that fares so on a real node. What a
real kubelet wrote is in ``tests/recordings/courses``, and the stand-ins are compared with it.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.cluster import eventually, has_service_account

from .case import FOREVER, POLITE, container, spec
from .conditions import (
    Condition,
    all_of,
    has_phase,
    is_ready,
    is_running,
    told,
    waits,
)

if TYPE_CHECKING:
    from kubernetes import client

    from .witness import Story, Witness

Json = dict[str, Any]

FOLDER = Path(__file__).parent.parent / "recordings" / "courses"
POD = "lab"
SECONDS = 90.0
#: What differs between pods, or between two runs of one, in the text of an event.
VARYING = (
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID"),
    (r"course-[a-z-]+-[0-9a-f]{8}", "NAMESPACE"),
    (r"\bin [0-9.]+m?s \([0-9.]+m?s including waiting\)", "in TIME (TIME including waiting)"),
    (r"Image size: \d+ bytes", "Image size: N bytes"),
    (r"back-off [0-9.]+m?s", "back-off TIME"),
)


@dataclass(frozen=True)
class Course:
    """How a pod fares.

    Attributes
    ----------
    behaviour
        What the stand-ins call it.
    spec
        Of a pod that fares so.
    until
        When it is deleted.
    grace
        How many seconds it then has.
    """

    behaviour: str
    spec: Json
    until: Condition
    grace: int = 1


def _image(behaviour: str) -> Json:
    return {"image": f"registry.example/pulled/{behaviour}:1"}


def _two(behaviour: str, command: str, **fields: Any) -> Json:
    """A pod with an init container, and all images still to be pulled."""
    return spec(
        container(command, **_image(behaviour)),
        initContainers=[container("true", "home", **_image(f"{behaviour}-home"))],
        **fields,
    )


LOOPS = all_of(waits("CrashLoopBackOff"), told("BackOff"))
FAILS = {"exec": {"command": ["false"]}, "periodSeconds": 1}

COURSES = {
    each.behaviour: each
    for each in (
        Course("run", _two("run", FOREVER), all_of(is_ready, told("Started"))),
        Course("succeed", _two("succeed", "true", restart="Never"), has_phase("Succeeded")),
        Course("fail", _two("fail", "exit 1", restart="Never"), has_phase("Failed")),
        Course(
            "pending",
            spec(container(image="registry.example/slow/pending:1")),
            all_of(waits("ContainerCreating"), told("Pulling")),
        ),
        Course(
            "image-pull-back-off",
            spec(container(image="registry.example/lab:missing")),
            all_of(waits("ImagePullBackOff"), told("BackOff")),
        ),
        Course(
            "config-error",
            spec(
                container(
                    FOREVER,
                    **_image("config-error"),
                    envFrom=[{"configMapRef": {"name": "missing"}}],
                )
            ),
            all_of(waits("CreateContainerConfigError"), told("Failed")),
        ),
        Course(
            "mount-error",
            spec(
                container(
                    FOREVER,
                    **_image("mount-error"),
                    volumeMounts=[{"name": "missing", "mountPath": "/data"}],
                ),
                volumes=[{"name": "missing", "secret": {"secretName": "missing"}}],
            ),
            all_of(waits("ContainerCreating"), told("FailedMount")),
        ),
        Course(
            "init-crash",
            spec(
                container(FOREVER, **_image("init-crash")),
                initContainers=[container("exit 1", "home", **_image("init-crash-home"))],
            ),
            LOOPS,
        ),
        Course("crash", spec(container("sleep 1; exit 1", **_image("crash"))), LOOPS),
        Course(
            "out-of-memory",
            spec(
                container(
                    "sleep 1; tail /dev/zero",
                    **_image("out-of-memory"),
                    resources={"limits": {"memory": "16Mi"}},
                )
            ),
            LOOPS,
        ),
        Course(
            "not-ready",
            spec(container(FOREVER, **_image("not-ready"), readinessProbe=FAILS)),
            all_of(is_running, told("Unhealthy")),
        ),
    )
}
#: That of a pod which ends when it is asked to, well within its grace.
POLITE_COURSE = Course(
    "run", spec(container(POLITE, **_image("polite"))), all_of(is_ready, told("Started")), 30
)


def follow(
    course: Course, core: client.CoreV1Api, witness: Witness, annotations: dict[str, str]
) -> dict[str, list[Any]]:
    """Create a pod, have it deleted in time, and give what was said of it until it was gone."""
    namespace = f"course-{course.behaviour}-{secrets.token_hex(4)}"
    core.create_namespace({"metadata": {"name": namespace}})
    try:
        eventually(lambda: has_service_account(core, namespace))
        metadata = {"name": POD, "annotations": annotations}
        core.create_namespaced_pod(namespace, {"metadata": metadata, "spec": course.spec})

        def has_come(story: Story) -> bool:
            events = list(story.events.values())
            return any(course.until(pod, events) for pod in story.pods)

        witness.wait(namespace, POD, has_come, SECONDS)
        core.delete_namespaced_pod(POD, namespace, grace_period_seconds=course.grace)
        witness.wait(namespace, POD, lambda story: story.gone, SECONDS)
        story = witness.story(namespace, POD)
        return {"statuses": statuses(story), "events": events(story)}
    finally:
        core.delete_namespace(namespace)


def statuses(story: Story) -> list[Json]:
    """What a program reads of each status, without repetitions, and without the last answer.

    That one is the object as it was deleted: the one before, once more.
    """
    found: list[Json] = []
    for pod in story.pods[:-1]:
        said = essence(pod)
        if not found or found[-1] != said:
            found.append(said)
    return found


def events(story: Story) -> list[str]:
    """The kubelet's events, in the order in which they were first written, each in a line."""
    found = []
    for each in story.events.values():
        if each["reportingComponent"] != "kubelet":
            continue
        text = each["message"]
        for pattern, word in VARYING:
            text = re.sub(pattern, word, text)
        place = each["involvedObject"].get("fieldPath", "")
        found.append(f"{each['type']} {each['reason']} {place} {text}".replace("  ", " ").strip())
    return found


def essence(pod: Json) -> Json:
    """What a program reads of a pod's status."""
    status = pod["status"]
    words: Json = {"phase": status["phase"]}
    if "deletionTimestamp" in pod["metadata"]:
        words["deleted"] = True
    if "podIP" in status:
        words["address"] = True
    words["conditions"] = {
        each["type"]: " ".join([each["status"], *([each["reason"]] if "reason" in each else [])])
        for each in status.get("conditions", ())
    }
    for kind in ("initContainerStatuses", "containerStatuses"):
        for each in status.get(kind, ()):
            words[each["name"]] = _container(each)
    return words


def _container(status: Json) -> str:
    words = [_state(status["state"])]
    if status["lastState"]:
        words.append(f"after {_state(status['lastState'])}")
    words += [word for word in ("ready", "started") if status.get(word)]
    if status["restartCount"]:
        words.append(f"restarts {status['restartCount']}")
    if "containerID" not in status:
        words.append("without a container")
    return ", ".join(words)


def _state(state: Json) -> str:
    ((kind, fields),) = state.items()
    code = [str(fields["exitCode"])] if "exitCode" in fields else []
    return " ".join([kind, *([fields["reason"]] if "reason" in fields else []), *code])
