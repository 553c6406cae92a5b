"""What a kubelet writes about a pod, and in which order.

How a pod starts and how it goes are generators of requests and pauses, which
somebody else carries out, so that they read from top to bottom.

The annotation :data:`START` of a pod says how it fares:

``run``
    It runs. So does a pod without that annotation.
``pending``
    Its first image is being pulled, without end.
``image-pull-back-off``
    The image of its first container cannot be pulled.
``config-error``
    Its first container refers to a config map that is missing.
``init-crash``
    Its first init container fails, again and again.
``succeed``, ``fail``
    Its containers end at once.

Before that it waits as many seconds as :data:`DELAY` says.

There are fewer requests than a real kubelet makes, so that 500 pods can start
at once: what an init container does is in the events as it happens, and in the
status with the next change of the containers that come after it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .kubelet_requests import Json, PodRequests, Request, running, terminated, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = "lab-storage.test/start"
DELAY = "lab-storage.test/delay"

#: The first pause of a back-off. It doubles, as a kubelet's does from ten
#: seconds on, up to the last.
BACK_OFF_SECONDS = 0.25
LONGEST_BACK_OFF_SECONDS = 8.0


@dataclass(frozen=True)
class Pause:
    """Time in which nothing is written."""

    seconds: float


Step = Request | Pause


def start(pod: Json) -> Iterator[Step]:
    """How a pod that the scheduler has bound to the node starts, or does not.

    Raises
    ------
    ValueError
        If its annotations ask for what there is not.
    """
    annotations = pod["metadata"].get("annotations") or {}
    behaviour = annotations.get(START, "run")
    if behaviour not in BEHAVIOURS:
        raise ValueError(
            f"{START} is {behaviour!r}, and not one of {', '.join(sorted(BEHAVIOURS))}"
        )
    requests = PodRequests(pod)
    if behaviour == "init-crash" and not requests.init_containers:
        raise ValueError(f"{START} is {behaviour!r}, and the pod has no init container")
    delay_seconds = float(annotations.get(DELAY, 0))
    return itertools.chain(
        [Pause(delay_seconds)] if delay_seconds else [], BEHAVIOURS[behaviour](requests)
    )


def stop(pod: Json) -> Iterator[Step]:
    """What is said when a pod with running containers is to go."""
    requests = PodRequests(pod)
    for container in requests.containers:
        yield requests.event("Killing", f"Stopping container {container['name']}", container)


def remove(pod: Json) -> Iterator[Step]:
    """How a pod goes whose containers have ended.

    From 1.27 on a kubelet gives it a final phase first:
    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase
    The containers here do not listen to SIGTERM, so it is Failed.
    """
    requests = PodRequests(pod)
    if pod["status"].get("phase") not in {"Succeeded", "Failed"}:
        ended = [terminated(container, 137) for container in requests.containers]
        yield requests.status(ended, phase="Failed")
    metadata = pod["metadata"]
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
    yield Request("DELETE", requests.path, options)


# -- The behaviours -----------------------------------------------------------------


def _run(requests: PodRequests) -> Iterator[Step]:
    yield from requests.run_containers([*requests.init_containers, *requests.containers])
    yield requests.status([running(each) for each in requests.containers], phase="Running")


def _succeed(requests: PodRequests) -> Iterator[Step]:
    yield from requests.run_containers([*requests.init_containers, *requests.containers])
    ended = [terminated(container, 0) for container in requests.containers]
    yield requests.status(ended, phase="Succeeded")


def _fail(requests: PodRequests) -> Iterator[Step]:
    yield from requests.run_containers([*requests.init_containers, *requests.containers])
    ended = [terminated(container, 1) for container in requests.containers]
    yield requests.status(ended, phase="Failed")


def _stay_pending(requests: PodRequests) -> Iterator[Step]:
    first = (*requests.init_containers, *requests.containers)[0]
    yield requests.pulling(first)
    yield requests.waiting("ContainerCreating")


def _image_pull_back_off(requests: PodRequests) -> Iterator[Step]:
    yield from requests.run_containers(requests.init_containers)
    first = requests.containers[0]
    image = first["image"]
    refused = f'failed to resolve reference "{image}": not found'
    yield requests.pulling(first)
    yield requests.event(
        "Failed", f'Failed to pull image "{image}": {refused}', first, warning=True
    )
    yield requests.event("Failed", "Error: ErrImagePull", first, warning=True)
    yield requests.waiting("ErrImagePull", refused)
    yield Pause(BACK_OFF_SECONDS)
    back_off = f'Back-off pulling image "{image}"'
    yield requests.waiting("ImagePullBackOff", f"{back_off}: ErrImagePull: {refused}")
    yield requests.event("Failed", "Error: ImagePullBackOff", first, warning=True)
    for count, pause in _back_off():
        yield requests.event("BackOff", back_off, first, count=count)
        yield pause


def _config_error(requests: PodRequests) -> Iterator[Step]:
    yield from requests.run_containers(requests.init_containers)
    first = requests.containers[0]
    missing = 'configmap "missing" not found'
    yield requests.pulling(first)
    yield requests.pulled(first)
    yield requests.event("Failed", f"Error: {missing}", first, warning=True)
    yield requests.waiting("CreateContainerConfigError", missing)


def _init_crash(requests: PodRequests) -> Iterator[Step]:
    first, *others = requests.init_containers
    name = f"{requests.name}_{requests.namespace}({requests.uid})"
    yield from requests.run_container(first)
    for count, pause in _back_off():
        crashing = {
            **waiting(
                first,
                "CrashLoopBackOff",
                f"back-off {pause.seconds:g}s restarting failed "
                f"container={first['name']} pod={name}",
            ),
            "restartCount": count - 1,
            "lastState": terminated(first, 1)["state"],
        }
        yield requests.status(
            [waiting(each, "PodInitializing") for each in requests.containers],
            init=[crashing, *(waiting(each, "PodInitializing") for each in others)],
        )
        message = f"Back-off restarting failed container {first['name']} in pod {name}"
        yield requests.event("BackOff", message, first, count=count, warning=True)
        yield pause


BEHAVIOURS: dict[str, Callable[[PodRequests], Iterator[Step]]] = {
    "run": _run,
    "succeed": _succeed,
    "fail": _fail,
    "pending": _stay_pending,
    "image-pull-back-off": _image_pull_back_off,
    "config-error": _config_error,
    "init-crash": _init_crash,
}


def _back_off() -> Iterator[tuple[int, Pause]]:
    seconds = BACK_OFF_SECONDS
    for count in itertools.count(1):
        yield count, Pause(seconds)
        seconds = min(2 * seconds, LONGEST_BACK_OFF_SECONDS)
