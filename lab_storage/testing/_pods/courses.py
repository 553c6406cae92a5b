"""How one pod fares, step by step: the table of behaviours, filled in for its manifest."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from .behaviours import (
    BEHAVIOURS,
    Event,
    Pause,
    Start,
    Status,
    Subject,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .behaviours import State, Step

Json: TypeAlias = dict[str, Any]

#: How a pod is to fare, and how many seconds its first image is pulled: its annotations.
START_ANNOTATION = "lab-storage.test/start"
DELAY_ANNOTATION = "lab-storage.test/delay"
#: A kubelet looks once a second.
LOOK_SECONDS = 0.05
#: A kubelet begins with ten seconds, and ends with five minutes.
FIRST_BACK_OFF_SECONDS, LONGEST_BACK_OFF_SECONDS = 0.25, 8.0
_PULLED = (
    'Successfully pulled image "{image}" in 1ms (1ms including waiting). '
    "Image size: 1048576 bytes."
)
_PRESENT = 'Container image "{image}" already present on machine and can be accessed by the pod'


@attrs.frozen
class Told:
    """An event to be written.

    Attributes
    ----------
    reason, message, type
        What it says.
    field_path
        Of the container that it is about; ``None`` where it is about the pod.
    count
        How often it has occurred by now.
    """

    reason: str
    message: str
    type: str
    field_path: str | None
    count: int


@attrs.frozen
class Shown:
    """A status to be written; `statuses.pod_status` makes JSON of it.

    Attributes
    ----------
    status
        What the table says, with its texts filled in.
    restarts
        How often the container that is started again has been.
    """

    status: Status
    restarts: int


@attrs.frozen
class Paused:
    """Time in which nothing is written."""

    seconds: float


class Course:
    """How a pod fares.

    Parameters
    ----------
    pod
        Its manifest, as the API server has it.
    """

    def __init__(self, pod: Json) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        self._name = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        self.init_containers: list[Json] = spec.get("initContainers") or []
        self.containers: list[Json] = spec["containers"]
        status = pod.get("status", {})
        known = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
        self._running = {each["name"] for each in known if "running" in each["state"]}
        self._counts: Counter[Told] = Counter()
        self._starts: Counter[str] = Counter()
        self._back_off_seconds = FIRST_BACK_OFF_SECONDS
        self._last_back_off_seconds = 0.0
        self._pull_seconds = 0.0

    def start(self, behaviour: str, pull_seconds: float) -> Iterator[Told | Shown | Paused]:
        """Start a pod that has been bound to the node, or fail to; may go on without end.

        Parameters
        ----------
        behaviour
            Its name in the table.
        pull_seconds
            How long the first image is pulled.

        Raises
        ------
        ValueError
            The behaviour is about an init container, and the pod has none.
        """
        self._pull_seconds = pull_seconds
        found = BEHAVIOURS[behaviour]
        if Start.FIRST_INIT in found.steps and not self.init_containers:
            raise ValueError(f"{behaviour!r} needs an init container; pod {self._name} has none")
        return self._follow(itertools.chain(found.steps, itertools.cycle(found.again)))

    def stop(self) -> Iterator[Told]:
        """Yield the events of a pod whose running containers are being stopped."""
        for container in (*self.containers, *self.init_containers):
            if container["name"] in self._running:
                yield self._told(Event("Killing", "Stopping container {container}"), container)

    def _follow(self, steps: Iterator[Step]) -> Iterator[Told | Shown | Paused]:
        for step in steps:
            if isinstance(step, Event):
                yield self._told(step, self._container(step.about))
            elif isinstance(step, Status):
                yield self._shown(step)
            elif isinstance(step, Start):
                yield from self._start(step)
            elif step is Pause.LOOK:
                yield Paused(LOOK_SECONDS)
            elif step is Pause.PULL:
                yield from self._pull()
            else:
                self._last_back_off_seconds = self._back_off_seconds
                self._back_off_seconds = min(2 * self._back_off_seconds, LONGEST_BACK_OFF_SECONDS)
                yield Paused(self._last_back_off_seconds)

    def _pull(self) -> Iterator[Paused]:
        seconds, self._pull_seconds = self._pull_seconds, 0.0
        if seconds:
            yield Paused(seconds)

    def _start(self, step: Start) -> Iterator[Told | Paused]:
        containers = {
            Start.INIT: self.init_containers,
            Start.ALL: self.containers,
            Start.FIRST: self.containers[:1],
            Start.FIRST_INIT: self.init_containers[:1],
        }[step]
        for container in containers:
            text = _PRESENT
            if not self._starts[container["name"]]:
                text = _PULLED
                yield self._told(Event("Pulling", 'Pulling image "{image}"'), container)
                yield from self._pull()
            self._starts[container["name"]] += 1
            yield self._told(Event("Pulled", text), container)
            yield self._told(Event("Created", "Container created"), container)
            yield self._told(Event("Started", "Container started"), container)

    def _container(self, subject: Subject) -> Json | None:
        if subject is Subject.POD:
            return None
        if subject is Subject.FIRST:
            return self.containers[0]
        if subject is Subject.FIRST_INIT:
            return self.init_containers[0]
        return (*self.init_containers, *self.containers)[0]

    def _told(self, event: Event, container: Json | None) -> Told:
        kind = "Warning" if event.warning else "Normal"
        told = Told(event.reason, self._filled(event.message, container), kind, None, 0)
        if container is not None:
            place = "initContainers" if container in self.init_containers else "containers"
            told = attrs.evolve(told, field_path=f"spec.{place}{{{container['name']}}}")
        self._counts[told] += 1
        return attrs.evolve(told, count=self._counts[told])

    def _shown(self, status: Status) -> Shown:
        container = self._container(Subject.FIRST if status.init is None else Subject.VERY_FIRST)
        restarts = self._starts[container["name"]] - 1 if container else 0
        filled = attrs.evolve(
            status,
            first=self._filled_state(status.first, container),
            init=None if status.init is None else self._filled_state(status.init, container),
        )
        return Shown(filled, max(restarts, 0))

    def _filled_state(self, state: State, container: Json | None) -> State:
        if not isinstance(state, Waiting):
            return state
        return attrs.evolve(state, message=self._filled(state.message, container))

    def _filled(self, text: str, container: Json | None) -> str:
        if container is None:
            return text
        return (
            text.replace("{pulled}", _PULLED)
            .replace("{image}", container["image"])
            .replace("{container}", container["name"])
            .replace("{pod}", self._name)
            .replace("{back_off}", f"{self._last_back_off_seconds:g}")
        )


def script_of(pod: Json) -> tuple[str | None, float | None]:
    """Read a pod's annotations: its behaviour, and the seconds of its first pull.

    Raises
    ------
    ValueError
        There is no such behaviour, or the seconds are not a number.
    """
    annotations = pod["metadata"].get("annotations") or {}
    behaviour, delay = annotations.get(START_ANNOTATION), annotations.get(DELAY_ANNOTATION)
    if behaviour is not None and behaviour not in BEHAVIOURS:
        known = ", ".join(BEHAVIOURS)
        raise ValueError(f"{START_ANNOTATION} must be one of {known}, got {behaviour!r}")
    return behaviour, None if delay is None else float(delay)
