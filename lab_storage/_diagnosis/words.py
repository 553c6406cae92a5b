"""The words of Kubernetes and what they mean.

To teach the diagnosis another word, add it to the table of the place where Kubernetes says it.
"""

from __future__ import annotations

import re

from lab_storage._pod_data import PodTrouble

# ``state.waiting.reason`` of a container: pkg/kubelet/images/types.go,
# pkg/kubelet/kuberuntime/kuberuntime_container.go, pkg/kubelet/container/sync_result.go,
# k8s.io/cri-api/pkg/errors.
WAITING = {
    "ErrImagePull": PodTrouble.IMAGE,
    "ImagePullBackOff": PodTrouble.IMAGE,
    "ErrImageNeverPull": PodTrouble.IMAGE,
    "InvalidImageName": PodTrouble.IMAGE,
    "ImageInspectError": PodTrouble.IMAGE,
    "RegistryUnavailable": PodTrouble.IMAGE,
    "SignatureValidationFailed": PodTrouble.IMAGE,
    "CreateContainerConfigError": PodTrouble.CONFIGURATION,
    "CreateContainerError": PodTrouble.START,
    "PreCreateHookError": PodTrouble.START,
    "PreStartHookError": PodTrouble.START,
    "PostStartHookError": PodTrouble.START,
    "RunContainerError": PodTrouble.START,
}

# What passes by itself, by the message. Of ErrImagePull: the kubelet's own limit of pulls a
# second (pkg/kubelet/images/helpers.go). Of CreateContainerConfigError: the kubelet is still
# fetching a ConfigMap or Secret (pkg/kubelet/util/manager/watch_based_manager.go), or has just
# started and not listed the services yet, whose addresses are in each environment
# (pkg/kubelet/kubelet_pods.go, ``makeEnvironmentVariables``). Of Unschedulable: a claim has no
# volume yet, is being allocated for another pod that shares it, or is yet to be made itself
# (pkg/scheduler/framework/plugins/volumebinding, pkg/scheduler/framework/plugins/dynamicresources,
# dynamic-resource-allocation/resourceclaim). A scheduler says that there is no volume of nearly
# every pod that is created with its claim.
_PASSES = re.compile(
    r"pull QPS exceeded"
    r"|failed to sync (configmap|secret) cache"
    r"|services have not yet been read at least once"
    r"|pod has unbound immediate PersistentVolumeClaims"
    r"|waiting for ephemeral volume controller to create"
    r"|resource claim \S+ is in the process of being allocated"
    r"|ResourceClaim not created yet"
)


def passes_by_itself(message: str | None) -> bool:
    """Whether what a pod waits for, by its message, is on its way and no reason to give up."""
    return message is not None and _PASSES.search(message) is not None


# ``state.terminated.reason`` of a container, where it did not end by itself: OOMKilled and
# StartError come from containerd and CRI-O, ContainerCannotRun from dockershim,
# ContainerStatusUnknown from pkg/kubelet/container/runtime.go; Unknown, with exit code 255, from
# containerd after its node was restarted (pkg/cri/server/restart.go there).
ENDED = {
    "OOMKilled": PodTrouble.OUT_OF_MEMORY,
    "StartError": PodTrouble.START,
    "ContainerCannotRun": PodTrouble.START,
    "ContainerStatusUnknown": PodTrouble.NODE,
    "Unknown": PodTrouble.NODE,
}

# Ended on purpose, to be started again (pkg/kubelet/kubelet_pods.go).
ENDED_ON_PURPOSE = frozenset({"RestartingAllContainers"})

# ``status.reason`` of a pod: pkg/kubelet/eviction/helpers.go, pkg/kubelet/preemption,
# pkg/kubelet/active_deadline.go, pkg/kubelet/nodeshutdown (Shutdown before Kubernetes 1.22),
# pkg/util/node. The words with which a kubelet refuses a pod are open-ended: see the rule.
POD = {
    "Evicted": PodTrouble.DISRUPTION,
    "Preempting": PodTrouble.DISRUPTION,
    "DeadlineExceeded": PodTrouble.DEADLINE,
    "Terminated": PodTrouble.NODE,
    "Shutdown": PodTrouble.NODE,
    "NodeLost": PodTrouble.NODE,
}

# How a kubelet begins ``status.message`` of a pod that it refuses (pkg/kubelet/kubelet.go).
REFUSED = "Pod was rejected"

# ``reason`` of the condition DisruptionTarget where it is not a disruption: the node is gone
# (pkg/controller/podgc).
DISRUPTION = {"DeletionByPodGC": PodTrouble.NODE}

# ``reason`` of the condition PodScheduled, if it is not that no node takes the pod.
UNSCHEDULED = {"SchedulingGated": PodTrouble.GATED}

# ``reason`` of an event about a pod that has not been started: pkg/kubelet/events/event.go,
# pkg/controller/volume, pkg/controller/resourceclaim.
EVENT = {
    "FailedMount": PodTrouble.VOLUME,
    "FailedAttachVolume": PodTrouble.VOLUME,
    "FailedMapVolume": PodTrouble.VOLUME,
    "FailedBinding": PodTrouble.VOLUME,
    "FailedCreatePodSandBox": PodTrouble.SANDBOX,
    "FailedPodSandBoxStatus": PodTrouble.SANDBOX,
    "FailedCreatePodContainer": PodTrouble.SANDBOX,
    "NetworkNotReady": PodTrouble.SANDBOX,
    "FailedResourceClaimCreation": PodTrouble.CONFIGURATION,
    "FailedPrepareDynamicResources": PodTrouble.START,
    "FailedPostStartHook": PodTrouble.START,
    "ErrImageNeverPull": PodTrouble.IMAGE,
    "InspectFailed": PodTrouble.IMAGE,
}

# ``reason`` of events that mean many things. By their message, the first that matches decides.
AMBIGUOUS_EVENTS = frozenset({"Failed", "BackOff", "Unhealthy"})
EVENT_MESSAGE = (
    # Of a sidecar: the kubelet writes into the status only later that it has been started.
    (re.compile("Startup probe "), PodTrouble.PROBE),
    (re.compile("Failed to pull image|Back-off pulling image"), PodTrouble.IMAGE),
    (re.compile("Back-off restarting failed container"), PodTrouble.CRASH),
    *((re.compile(f"Error: {word}$"), trouble) for word, trouble in WAITING.items()),
    (
        re.compile("Error: (configmap|secret) .* not found|Error: couldn't find key"),
        PodTrouble.CONFIGURATION,
    ),
    (re.compile("Error: |error making pod data directories"), PodTrouble.START),
)

# ``reason`` of events with which the kubelet shows that it went on.
PROGRESS = frozenset({"Pulling", "Pulled", "Created", "Started", "Killing"})

# ``message`` of a Killing event (pkg/kubelet/kuberuntime/kuberuntime_manager.go): the pod is being
# deleted; the container is started again, with other resources or another image.
STOPPING = re.compile("Stopping container")
CHANGING = re.compile("Container .* (resize requires restart|definition changed)")
PROBE_KILL = re.compile("failed (liveness|startup) probe", re.IGNORECASE)

# How a kubelet ends a container: SIGKILL, or SIGTERM that the process obeyed.
KILLED = frozenset({137, 143})
