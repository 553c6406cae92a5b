"""The events of one pod, by the watch that all loops share."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime, timezone
from time import monotonic
from typing import Any

from lab_storage._api.answer import Answer, mappings_at
from lab_storage._api.call import Call
from lab_storage._api.changes import ADDED, Change
from lab_storage._api.following.following import Following
from lab_storage._api.following.health import refusal_for
from lab_storage._api.following.listeners import PodSeeker
from lab_storage._api.following.scope import Key
from lab_storage._api.pod_state import PodState
from lab_storage._api.request import list_of_one
from lab_storage._api.versions import is_object
from lab_storage._manifests.kinds import POD

SHORTEST_LOOK_SECONDS = 1.0


def await_pod(following: Following, call: Call, key: Key) -> PodState:
    """Block until there is a pod of that name.

    Raises
    ------
    KubernetesError
        If the server refuses to say.
    OperationCancelledError, OperationTimeoutError
        If the call is over.
    """
    found = following.find(call, key)
    request = list_of_one(POD, *key)
    seeker = PodSeeker()
    look_seconds = max(following.max_age_seconds, SHORTEST_LOOK_SECONDS)
    try:
        while found is None:
            call.wait_for(request, f"there is no pod {key[0]}/{key[1]} yet")
            seeker.bell.quiet()
            since = monotonic() - look_seconds
            if not following.view.look_and_listen(key, since, seeker):
                found = following.ask(call, key, lambda: monotonic() - look_seconds)
                continue
            found = seeker.pod
            if found is None:
                seconds = min(look_seconds, call.left())
                following.wait(call, seeker.bell.signal, seconds)
                found = seeker.pod
    finally:
        following.view.leave(seeker, key)
        call.settle(request, is_done=True)
    return found


def follow_events(
    following: Following, call: Call, key: Key, order: Callable[[dict[str, Any]], Any]
) -> Generator[Change, None, None]:
    """Yield the events of all pods of a name: those that exist, in order, and those that come.

    What exists is listed once the shared watch is open, so that nothing falls between; and again
    whenever it has begun anew. So an event may come twice.

    Raises
    ------
    KubernetesError
        If the server refuses the list or the watch.
    OperationCancelledError, OperationTimeoutError
        If the call is over.
    """
    desk = following.desk
    reader = desk.join(key)
    request = desk.request(*key)
    try:
        while True:
            # Who has the loop may have forked.
            following.check()
            reader.bell.quiet()
            events = []
            if reader.must_list:
                reader.must_list = False
                content = call.request(request, Answer.read_list)
                events = [each for each in mappings_at(content, "items") if is_object(each)]
                events.sort(key=order)
            events += reader.take()
            for event in events:
                yield Change(ADDED, event)
            health = desk.health
            if health is not None and health.refusal is not None:
                raise refusal_for(call, health.refusal)
            if not events:
                text = None if health is None else health.last_failure
                signal = reader.bell.signal
                if health is not None:
                    health.add(signal)
                try:
                    following.wait(call, signal, call.left(), text)
                finally:
                    if health is not None:
                        health.remove(signal)
    finally:
        if following.is_here:
            desk.leave(key, reader)


def as_object(pod: PodState) -> dict[str, Any]:
    """What a pod's events are compared with: its metadata, as the server writes it."""
    created = datetime.fromtimestamp(pod.created or 0, timezone.utc)
    return {
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
            "creationTimestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    }
