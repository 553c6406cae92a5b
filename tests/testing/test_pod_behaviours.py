"""The table of pod behaviours, which both kubelets that stand in for a real one follow."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from lab_storage.testing import EmbeddedServer
from lab_storage.testing._pods.behaviours import BEHAVIOURS, Event, Status, Waiting
from lab_storage.testing._pods.courses import (
    LONGEST_BACK_OFF_SECONDS,
    Course,
    Paused,
    Shown,
    Told,
)
from lab_storage.testing._pods.statuses import pod_status
from tests.plane import kubelet_requests
from tests.plane.programs import ROOT

from .plain import Plain, in_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

POD: dict[str, Any] = {
    "metadata": {"name": "lab", "namespace": "ns", "uid": "u", "annotations": {}},
    "spec": {
        "initContainers": [{"name": "init", "image": "init:1"}],
        "containers": [{"name": "notebook", "image": "lab:1"}, {"name": "proxy", "image": "p:1"}],
    },
    "status": {"phase": "Pending"},
}
FIELD = "spec.containers{notebook}"


def steps_of(behaviour: str, limit: int = 60) -> list[Told | Shown | Paused]:
    """The first steps of a pod."""
    return list(itertools.islice(Course(POD).start(behaviour, 1.5), limit))


def statuses_of(behaviour: str) -> Iterator[dict[str, Any]]:
    """The statuses that are written about a pod, in their order."""
    course = Course(POD)
    for step in itertools.islice(course.start(behaviour, 0.0), 60):
        if isinstance(step, Shown):
            yield pod_status(course, step, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_both_kubelets_write_the_same_events(behaviour: str) -> None:
    """One table: the events of a pod are the same, with the same counts, in the same order."""
    pod = {**POD, "metadata": {**POD["metadata"], "annotations": {}}}
    pod["metadata"]["annotations"]["lab-storage.test/start"] = behaviour
    told = [step for step in steps_of(behaviour) if isinstance(step, Told)]

    requests = kubelet_requests.start(pod)
    written = [
        step.body
        for step in itertools.islice(requests, 60)
        if isinstance(step, kubelet_requests.Request) and "/events" in step.path
    ]

    expected = [(each.reason, each.message) for each in told if each.count == 1]
    assert expected == [(e["reason"], e["message"]) for e in written if "reason" in e]
    common = min(len(told), len(written))
    assert [each.count for each in told[:common]] == [each["count"] for each in written[:common]]


def test_pod_is_running_after_its_containers_have_started() -> None:
    """A kubelet writes the event of a start first, and the status with its next look."""
    steps = steps_of("run")

    last = max(i for i, step in enumerate(steps) if isinstance(step, Told))
    assert "Started" == getattr(steps[last], "reason", None)
    pause, shown = steps[last + 1 :]
    assert isinstance(pause, Paused)
    assert isinstance(shown, Shown)
    assert "Running" == shown.status.phase


def test_first_image_alone_is_pulled_for_as_long_as_the_script_says() -> None:
    """The delay is one pause, after the first event of a pull."""
    steps = steps_of("run")

    (pulled,) = [i for i, step in enumerate(steps) if step == Paused(1.5)]
    before = steps[pulled - 1]
    assert isinstance(before, Told)
    assert ("Pulling", "spec.initContainers{init}") == (before.reason, before.field_path)


@pytest.mark.parametrize(
    ("behaviour", "phases", "state"),
    [
        ("run", ["Pending", "Pending", "Running"], "running"),
        ("succeed", ["Pending", "Pending", "Succeeded"], "terminated"),
        ("fail", ["Pending", "Pending", "Failed"], "terminated"),
        ("pending", ["Pending"], "PodInitializing"),
        ("config-error", ["Pending", "Pending", "Pending"], "CreateContainerConfigError"),
        ("image-pull-back-off", ["Pending", "Pending", "Pending"], "ErrImagePull"),
    ],
)
def test_statuses_show_what_becomes_of_a_pod(
    behaviour: str, phases: list[str], state: str
) -> None:
    """Phases in their order, and the state of the first container at their end."""
    found = list(itertools.islice(statuses_of(behaviour), len(phases)))

    assert phases == [each["phase"] for each in found]
    last = found[-1]["containerStatuses"][0]["state"]
    assert state == last.get("waiting", {}).get("reason", next(iter(last)))


@pytest.mark.parametrize(("behaviour", "code"), [("crash", 1), ("out-of-memory", 137)])
def test_crash_loop_counts_restarts_and_shows_the_last_end(behaviour: str, code: int) -> None:
    """As a real kubelet of 1.37: the pod stays Running, and lastState has the reason."""
    found = [
        each["containerStatuses"][0]
        for each in statuses_of(behaviour)
        if "CrashLoopBackOff" in str(each)
    ]

    assert [1, 2, 3] == [each["restartCount"] for each in found[:3]]
    assert [code] * 3 == [each["lastState"]["terminated"]["exitCode"] for each in found[:3]]
    assert {False} == {each["ready"] for each in found}


def test_pauses_of_a_back_off_grow_up_to_their_bound() -> None:
    """They double, as those of a kubelet do; the message names the one that follows."""
    pauses = [step.seconds for step in steps_of("image-pull-back-off") if isinstance(step, Paused)]

    assert [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_BACK_OFF_SECONDS] == pauses[1:8]


def test_conditions_say_why_a_pod_is_not_ready() -> None:
    """The reasons and messages that a real kubelet of 1.37 wrote."""
    waiting, running = next(statuses_of("image-pull-back-off")), list(statuses_of("not-ready"))[-1]

    said = {each["type"]: each for each in waiting["conditions"]}
    assert ("False", "PodSandboxNotReady") == (
        said["PodReadyToStartContainers"]["status"],
        said["PodReadyToStartContainers"]["reason"],
    )
    assert "containers with incomplete status: [init]" == said["Initialized"]["message"]
    said = {each["type"]: each for each in running["conditions"]}
    assert ("True", "True") == (
        said["PodReadyToStartContainers"]["status"],
        said["Initialized"]["status"],
    )
    assert "containers with unready status: [notebook]" == said["Ready"]["message"]


def test_missing_volume_is_told_by_events_about_the_pod_alone() -> None:
    """The event is about no container, and the status says ContainerCreating or the like."""
    told = [step for step in steps_of("mount-error") if isinstance(step, Told)]

    assert {("FailedMount", "Warning", None)} == {
        (each.reason, each.type, each.field_path) for each in told
    }
    assert [1, 2, 3] == [each.count for each in told[:3]]


def test_table_is_the_one_of_the_documentation() -> None:
    """The guide lists each behaviour with its summary."""
    guide = (ROOT / "docs" / "guides" / "testing.md").read_text()

    rows = [f"| `{name}` | {each.summary} |" for name, each in BEHAVIOURS.items()]
    assert [] == [row for row in rows if row not in guide]


def test_texts_have_no_place_that_is_not_filled() -> None:
    """Neither events nor statuses show a brace of the table."""
    texts = [
        step.message if isinstance(step, Told) else str(step)
        for behaviour in BEHAVIOURS
        for step in steps_of(behaviour)
    ]

    assert [] == [text for text in texts if "{image" in text or "{c" in text or "{pod" in text]


@pytest.mark.parametrize("behaviour", sorted(set(BEHAVIOURS) - {"run", "pending"}))
def test_embedded_server_plays_each_behaviour(behaviour: str) -> None:
    """What its table says last is what its API comes to show."""
    found = BEHAVIOURS[behaviour]
    steps = [*found.steps, *found.again]
    event = [step for step in steps if isinstance(step, Event) and step.warning]
    status = [step for step in steps if isinstance(step, Status)][-1]
    with EmbeddedServer() as server:
        plain = Plain(server)
        plain.make_namespace()
        server.script_pods(start=behaviour)
        init = [{"name": "init", "image": "init:1"}]
        plain.make_pod(initContainers=init)

        plain.wait_for(in_lab("pods"), "x", lambda pod: _shows(pod, status))
        reasons = {each["reason"] for each in plain.ask("GET", in_lab("events"))[1]["items"]}

    assert {each.reason for each in event} <= {*reasons, "FailedMount", "Unhealthy", "BackOff"}


def _shows(pod: dict[str, Any], status: Status) -> bool:
    state = status.first if status.init is None else status.init
    reason = state.reason if isinstance(state, Waiting) else ""
    return bool(status.phase == pod["status"]["phase"] and reason in str(pod["status"]))
