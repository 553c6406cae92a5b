"""The diagnosis of every pod that was recorded on a real node, and of variants of them."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from lab_storage import PodDiagnosis, PodTrouble
from lab_storage.diagnosis import diagnose
from tests.support.statuses import EXAMPLES, EXPECTED, PAGE, recorded, with_table

NAMES = sorted(EXPECTED)
each = pytest.mark.parametrize("name", NAMES)


def told(diagnosis: PodDiagnosis) -> tuple[Any, ...]:
    """What is expected of one."""
    return diagnosis.trouble, diagnosis.container, diagnosis.reason, diagnosis.exit_code


def test_each_recorded_status_is_expected_to_be_something() -> None:
    """A new recording needs a line in the table."""
    assert NAMES == sorted(recorded())


def test_each_trouble_was_recorded() -> None:
    """The table shows all of them, and pods with which nothing is wrong."""
    assert {*PodTrouble, None} == {trouble for trouble, *_ in EXPECTED.values()}


@each
def test_a_real_status_is_understood(name: str) -> None:
    """The trouble, its container, the reason and the exit code are right, in one line."""
    case = recorded()[name]

    diagnosis = diagnose(case.pod, case.events)

    assert EXPECTED[name] == told(diagnosis)
    assert str(diagnosis).isprintable()


def test_the_table_in_the_documentation_is_made_of_the_recordings() -> None:
    """To make it anew: ``python -m tests.support.statuses``."""
    page = PAGE.read_text(encoding="utf-8")

    assert with_table(page) == page
    assert {*PodTrouble} == {*EXAMPLES}
    assert list(EXAMPLES) == [EXPECTED[name][0] for name in EXAMPLES.values()]


def nothing_is_wrong() -> list[str]:
    """The pods with which nothing is wrong."""
    return [name for name in NAMES if recorded()[name].description.startswith("Nothing is wrong")]


def test_where_nothing_is_wrong_nothing_is_said() -> None:
    """By what was done to the pods, not by the table."""
    found = [name for name in nothing_is_wrong() if EXPECTED[name] != (None,) * 4]

    assert [] == found
    assert 10 < len(nothing_is_wrong())


@each
def test_the_order_of_events_does_not_matter(name: str) -> None:
    """They are sorted by when they were last seen."""
    case = recorded()[name]
    shuffled = copy.copy(case.events)
    random.Random(name).shuffle(shuffled)

    assert diagnose(case.pod, case.events) == diagnose(case.pod, shuffled)


@each
def test_events_of_an_earlier_pod_change_nothing(name: str) -> None:
    """All events of all other pods, under this pod's name and their own UIDs."""
    case = recorded()[name]
    foreign = []
    for other in recorded().values():
        for event in other.events:
            if other.name != name:
                strange = copy.deepcopy(event)
                strange["involvedObject"].update(
                    name=case.pod["metadata"]["name"],
                    namespace=case.pod["metadata"]["namespace"],
                    uid=f"of {other.name}",
                )
                foreign.append(strange)

    assert diagnose(case.pod, case.events) == diagnose(case.pod, foreign + case.events)


@each
def test_nulls_in_place_of_what_is_empty_change_nothing(name: str) -> None:
    """Real servers send both."""
    case = recorded()[name]

    def nulled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: nulled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [nulled(item) for item in value] or None
        return None if value in ("", {}) else value

    assert diagnose(case.pod, case.events) == diagnose(nulled(case.pod), nulled(case.events))


@each
def test_without_statuses_nothing_wrong_is_said(name: str) -> None:
    """Null lists of conditions and statuses give a diagnosis, and no trouble of a healthy pod."""
    case = recorded()[name]
    pod = copy.deepcopy(case.pod)
    pod["status"].update(conditions=None, containerStatuses=None, initContainerStatuses=None)

    trouble = diagnose(pod, case.events).trouble

    if EXPECTED[name][0] is None:
        assert trouble is None or pod["status"]["phase"] == "Failed"


@pytest.mark.parametrize("name", ["crash-loop", "exit-1", "liveness-probe-fails", "exit-137"])
def test_a_disruption_counts_before_the_exit_code_and_memory_before_it(name: str) -> None:
    """Of a pod that is drained, 137 is what the drain did, unless it was short of memory."""
    case = recorded()[name]
    pod = copy.deepcopy(case.pod)
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    pod["status"]["conditions"].append(
        {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    )

    assert PodTrouble.DISRUPTION == diagnose(pod, case.events).trouble
    [container] = pod["status"]["containerStatuses"]
    for state in (container["state"], container["lastState"]):
        if "terminated" in state:
            state["terminated"]["reason"] = "OOMKilled"
    assert PodTrouble.OUT_OF_MEMORY == diagnose(pod, case.events).trouble


@pytest.mark.parametrize("name", ["exit-1", "crash-loop", "killed-by-somebody", "init-exit-1"])
def test_a_lost_container_is_the_nodes(name: str) -> None:
    """ContainerStatusUnknown says that the node does not know what became of it."""
    case = recorded()[name]
    pod = copy.deepcopy(case.pod)
    for field in ("initContainerStatuses", "containerStatuses"):
        for container in pod["status"].get(field, []):
            for state in (container["state"], container["lastState"]):
                if "terminated" in state and state["terminated"]["exitCode"]:
                    state["terminated"].update(reason="ContainerStatusUnknown", exitCode=137)

    diagnosis = diagnose(pod, case.events)

    assert (PodTrouble.NODE, "ContainerStatusUnknown") == (diagnosis.trouble, diagnosis.reason)


@pytest.mark.parametrize("name", ["out-of-memory", "out-of-memory-loop"])
def test_out_of_memory_with_exit_code_0_is_out_of_memory(name: str) -> None:
    """A runtime says OOMKilled whichever process of the container was killed."""
    case = recorded()[name]
    pod = copy.deepcopy(case.pod)
    [container] = pod["status"]["containerStatuses"]
    for state in (container["state"], container["lastState"]):
        if "terminated" in state:
            state["terminated"]["exitCode"] = 0

    diagnosis = diagnose(pod, case.events)

    assert (PodTrouble.OUT_OF_MEMORY, 0) == (diagnosis.trouble, diagnosis.exit_code)
