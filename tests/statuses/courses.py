"""The courses of pods: all statuses and events between creation and end, in their order.

For each behaviour that the stand-ins for a kubelet can play
(``lab_storage.testing._pods.behaviours``), there is a pod that fares so on a real node. What a
real kubelet wrote is in ``tests/recordings/courses``, and the stand-ins are compared with it.
"""

from __future__ import annotations

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from kubernetes import client

from lab_storage.testing._pods.courses import START_ANNOTATION
from tests.support.cluster import eventually, has_service_account

from .case import FOREVER, container, spec
from .conditions import (
    Condition,
    all_of,
    has_phase,
    is_ready,
    is_running,
    told,
    waits,
)
from .witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .witness import Story

Json = dict[str, Any]

FOLDER = Path(__file__).parent.parent / "recordings" / "courses"
POD = "lab"
SECONDS = 90.0
AT_ONCE = 12
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
#: A server that is overloaded.
REFUSES = r"""while :; do printf 'HTTP/1.1 503 Busy\r\n\r\n' | nc -l -p 8888; done"""
PROBE = {"httpGet": {"port": 8888}, "initialDelaySeconds": 1, "periodSeconds": 1}

COURSES = {
    each.behaviour: each
    for each in (
        Course("run", _two("run", FOREVER), all_of(is_ready, told("Started"))),
        Course("succeed", _two("succeed", "true", restart="Never"), has_phase("Succeeded")),
        Course("fail", _two("fail", "exit 1", restart="Never"), has_phase("Failed")),
        Course(
            "pending",
            spec(
                container(FOREVER, **_image("pending")),
                initContainers=[container(image="registry.example/slow/pending:1", name="home")],
            ),
            all_of(waits("PodInitializing"), told("Pulling")),
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
            spec(container(REFUSES, **_image("not-ready"), readinessProbe=PROBE)),
            all_of(is_running, told("Unhealthy")),
        ),
    )
}


def write(behaviour: str, said: dict[str, list[Any]]) -> None:
    """Write the file of a course."""
    FOLDER.mkdir(exist_ok=True)
    text = yaml.safe_dump(said, sort_keys=False, width=200, allow_unicode=True)
    (FOLDER / f"{behaviour}.yaml").write_text(text)


def recorded(behaviour: str) -> dict[str, list[Any]]:
    """What a real kubelet wrote."""
    found: dict[str, list[Any]] = yaml.safe_load((FOLDER / f"{behaviour}.yaml").read_text())
    return found


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
    """What a program reads of each status, in the order in which they came first.

    Without the last version: it is the one before, once more, as what was deleted.
    """
    found: list[Json] = []
    for pod in story.pods[:-1]:
        said = essence(pod)
        if said not in found:
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
        line = " ".join([each["type"], each["reason"], *([place] if place else []), text])
        if line not in found:
            found.append(line)
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
        words.append("restarted")
    if "containerID" not in status:
        words.append("without a container")
    return ", ".join(words)


def _state(state: Json) -> str:
    ((kind, fields),) = state.items()
    code = [str(fields["exitCode"])] if "exitCode" in fields else []
    return " ".join([kind, *([fields["reason"]] if "reason" in fields else []), *code])


def differences(said: dict[str, list[Any]], behaviour: str) -> list[str]:
    """What a stand-in said that a real kubelet did not, or in another order; and what it left out.

    It may leave out what passes within moments: statuses in between, and that an image is still
    there when a container is tried again. Whether a container that crashes again and again runs
    when it is deleted, and is stopped then, is chance.
    """
    real = recorded(behaviour)
    if behaviour == "pending":
        # That pull has no end, and a real kubelet waits for it: what comes after the
        # deletion cannot be the same.
        said, real = _while_it_stays(said), _while_it_stays(real)
    found = [f"not so: {each}" for each in _not_in_order(said["statuses"], real["statuses"])]
    found += [f"not so: {each}" for each in _not_in_order(said["events"], real["events"])]
    if said["statuses"][-1] != real["statuses"][-1] and behaviour != "pending":
        found.append(f"not the end: {said['statuses'][-1]}")
    return found + [f"left out: {each}" for each in sorted(kinds(real) - kinds(said))]


def kinds(said: dict[str, list[Any]]) -> set[str]:
    """Type, reason and subject of the events that are not a matter of chance."""
    words = {" ".join(each.split()[:3]) for each in said["events"]}
    return {each for each in words if " Killing " not in each}


def _not_in_order(some: list[Any], all_of_them: list[Any]) -> list[Any]:
    found, position = [], 0
    for each in some:
        if each in all_of_them[position:]:
            position = all_of_them.index(each, position) + 1
        else:
            found.append(each)
    return found


def _while_it_stays(said: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        "statuses": [each for each in said["statuses"] if "deleted" not in each],
        "events": said["events"][:1],
    }


def follow_all(
    api_client: client.ApiClient, courses: Iterable[Course]
) -> dict[str, dict[str, list[Any]]]:
    """Have stand-ins play courses, side by side, and give what they said."""
    courses = list(courses)
    core, witness = client.CoreV1Api(api_client), Witness(api_client)

    def play(course: Course) -> dict[str, list[Any]]:
        return follow(course, core, witness, {START_ANNOTATION: course.behaviour})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        said = pool.map(play, courses)
        return {each.behaviour: found for each, found in zip(courses, said, strict=True)}
