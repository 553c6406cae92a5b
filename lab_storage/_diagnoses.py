"""Reading what a diagnosis is made of: a pod, its events, a container's log."""

from __future__ import annotations

from typing import Any

import attrs

from lab_storage._api.answer import Answer, TransientError, mappings_at
from lab_storage._api.call import Call
from lab_storage._api.objects import read
from lab_storage._api.request import Request
from lab_storage._manifests.kinds import EVENT, POD
from lab_storage.diagnosis import Examination, examine
from lab_storage.exceptions import (
    KubernetesError,
    LabStorageError,
    OperationCancelledError,
    OperationTimeoutError,
    printable,
)

# What events and a log may take, of what is left at most a half: a diagnosis without them is
# better than none.
EVENTS_SECONDS = 10.0
LOG_SECONDS = 5.0
# The server stops after that many bytes, from the first of the lines on.
_LONGEST_LOG = 2**20
# A kubelet may say so in place of a log, with status 200 (pkg/kubelet/kuberuntime/logs).
_NO_LOG = "unable to retrieve container logs for ", "failed to try resolving symlinks in path "


def read_examination(
    call: Call, namespace: str, name: str, *, log_lines: int = 0
) -> Examination | None:
    """Read a pod and its events side by side, and examine them; `None` if there is no pod."""
    aside = call.aside(EVENTS_SECONDS)
    pods: list[Any] = []
    errors: list[LabStorageError] = []

    def read_pod() -> None:
        try:
            pods.append(read(call, POD, namespace, name, Answer.read_object))
        except LabStorageError as error:
            errors.append(error)
        finally:
            # Its events say nothing without it.
            if pods in ([], [None]):
                aside.timeout.cancel()

    # Within the other request: a thread of its own costs as much as a request.
    aside.meanwhile(read_pod)
    events = read_events(aside, namespace, name)
    aside.do_meanwhile()
    for error in errors:
        raise error
    [pod] = pods
    if pod is None:
        return None
    examination = examine(pod, events)
    if not log_lines or examination.log_of is None:
        return examination
    log = _read_log(call.aside(LOG_SECONDS), namespace, name, examination, log_lines)
    call.check()
    diagnosis = attrs.evolve(examination.diagnosis, log=log)
    return attrs.evolve(examination, diagnosis=diagnosis)


def read_events(call: Call, namespace: str, name: str) -> list[dict[str, Any]] | None:
    """Read the events of all pods of that name; `None` if they cannot be had."""
    # Not by the UID: the taint manager's have none. Kubernetes selects by these fields:
    # https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
    request = Request(
        "GET",
        EVENT,
        namespace,
        query={"fieldSelector": f"involvedObject.kind=Pod,involvedObject.name={name}"},
        collection=True,
    )
    try:
        content = call.request(request, Answer.read_list)
    except (KubernetesError, OperationCancelledError, OperationTimeoutError) as error:
        call.write(call.log.debug, "Cannot read events", request, reason=str(error))
        return None
    return mappings_at(content, "items")


def _read_log(
    call: Call, namespace: str, name: str, examination: Examination, lines: int
) -> str | None:
    """Read the end of the log of the container concerned; `None` if it cannot be had."""
    query = {
        "container": str(examination.log_of),
        "tailLines": str(lines),
        "limitBytes": str(_LONGEST_LOG),
    }
    if examination.is_previous_log:
        query["previous"] = "true"
    request = Request("GET", POD, namespace, name, query=query, subresource="log")
    try:
        answer = call.attempt(request)
    except (KubernetesError, OperationTimeoutError, OperationCancelledError, TransientError):
        return None
    if not answer.is_success:
        return None
    text = answer.body.decode("utf-8", "replace")
    return None if text.startswith(_NO_LOG) else _last_lines(text, lines)


def _last_lines(text: str, count: int) -> str:
    """The last lines of a log, without control characters other than the ends of lines."""
    lines = [printable(line.expandtabs()) for line in text.splitlines()[-count:]]
    return "\n".join(lines)
