"""Waiting for the start of a pod, without a connection of one's own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from time import monotonic
from typing import Final

from lab_storage._api.call import Call
from lab_storage._api.following.following import Following
from lab_storage._api.following.listeners import StartWaiter
from lab_storage._api.following.scope import Key
from lab_storage._api.pod_state import PodState
from lab_storage._api.request import list_of_one
from lab_storage._manifests.kinds import POD

# So long before the end, or a fifth of the time, the pod is looked at once more.
LAST_LOOK_SECONDS: Final = 2.0
# Where knowledge may not be old at all, a wait does not ask more often than this.
SHORTEST_LOOK_SECONDS: Final = 1.0
# Of a pod that has the labels, the watch tells within that time; of others it never does.
FOLLOWED_SECONDS: Final = 1.0


def wait_for_start(
    following: Following,
    call: Call,
    key: Key,
    fail_fast: Collection[str],
    explain: Callable[[PodState], str],
) -> StartWaiter | None:
    """Block until a pod has started, is gone, or waits for a reason to give up.

    `None` if there is a pod that has not the labels of those that are followed.

    Parameters
    ----------
    following
        What is known.
    call, key, fail_fast
        The call, the pod, and the reasons.
    explain
        Finds out, shortly before the end, why a pod has not started.

    Raises
    ------
    KubernetesError
        If the server refuses to say.
    OperationCancelledError, OperationTimeoutError
        If the call is over.
    """
    view = following.view
    request = list_of_one(POD, *key)
    waiter = StartWaiter(fail_fast, has_selector=view.scope.label_selector is not None)
    left = call.left()
    last_look_at = monotonic() + left - min(LAST_LOOK_SECONDS, left / 5)
    look_seconds = max(following.max_age_seconds, SHORTEST_LOOK_SECONDS)
    # What is known now may be older than what a write of this storage has changed. That there is
    # no pod ends the wait, and may be older than what somebody else has created since.
    began = monotonic()
    is_missing = following.find(call, key) is None
    has_looked_last = False
    followed_by = monotonic() + FOLLOWED_SECONDS
    texts: dict[str, str] = {}
    try:
        while True:
            now = monotonic()
            since = max(now - look_seconds, began) if is_missing else now - look_seconds
            if now >= last_look_at and not has_looked_last:
                has_looked_last, since = True, now
            waiter.bell.quiet()
            if not view.look_and_listen(key, since, waiter):
                following.ask(call, key, partial(float, since))
                continue
            if waiter.is_over or waiter.pod is None:
                return waiter
            is_followed = view.tells_of(key)
            if not is_followed and now >= followed_by:
                return None
            text = waiter.pod.why_it_waits
            if has_looked_last and text not in texts:
                texts[text] = explain(waiter.pod)
                continue
            call.wait_for(request, texts.get(text, text))
            proven = max(view.proof_of(key), since)
            ends = [proven + look_seconds - now, call.left()]
            if not has_looked_last:
                ends.append(last_look_at - now)
            if not is_followed:
                ends.append(followed_by - now)
            following.wait(call, waiter.bell.signal, max(min(ends), 0.0))
    finally:
        view.leave(waiter, key)
        call.settle(request, is_done=True)
