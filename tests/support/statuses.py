"""What the real kubelet wrote, recorded, and what a person would say is wrong."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import yaml

from lab_storage import PodTrouble
from lab_storage.diagnosis import diagnose
from tests.plane.programs import ROOT

FOLDER = ROOT / "tests" / "recordings" / "statuses"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Json = dict[str, Any]


@attrs.frozen
class Recorded:
    """A pod and its events, as they were when it was in trouble; see `tests.statuses`."""

    name: str
    description: str
    pod: Json
    events: list[Json]


@functools.cache
def recorded() -> dict[str, Recorded]:
    """Read all that was recorded, by name."""
    found = {}
    for file in sorted(FOLDER.glob("*.yaml")):
        content = yaml.load(file.read_text(encoding="utf-8"), _LOADER)
        said = content["description"], content["pod"], content["events"]
        found[file.stem] = Recorded(file.stem, *said)
    return found


# Trouble, container, reason and exit code; by what was done to the pod, and not by what our code
# makes of it.
EXPECTED: dict[str, tuple[PodTrouble | None, str | None, str | None, int | None]] = {
    "command-missing-loop": (PodTrouble.START, "notebook", "StartError", 128),
    "command-missing": (PodTrouble.START, "notebook", "StartError", 128),
    "command-not-executable": (PodTrouble.START, "notebook", "StartError", 128),
    "completed-loop": (PodTrouble.CRASH, "notebook", "Completed", 0),
    "config-map-key-missing": (
        PodTrouble.CONFIGURATION,
        "notebook",
        "CreateContainerConfigError",
        None,
    ),
    "config-map-missing": (
        PodTrouble.CONFIGURATION,
        "notebook",
        "CreateContainerConfigError",
        None,
    ),
    "container-status-unknown": (PodTrouble.NODE, "notebook", "ContainerStatusUnknown", 137),
    "crash-loop": (PodTrouble.CRASH, "notebook", "Error", 1),
    "deadline": (PodTrouble.DEADLINE, None, "DeadlineExceeded", None),
    "ended-when-told": (None, None, None, None),
    "evicted-by-api-ended": (PodTrouble.DISRUPTION, None, "EvictionByEvictionAPI", None),
    "evicted-by-api": (PodTrouble.DISRUPTION, None, "EvictionByEvictionAPI", None),
    "evicted-disk-pressure": (PodTrouble.DISRUPTION, None, "Evicted", None),
    "evicted-empty-dir": (PodTrouble.DISRUPTION, None, "Evicted", None),
    "evicted-memory-pressure": (PodTrouble.DISRUPTION, None, "Evicted", None),
    "evicted-own-disk": (PodTrouble.DISRUPTION, None, "Evicted", None),
    "exit-1": (PodTrouble.CRASH, "notebook", "Error", 1),
    "exit-137": (PodTrouble.CRASH, "notebook", "Error", 137),
    "exit-143": (PodTrouble.CRASH, "notebook", "Error", 143),
    "exit-2": (PodTrouble.CRASH, "notebook", "Error", 2),
    "image-being-pulled": (None, None, None, None),
    "image-missing": (PodTrouble.IMAGE, "notebook", "ImagePullBackOff", None),
    "image-name-impossible": (PodTrouble.IMAGE, "notebook", "InvalidImageName", None),
    "image-never-pulled": (PodTrouble.IMAGE, "notebook", "ErrImageNeverPull", None),
    "image-private": (PodTrouble.IMAGE, "notebook", "ImagePullBackOff", None),
    "image-registry-unreachable": (PodTrouble.IMAGE, "notebook", "ImagePullBackOff", None),
    "init-command-missing": (PodTrouble.START, "home", "StartError", 128),
    "init-crash-loop": (PodTrouble.CRASH, "home", "Error", 1),
    "init-exit-1": (PodTrouble.CRASH, "home", "Error", 1),
    "init-image-missing": (PodTrouble.IMAGE, "home", "ImagePullBackOff", None),
    "init-out-of-memory": (PodTrouble.OUT_OF_MEMORY, "home", "OOMKilled", 137),
    "init-running": (None, None, None, None),
    "killed-after-its-grace": (None, None, None, None),
    "killed-after-many-probes": (PodTrouble.CRASH, "notebook", "Error", 137),
    "killed-by-somebody": (PodTrouble.CRASH, "notebook", "Error", 137),
    "liveness-probe-failed-once": (None, None, None, None),
    "liveness-probe-fails": (PodTrouble.PROBE, "notebook", "Unhealthy", 137),
    "liveness-probe-refused": (PodTrouble.PROBE, "notebook", "Unhealthy", 137),
    "mount-path-impossible": (PodTrouble.START, "notebook", "RunContainerError", 128),
    "node-lost": (PodTrouble.NODE, None, "NodeNotReady", None),
    "node-restarted": (PodTrouble.NODE, "notebook", "Unknown", 255),
    "node-silent": (PodTrouble.NODE, None, "NodeNotReady", None),
    "one-of-two-crashes": (PodTrouble.CRASH, "helper", "Error", 3),
    "out-of-memory-loop": (PodTrouble.OUT_OF_MEMORY, "notebook", "OOMKilled", 137),
    "out-of-memory-once": (None, None, None, None),
    "out-of-memory": (PodTrouble.OUT_OF_MEMORY, "notebook", "OOMKilled", 137),
    "post-start-hook-fails": (PodTrouble.START, "notebook", "FailedPostStartHook", 137),
    "pre-stop-hook-fails": (None, None, None, None),
    "preempted": (PodTrouble.DISRUPTION, None, "PreemptionByScheduler", None),
    "readiness-probe-fails": (PodTrouble.PROBE, "notebook", "Unhealthy", None),
    "readiness-probe-is-early": (None, None, None, None),
    "readiness-probe-refused": (PodTrouble.PROBE, "notebook", "Unhealthy", None),
    "readiness-probe-times-out": (PodTrouble.PROBE, "notebook", "Unhealthy", None),
    "refused-apparmor": (PodTrouble.NODE, None, "AppArmor", None),
    "refused-node-affinity": (PodTrouble.NODE, None, "NodeAffinity", None),
    "refused-out-of-cpu": (PodTrouble.NODE, None, "OutOfcpu", None),
    "refused-sysctl": (PodTrouble.NODE, None, "SysctlForbidden", None),
    "rejected-memory-pressure": (PodTrouble.DISRUPTION, None, "Evicted", None),
    "restarted-for-more-memory": (None, None, None, None),
    "restarted-and-ready": (None, None, None, None),
    "root-refused": (PodTrouble.CONFIGURATION, "notebook", "CreateContainerConfigError", None),
    "running": (None, None, None, None),
    "sandbox-network-missing": (PodTrouble.SANDBOX, None, "FailedCreatePodSandBox", None),
    "sandbox-runtime-missing": (PodTrouble.SANDBOX, None, "FailedCreatePodSandBox", None),
    "scheduling-gated": (PodTrouble.GATED, None, "SchedulingGated", None),
    "secret-key-missing": (
        PodTrouble.CONFIGURATION,
        "notebook",
        "CreateContainerConfigError",
        None,
    ),
    "secret-missing": (PodTrouble.CONFIGURATION, "notebook", "CreateContainerConfigError", None),
    "sidecar-crash-loop": (PodTrouble.CRASH, "proxy", "Error", 1),
    "sidecar-never-started": (PodTrouble.PROBE, "proxy", "Unhealthy", None),
    "slow-end": (None, None, None, None),
    "startup-probe-fails": (PodTrouble.PROBE, "notebook", "Unhealthy", 137),
    "startup-probe-has-failed-once": (PodTrouble.PROBE, "notebook", "Unhealthy", None),
    "sub-path-impossible": (
        PodTrouble.CONFIGURATION,
        "notebook",
        "CreateContainerConfigError",
        None,
    ),
    "succeeded": (None, None, None, None),
    "unschedulable-claim-missing": (PodTrouble.UNSCHEDULABLE, None, "Unschedulable", None),
    "unschedulable-claim-unbound": (PodTrouble.UNSCHEDULABLE, None, "Unschedulable", None),
    "unschedulable-resources": (PodTrouble.UNSCHEDULABLE, None, "Unschedulable", None),
    "unschedulable-selector": (PodTrouble.UNSCHEDULABLE, None, "Unschedulable", None),
    "unschedulable-taint": (PodTrouble.UNSCHEDULABLE, None, "Unschedulable", None),
    "volume-config-map-missing": (PodTrouble.VOLUME, None, "FailedMount", None),
    "volume-host-path-missing": (PodTrouble.VOLUME, None, "FailedMount", None),
    "volume-host-path-wrong-type": (PodTrouble.VOLUME, None, "FailedMount", None),
    "volume-local-missing": (PodTrouble.VOLUME, None, "FailedMount", None),
    "volume-mounted-late": (None, None, None, None),
    "volume-nfs-unmountable": (PodTrouble.VOLUME, None, "FailedMount", None),
    "volume-secret-key-missing": (PodTrouble.VOLUME, None, "FailedMount", None),
    "volume-secret-missing": (PodTrouble.VOLUME, None, "FailedMount", None),
    "working-directory-is-a-file": (PodTrouble.START, "notebook", "RunContainerError", 128),
}

# Which recording shows a trouble in the documentation.
EXAMPLES = {
    PodTrouble.UNSCHEDULABLE: "unschedulable-resources",
    PodTrouble.GATED: "scheduling-gated",
    PodTrouble.VOLUME: "volume-secret-missing",
    PodTrouble.SANDBOX: "sandbox-runtime-missing",
    PodTrouble.IMAGE: "image-never-pulled",
    PodTrouble.CONFIGURATION: "config-map-missing",
    PodTrouble.START: "command-missing",
    PodTrouble.CRASH: "crash-loop",
    PodTrouble.OUT_OF_MEMORY: "out-of-memory-loop",
    PodTrouble.PROBE: "liveness-probe-fails",
    PodTrouble.DEADLINE: "deadline",
    PodTrouble.DISRUPTION: "evicted-memory-pressure",
    PodTrouble.NODE: "refused-out-of-cpu",
}
PAGE = ROOT / "docs" / "questions.md"
BEGIN = "<!-- troubles: made by python -m tests.support.statuses -->"
END = "<!-- end of troubles -->"
_LONGEST_EXAMPLE = 150


def with_table(page: str) -> str:
    """The page with a table of all troubles between its marks, made of the recordings."""
    before, rest = page.split(BEGIN)
    lines = [
        "| `PodTrouble` | what `kubectl get pod` shows | what the diagnosis says | what to do |",
        "|---|---|---|---|",
    ]
    for trouble in PodTrouble:
        case = recorded()[EXAMPLES[trouble]]
        said = str(diagnose(case.pod, case.events)).replace("|", "\\|").replace("`", "'")
        if len(said) > _LONGEST_EXAMPLE:
            said = f"{said[:_LONGEST_EXAMPLE].rstrip()} …"
        lines.append(f"| `{trouble.name}` | {seen(case.pod)} | `{said}` | {trouble.hint} |")
    return f"{before}{BEGIN}\n{chr(10).join(lines)}\n{END}{rest.split(END)[1]}"


def seen(pod: Json) -> str:
    """What the column STATUS of ``kubectl get pod`` says, as far as the examples need it."""
    status = pod["status"]
    text = status.get("reason") or status["phase"]
    for field, prefix in (("initContainerStatuses", "Init:"), ("containerStatuses", "")):
        for container in status.get(field, []):
            state = container["state"].get("waiting") or container["state"].get("terminated") or {}
            if state.get("reason") and not status.get("reason"):
                text = f"{prefix}{state['reason']}"
    gated = any(each.get("reason") == "SchedulingGated" for each in status.get("conditions", []))
    return "SchedulingGated" if gated else text


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
