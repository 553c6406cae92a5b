"""The parameters that callers rely on: their names, their order, and which have names only."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import lab_storage
from lab_storage import LabStorage, LiveLabStorage, Timeout

METHODS = """
    create(objects, timeout, *, operation_id, keep_existing)
    delete_namespace(name, timeout, *, uid)
    delete_pod(names, timeout, *, uid, grace_period)
    delete_objects(objects, timeout, *, keep)
    list_namespaces(prefix, timeout)
    list_labs(prefix, timeout, *, label_selector)
    read_lab_objects(names, timeout)
    read_pod_phase(names, timeout)
    read_pod_diagnosis(names, timeout, *, log_lines)
    read_secret(name, namespace, timeout)
    wait_for_pod_start(name, namespace, timeout, *, fail_fast)
    watch_pod_events(name, namespace, timeout)
    live(prefix, *, namespace, label_selector, max_age)
    close()
"""

OTHERS = {
    LabStorage: "LabStorage(api_client, logger, *, observer)",
    Timeout: "Timeout(operation, timeout, user)",
    Timeout.partial: "partial(timeout)",
    LiveLabStorage.changes: "changes(timeout)",
    LiveLabStorage.wait_until_synced: "wait_until_synced(timeout)",
    lab_storage.LabObjectNames: "LabObjectNames(username, namespace, env_config_map, quota, pod)",
    lab_storage.LabStateObjects: "LabStateObjects(env_config_map, quota, pod)",
    lab_storage.LabObjects: "LabObjects(env_config_map, quota, pod, namespace, config_maps, "
    "network_policy, pvcs, secrets, service, others)",
    lab_storage.LabObjects.from_manifests: "from_manifests(manifests, names, *, shared_namespace)",
    lab_storage.LabSummary: "LabSummary(namespace, uid, created, is_terminating, pods)",
    lab_storage.PodSummary: "PodSummary(name, uid, phase, is_ready, is_terminating, created)",
    lab_storage.PodDiagnosis: "PodDiagnosis(phase, is_ready, is_terminating, trouble, container, "
    "reason, message, exit_code, restarts, events, log)",
    lab_storage.PodChange: "PodChange(namespace, name, uid, phase, previous)",
    lab_storage.Freshness: "Freshness(age, is_synced, pods, last_failure)",
    lab_storage.RequestRecord: "RequestRecord(verb, kind, namespace, name, status, attempt, "
    "seconds, user)",
}


def shown(function: Callable[..., Any]) -> str:
    """A function with the names of its parameters, as in the tables above."""
    names = []
    is_keyword_only = False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword_only:
            is_keyword_only = True
            names.append("*")
        if name != "self":
            names.append(f"**{name}" if parameter.kind is parameter.VAR_KEYWORD else name)
    return f"{function.__name__}({', '.join(names)})"


@pytest.mark.parametrize("owner", [LabStorage, LiveLabStorage])
def test_methods_have_the_same_parameters(owner: type) -> None:
    """Also those of a storage that follows pods: a program changes one line to get one."""
    expected = [line.strip() for line in METHODS.strip().splitlines()]
    assert expected == [shown(getattr(owner, line.partition("(")[0])) for line in expected]


@pytest.mark.parametrize(("function", "expected"), OTHERS.items(), ids=OTHERS.values())
def test_others_have_their_parameters(function: Callable[..., Any], expected: str) -> None:
    """In this order, and those after the asterisk by name only."""
    assert expected == shown(function)
