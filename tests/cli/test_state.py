"""The state of a lab in lines, of whatever a server says."""

from __future__ import annotations

from typing import Any

import pytest

from lab_storage._cli.state import describe_state


def pod(**status: Any) -> dict[str, Any]:
    """A pod with a status and no node."""
    return {"metadata": {"namespace": "lab", "name": "pod"}, "status": status}


CONFIG_MAP = {"metadata": {"namespace": "lab", "name": "env"}, "data": {"B": "2", "A": "1"}}


@pytest.mark.parametrize(
    ("container", "line"),
    [
        ({"state": {"running": {}}, "ready": True}, "running, ready"),
        ({"state": {"running": {}}, "ready": False}, "running"),
        (
            {"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}},
            "waiting, ErrImagePull: not found",
        ),
        ({"state": {"running": None, "terminated": {"reason": "Error"}}}, "terminated, Error"),
        ({"state": {}}, "unknown"),
        ({"state": None}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_a_container_says_what_it_does(container: dict[str, Any], line: str) -> None:
    """The state that is set, its reason, and its message."""
    status = pod(phase="Pending", containerStatuses=[{"name": "notebook", **container}])

    lines = list(describe_state({"pod": status, "quota": None, "env_config_map": CONFIG_MAP}))

    assert f"  notebook: {line}" == lines[1]


def test_init_containers_come_before_the_others() -> None:
    """As they run."""
    status = pod(
        phase="Pending",
        containerStatuses=[{"name": "notebook"}],
        initContainerStatuses=[{"name": "home"}],
    )

    lines = list(describe_state({"pod": status, "quota": None, "env_config_map": CONFIG_MAP}))

    assert ["  home: unknown", "  notebook: unknown"] == lines[1:3]


def test_what_is_not_there_takes_no_line() -> None:
    """A new pod has no containers, a lab may have no quota; keys are sorted."""
    status = pod(phase="Pending", containerStatuses=None)

    lines = list(describe_state({"pod": status, "quota": None, "env_config_map": CONFIG_MAP}))

    assert ["Pod lab/pod: Pending", "ConfigMap lab/env", "  A=1", "  B=2"] == lines


def test_a_quota_that_nobody_has_counted_yet_says_so() -> None:
    """Its controller is late."""
    quota = {
        "metadata": {"namespace": "lab", "name": "quota"},
        "spec": {"hard": {"pods": "3", "limits.cpu": "9"}},
        "status": {"used": {"pods": "1"}},
    }

    lines = list(
        describe_state(
            {"pod": pod(), "quota": quota, "env_config_map": {**CONFIG_MAP, "data": None}}
        )
    )

    assert ["ResourceQuota lab/quota", "  limits.cpu: unknown of 9", "  pods: 1 of 3"] == lines[
        1:4
    ]
