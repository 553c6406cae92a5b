"""What only pods need: their phase, their events, their end."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from typing import Any

from lab_storage._api.answer import Answer, mapping_at
from lab_storage._api.call import Call
from lab_storage._api.changes import ADDED, DELETED, LISTED, MOST_GONE, Change
from lab_storage._api.deletion import delete as delete_object
from lab_storage._api.objects import read
from lab_storage._api.request import Request, list_of_one
from lab_storage._api.versions import identity
from lab_storage._api.watch import follow
from lab_storage._manifests.kinds import EVENT, POD
from lab_storage._starts import text_of
from lab_storage.models import PodPhase


def read_phase(call: Call, namespace: str, name: str) -> PodPhase | None:
    """Give the phase of a pod, or `None` if there is no pod."""
    state = read(call, POD, namespace, name, Answer.read_state)
    return None if state is None else PodPhase.of(state.get("phase"))


def delete(
    call: Call, namespace: str, name: str, uid: str | None, grace_period_seconds: int
) -> None:
    """Delete a pod, only that of ``uid`` if given, and block until it is gone."""
    delete_object(
        call,
        POD,
        namespace,
        name,
        why_it_stays=why_it_stays,
        uid=uid,
        grace_period_seconds=grace_period_seconds,
    )


def why_it_stays(pod: dict[str, Any]) -> str:
    """What keeps a pod that is being deleted.

    A pod is removed when the kubelet of its node says that it has ended; a node
    that is dead never does
    (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination).
    """
    metadata = mapping_at(pod, "metadata")
    node = mapping_at(pod, "spec").get("nodeName")
    if finalizers := metadata.get("finalizers"):
        return f"the pod has finalizers: {finalizers}"
    if not metadata.get("deletionTimestamp"):
        return "the pod is not being deleted yet"
    if node:
        return f"node {node} has not confirmed that the pod ended; it may be dead"
    return "the pod is being deleted"


def follow_events(call: Call, namespace: str, name: str) -> Generator[str, None, None]:
    """Yield the messages of a pod's events, those that exist and those that come.

    It ends by the deadline or a cancel alone.
    """
    pod = _wait_for_pod(call, namespace, name)
    # Kubernetes selects by these fields of an event:
    # https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
    # Not by the UID, which the taint manager's events do not have.
    request = Request(
        "GET",
        EVENT,
        namespace,
        query={"fieldSelector": f"involvedObject.kind=Pod,involvedObject.name={name}"},
        collection=True,
    )
    call.debug("Watching events", list_of_one(POD, namespace, name))
    with closing(follow(call, request, order=when)) as changes:
        yield from messages(call, changes, pod)


def messages(
    call: Call, changes: Iterable[Change], pod: dict[str, Any]
) -> Generator[str, None, None]:
    """Yield the messages of a pod's events, of which an event may be told more than once."""
    # By the event's UID: how often it is known to have happened.
    counts: dict[str, tuple[int, int]] = {}
    # Those of events that are gone, of which a server that lags behind may speak again.
    gone: dict[str, tuple[int, int]] = {}
    for change in changes:
        event = change.object
        if change.type == LISTED:
            continue
        if change.type == DELETED:
            if change.uid in counts:
                gone[change.uid] = counts.pop(change.uid)
            if len(gone) > MOST_GONE:
                del gone[next(iter(gone))]
            continue
        if not _is_about(event, pod):
            continue
        known, said = counts.get(change.uid) or gone.pop(change.uid, (0, -1)), _counts(event)
        counts[change.uid] = max(known[0], said[0]), max(known[1], said[1])
        if counts[change.uid] == known:
            continue
        message = text_of(event.get("message"))
        if message is not None:
            yield message
            # Time passes in the loop's body too, and more may have been read already.
            call.check()


def _is_about(event: dict[str, Any], pod: dict[str, Any]) -> bool:
    """Whether an event is about that pod, and not about an earlier one of its name.

    The taint manager does not say a UID (``pkg/controller/tainteviction``). Then it is by when
    it has last happened, in seconds.
    """
    about, metadata = mapping_at(event, "involvedObject"), mapping_at(pod, "metadata")
    if about.get("uid"):
        return bool(about["uid"] == identity(pod))
    if (about.get("kind"), about.get("name")) != (POD.name, metadata.get("name")):
        return False  # a server that does not select
    created = metadata.get("creationTimestamp")
    times = (event.get("eventTime"), event.get("firstTimestamp"), event.get("lastTimestamp"))
    seconds = [str(time)[:19] for time in times if time]
    return not seconds or max(seconds) >= str(created or "")[:19]


def _wait_for_pod(call: Call, namespace: str, name: str) -> dict[str, Any]:
    """Block until there is a pod of that name, and give it."""
    request = list_of_one(POD, namespace, name)
    for change in follow(call, request):
        if change.type == ADDED:
            return change.object
        if change.type == LISTED:
            call.wait_for(request, f"there is no pod {namespace}/{name} yet")
    raise RuntimeError("a watch ends by its deadline, not by itself")


def _counts(event: dict[str, Any]) -> tuple[int, int]:
    """How often an event has happened, in the two ways of saying that.

    The core API counts in ``count``; the newer events API in ``series.count``, from the
    second time on
    (https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/).
    """
    count, in_series = event.get("count"), mapping_at(event, "series").get("count")
    return (
        count if isinstance(count, int) else 1,
        in_series if isinstance(in_series, int) else 0,
    )


def when(event: dict[str, Any]) -> tuple[str, int, str]:
    """When an event first happened, and which was written first within a second.

    The newer events API has microseconds in ``eventTime``, the core API seconds in
    ``firstTimestamp``. RFC 3339 in UTC sorts as text, as far as the precision is
    the same.
    """
    metadata = event["metadata"]
    time = (
        event.get("eventTime")
        or event.get("firstTimestamp")
        or metadata.get("creationTimestamp")
        or ""
    )
    version = str(metadata.get("resourceVersion") or "")
    # Of two numbers the longer is the greater.
    return str(time)[:19], len(version), version
