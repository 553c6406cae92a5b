"""The table of pod behaviours: which events and statuses a kubelet writes, as data.

The embedded server and the kubelet that stands in for one beside a real control plane
both follow it, and tests compare it with what a real kubelet of Kubernetes 1.37 wrote.
Texts have places for ``{image}``, ``{container}``, ``{pod}`` (name, namespace and UID)
and ``{back_off}``, the seconds of the last pause of a back-off.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping


class Subject(enum.Enum):
    """Which container something is about."""

    POD = "none: the pod itself"
    FIRST = "the first container"
    FIRST_INIT = "the first init container"
    VERY_FIRST = "the first init container, or else the first container"


class Pause(enum.Enum):
    """A time in which nothing is written."""

    PULL = "the image is being pulled: as long as the pod's script says"
    LOOK = "until the kubelet looks at its containers again (PLEG: within a second)"
    BACK_OFF = "longer each time"


class Start(enum.Enum):
    """Containers are started: their images are pulled, and they are created."""

    INIT = "all init containers, one after another"
    ALL = "all containers, one after another"
    FIRST = "the first container, whose image is there"
    FIRST_INIT = "the first init container, whose image is there"


@attrs.frozen
class Event:
    """An event; the same one again counts up."""

    reason: str
    message: str
    warning: bool = False
    about: Subject = Subject.FIRST


@attrs.frozen
class Waiting:
    """A container that waits; without a reason it waits for its turn."""

    reason: str = ""
    message: str = ""


@attrs.frozen
class Running:
    """A container that runs."""

    ready: bool = True


@attrs.frozen
class Terminated:
    """A container that has ended."""

    exit_code: int
    reason: str = ""


State: TypeAlias = "Waiting | Running | Terminated"


@attrs.frozen
class Status:
    """The status of the pod from then on.

    Attributes
    ----------
    phase
        Its phase.
    first, others
        The state of the first container, and of the others.
    init
        That of the first init container; without one, all of them have ended well (or
        run on, as sidecars do).
    last
        How the first container (or the first init container, where ``init`` is set)
        ended before.
    sandbox
        Whether the pod has its sandbox (network and the like), which it keeps until it ends.
    passing
        Whether another one follows at once: a kubelet that has hundreds of pods to
        start may leave it out.
    """

    phase: str
    first: State = attrs.field(factory=Waiting)
    others: State = attrs.field(factory=Waiting)
    init: State | None = None
    last: Terminated | None = None
    sandbox: bool = True
    passing: bool = False


Step: TypeAlias = "Event | Status | Start | Pause"


@attrs.frozen
class Behaviour:
    """How a pod fares.

    Attributes
    ----------
    summary
        In a few words, for the documentation.
    steps
        What is written once.
    again
        What is written after that, again and again.
    """

    summary: str
    steps: tuple[Step, ...]
    again: tuple[Step, ...] = ()


_INITIALIZING = Status("Pending", init=Waiting(), sandbox=False, passing=True)
_CREATING = Status("Pending", sandbox=False, passing=True)
#: What each pod begins with whose init containers end well.
_BEGIN: Final = (_INITIALIZING, Start.INIT, _CREATING)
_PULLING = Event("Pulling", 'Pulling image "{image}"')
_BACK_OFF_PULL = 'Back-off pulling image "{image}"'
_REFUSED = (
    'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": '
    'failed to resolve reference "{image}": {image}: not found'
)
_BACK_OFF_START = "Back-off restarting failed container {container} in pod {pod}"
_CRASH_LOOP = Waiting(
    "CrashLoopBackOff", "back-off {back_off}s restarting failed container={container} pod={pod}"
)
_MISSING_MAP = 'configmap "missing" not found'
_MISSING_SECRET = 'MountVolume.SetUp failed for volume "missing" : secret "missing" not found'  # noqa: S105


def _crashes(ended: Terminated) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Give what is written of a container that ends, however often it is started again."""
    runs = Status("Running", Running(), Running())
    crashed = Status("Running", ended, Running())
    first = (Pause.LOOK, runs, Pause.LOOK, crashed)
    later = (Start.FIRST, Pause.LOOK, attrs.evolve(runs, last=ended), Pause.LOOK)
    # A kubelet shows CrashLoopBackOff only when the back-off is over, just before it tries again.
    back_off = (
        Event("BackOff", _BACK_OFF_START, warning=True),
        Status("Running", ended, Running(), last=ended),
        Pause.BACK_OFF,
        Status("Running", _CRASH_LOOP, Running(), last=ended),
        Pause.LOOK,
    )
    return (*_BEGIN, Start.ALL, *first, *later), (*back_off, *later)


_CRASH = Terminated(1, "Error")
_OUT_OF_MEMORY = Terminated(137, "OOMKilled")

BEHAVIOURS: Final[Mapping[str, Behaviour]] = MappingProxyType(
    {
        "run": Behaviour(
            "images are pulled, init containers end, containers run; the default",
            (*_BEGIN, Start.ALL, Pause.LOOK, Status("Running", Running(), Running())),
        ),
        "pending": Behaviour(
            "an image is pulled without end: it stays Pending",
            (
                Status("Pending", init=Waiting()),
                attrs.evolve(_PULLING, about=Subject.VERY_FIRST),
            ),
        ),
        "image-pull-back-off": Behaviour(
            "an image cannot be pulled: `ErrImagePull`, then `ImagePullBackOff`",
            (
                *_BEGIN,
                _PULLING,
                Pause.PULL,
                Event("Failed", f'Failed to pull image "{{image}}": {_REFUSED}', warning=True),
                Event("Failed", "Error: ErrImagePull", warning=True),
                Status("Pending", Waiting("ErrImagePull", _REFUSED)),
            ),
            (
                Pause.BACK_OFF,
                Event("BackOff", _BACK_OFF_PULL),
                Event("Failed", "Error: ImagePullBackOff", warning=True),
                Status(
                    "Pending",
                    Waiting("ImagePullBackOff", f"{_BACK_OFF_PULL}: ErrImagePull: {_REFUSED}"),
                ),
            ),
        ),
        "config-error": Behaviour(
            "a config map is missing: `CreateContainerConfigError`",
            (
                *_BEGIN,
                _PULLING,
                Pause.PULL,
                Event("Pulled", "{pulled}"),
                Event("Failed", f"Error: {_MISSING_MAP}", warning=True),
                Status("Pending", Waiting("CreateContainerConfigError", _MISSING_MAP)),
            ),
        ),
        "mount-error": Behaviour(
            "a volume's secret is missing: only `FailedMount` events say so",
            (Status("Pending", init=Waiting(), sandbox=False),),
            (
                Event("FailedMount", _MISSING_SECRET, warning=True, about=Subject.POD),
                Pause.BACK_OFF,
            ),
        ),
        "init-crash": Behaviour(
            "an init container ends with an error, again and again",
            (_INITIALIZING, Start.FIRST_INIT, Pause.LOOK, Start.FIRST_INIT),
            (
                Pause.LOOK,
                Event("BackOff", _BACK_OFF_START, warning=True, about=Subject.FIRST_INIT),
                Status("Pending", init=_CRASH, last=_CRASH),
                Pause.BACK_OFF,
                Status("Pending", init=_CRASH_LOOP, last=_CRASH),
                Pause.LOOK,
                Start.FIRST_INIT,
            ),
        ),
        "crash": Behaviour(
            "a container ends with an error, again and again: `CrashLoopBackOff`",
            *_crashes(_CRASH),
        ),
        "out-of-memory": Behaviour(
            "a container runs out of memory, again and again: `OOMKilled`",
            *_crashes(_OUT_OF_MEMORY),
        ),
        "not-ready": Behaviour(
            "it runs, and its readiness probe fails",
            (
                *_BEGIN,
                Start.ALL,
                Pause.LOOK,
                Status("Running", Running(ready=False), Running()),
            ),
            (
                Event(
                    "Unhealthy",
                    "Readiness probe failed: HTTP probe failed with statuscode: 503",
                    warning=True,
                ),
                Pause.BACK_OFF,
            ),
        ),
        "succeed": Behaviour(
            "its containers run, and end well: Succeeded",
            (
                *_BEGIN,
                Start.ALL,
                Pause.LOOK,
                Status("Succeeded", Terminated(0, "Completed"), Terminated(0, "Completed")),
            ),
        ),
        "fail": Behaviour(
            "its containers run, and end with an error: Failed",
            (*_BEGIN, Start.ALL, Pause.LOOK, Status("Failed", _CRASH, _CRASH)),
        ),
    }
)
