"""The labs that tests make: the example of the documentation, under other names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import yaml

from lab_storage import LabObjectNames, LabObjects, Timeout
from tests.plane.programs import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "lab.yaml"
_MANIFESTS = list(yaml.safe_load_all(EXAMPLE.read_text()))


def names_of(user: str = "jovyan") -> LabObjectNames:
    """The names of a user's lab."""
    return LabObjectNames(user, f"lab-{user}", "lab-env", "lab-quota", "lab")


def manifests_of(
    user: str = "jovyan", annotations: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """The manifests of the example, for that user; annotations are the pod's."""
    text = yaml.safe_dump_all(_MANIFESTS).replace("lab-jovyan", f"lab-{user}")
    manifests = list(yaml.safe_load_all(text))
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            manifest["metadata"]["annotations"].update(annotations or {})
    return manifests


def lab_of(user: str = "jovyan", annotations: dict[str, str] | None = None) -> LabObjects:
    """The example as a lab of that user."""
    return LabObjects.from_manifests(manifests_of(user, annotations), names_of(user))


def brief_lab_of(user: str = "jovyan", annotations: dict[str, str] | None = None) -> LabObjects:
    """The example, for a test that waits for its end: its pod has a second to go, not five."""
    lab = lab_of(user, annotations)
    lab.pod.spec.termination_grace_period_seconds = 1
    return lab


def shared_lab_of(user: str = "jovyan", annotations: dict[str, str] | None = None) -> LabObjects:
    """The example in a namespace that is not the lab's, and exists already."""
    manifests = [each for each in manifests_of(user, annotations) if each["kind"] != "Namespace"]
    return LabObjects.from_manifests(manifests, names_of(user), shared_namespace=True)


def timeout_of(seconds: float, user: str = "jovyan", operation: str = "Testing") -> Timeout:
    """A timeout of so many seconds."""
    return Timeout(operation, timedelta(seconds=seconds), user)


def without_scheduler(messages: list[str]) -> list[str]:
    """Leave kube-scheduler's one event out of those of a pod.

    It is written beside the binding. A quick kubelet's first may be there before.
    """
    others = [each for each in messages if not each.startswith("Successfully assigned")]
    assert 1 == len(messages) - len(others)
    return others
