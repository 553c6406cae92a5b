"""Waiting for a pod to start, and finding out meanwhile why it does not."""

from __future__ import annotations

import re
from collections.abc import Collection
from time import monotonic
from typing import Any

from lab_storage._api.answer import mapping_at
from lab_storage._api.call import Call
from lab_storage._api.changes import DELETED, LISTED
from lab_storage._api.pod_json import waiting
from lab_storage._api.request import Request, list_of_one
from lab_storage._api.watch import follow
from lab_storage._diagnoses import read_events
from lab_storage._diagnosis.words import passes_by_itself
from lab_storage._manifests.kinds import POD
from lab_storage.diagnosis import Examination, PodDiagnosis, PodTrouble, examine
from lab_storage.exceptions import PodStartError
from lab_storage.models import PodPhase

# A wait looks at its pod's events shortly before its deadline. A long one also does when the
# pod's state has said nothing new for some seconds, and then once a minute. With the watch and
# its checks, that is at most 6 requests a minute.
LAST_LOOK_SECONDS = 2.0
LONG_SECONDS = 90.0
QUIET_SECONDS = 3.0
AGAIN_SECONDS = 60.0
# Between two looks, however the pod behaves.
_REST_SECONDS = 20.0
# The watch is not read meanwhile.
_LOOK_SECONDS = 1.0
_NUMBER = re.compile(r"\d+")


def wait_for_start(
    call: Call, namespace: str, name: str, fail_fast: Collection[str]
) -> PodPhase | None:
    """Block until a pod is neither Pending nor Unknown, or is not there (any more).

    Raises
    ------
    PodStartError
        If it waits for one of ``fail_fast``.
    """
    request = list_of_one(POD, namespace, name)
    inquiry = Inquiry(call, request, namespace, name)
    there = False
    for change in follow(call, request, while_quiet=inquiry.look, looks_last=True):
        if change.type == DELETED or (change.type == LISTED and not there):
            return None
        if change.type == LISTED:
            continue
        there = True
        inquiry.hear(change.object)
        phase = phase_of(change.object)
        if phase not in (PodPhase.PENDING, PodPhase.UNKNOWN):
            log_start(call, request, phase, inquiry.diagnosis)
            return phase
        for container, reason, message in waiting(change.object):
            if reason in fail_fast and not passes_by_itself(message):
                inquiry.look_behind()
                raise PodStartError(name, namespace, container, reason, message, inquiry.diagnosis)
    raise RuntimeError("a watch ends by its deadline, not by itself")


def log_start(call: Call, request: Request, phase: PodPhase, diagnosis: PodDiagnosis) -> None:
    """Log how a pod has started; what is wrong with it, if it has failed."""
    if phase is not PodPhase.FAILED or diagnosis.trouble is None:
        call.debug("Pod has started", request)
        return
    call.write(
        call.log.warning,
        "Pod has failed",
        request,
        trouble=diagnosis.trouble.value,
        container=diagnosis.container,
        reason=diagnosis.reason,
        message=diagnosis.message,
        exit_code=diagnosis.exit_code,
    )


class Inquiry:
    """Why a pod has not started, as far as is known; what a timeout of the wait reports.

    The state of a pod that cannot mount a volume says ContainerCreating forever. So its events
    are read too, when its state has said nothing new for some seconds, and seldom.
    """

    def __init__(self, call: Call, request: Request, namespace: str, name: str) -> None:
        self._call = call
        self._request = request
        self._names = namespace, name
        left = call.timeout._left()
        self._is_long = left >= LONG_SECONDS
        self._rest_seconds = min(_REST_SECONDS, left / 3)
        self._last_look_seconds = min(LAST_LOOK_SECONDS, left / 5)
        self._pod: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []
        self._examination: Examination = examine({})
        self._said = ""
        self._quiet_since = monotonic()
        self._looked_at: float | None = None
        self._looked_since_news = False

    @property
    def diagnosis(self) -> PodDiagnosis:
        """What is wrong with the pod, as far as is known."""
        return self._examination.diagnosis

    def hear(self, pod: dict[str, Any]) -> None:
        """Take a new state of the pod."""
        self._pod = pod
        # A scheduler repeats what it says with other numbers, as nodes come and go.
        said = _NUMBER.sub("", _summary(pod, examine(pod).diagnosis))
        if said != self._said:
            self._said = said
            self._quiet_since = monotonic()
            self._looked_since_news = False
        self._examine()

    def look(self) -> None:
        """Read the pod's events if it is time to; called again and again."""
        if self._pod and self._is_due():
            self._read_events()

    def look_behind(self) -> None:
        """Read the events at once if a container ended, since only they may say who ended it."""
        if self.diagnosis.trouble is PodTrouble.CRASH and self._looked_at is None:
            self._read_events()

    def _is_due(self) -> bool:
        # A state that says what is wrong needs no events.
        if examine(self._pod).diagnosis.trouble is not None:
            return False
        now = monotonic()
        since_look = float("inf") if self._looked_at is None else now - self._looked_at
        if since_look < self._rest_seconds:
            return False
        left = self._call.timeout._left()
        if left <= self._last_look_seconds:
            return True
        # In the last minute, that look will do.
        is_early = self._is_long and left > AGAIN_SECONDS
        is_quiet = is_early and now - self._quiet_since >= QUIET_SECONDS
        return is_quiet and (not self._looked_since_news or since_look >= AGAIN_SECONDS)

    def _read_events(self) -> None:
        self._looked_at = monotonic()
        self._looked_since_news = True
        events = read_events(self._call.aside(_LOOK_SECONDS), *self._names)
        if events is not None:
            self._events = events
        self._examine()

    def _examine(self) -> None:
        self._examination = examine(self._pod, self._events)
        text = _summary(self._pod, self.diagnosis)
        if self.diagnosis.trouble is None and self._examination.last_warning is not None:
            text += f"; {self._examination.last_warning}"
        self._call.wait_for(self._request, text)


def _summary(pod: dict[str, Any], diagnosis: PodDiagnosis) -> str:
    """What a pod is waiting for, in one line: its trouble, or what its state says."""
    text = f"the pod is {diagnosis.phase.value}"
    if diagnosis.trouble is not None:
        return f"{text}; {diagnosis}"
    for container, reason, message in waiting(pod):
        text += f"; {container or 'pod'}: {reason}{f': {message}' if message else ''}"
    return text


def phase_of(pod: dict[str, Any]) -> PodPhase:
    """The phase in a pod's status."""
    return PodPhase.of(mapping_at(pod, "status").get("phase"))


def text_of(value: Any) -> str | None:
    """A text; `None` for anything else, and for an empty one."""
    return value if isinstance(value, str) and value else None
