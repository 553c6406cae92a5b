"""Waits and changes by the one watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from lab_storage import (
    FAIL_FAST,
    KubernetesError,
    LabStorageError,
    LiveLabStorage,
    OperationCancelledError,
    OperationTimeoutError,
    PodChange,
    PodPhase,
    PodStartError,
    Timeout,
)
from lab_storage._api.following import feed
from lab_storage._api.following.waits import FOLLOWED_SECONDS
from lab_storage.testing import Silence
from tests.live.conftest import PATIENCE_SECONDS, LiveOf, World, eventually, names, read
from tests.support.labs import timeout_of

# Of such a wait the last fifth, in which it looks once more, is long enough on any machine.
LOOKS_LAST_SECONDS = 4.0


def container_waits(reason: str, message: str) -> dict[str, Any]:
    """The status of a pod whose container waits."""
    return {
        "containerStatuses": [
            {
                "name": "notebook",
                "image": "notebook:1",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": message}},
            }
        ]
    }


PULL_FAILED = container_waits("ErrImagePull", "no such image")


def listened_to(live: LiveLabStorage) -> list[Any]:
    """The pods that calls wait for; `None` for all."""
    return list(live._following().view._listeners)


@contextmanager
def waiting(
    live: LiveLabStorage, *users: str, timeout: Timeout | None = None, **options: Any
) -> Iterator[list[Future[PodPhase | None]]]:
    """Wait for the start of each user's pod in a thread of its own, all under way."""
    timeout = timeout or timeout_of(PATIENCE_SECONDS)
    for user in users:
        eventually(PodPhase.PENDING, partial(read, live, user))
    with ThreadPoolExecutor(len(users)) as threads:
        futures = [
            threads.submit(live.wait_for_pod_start, "lab", f"lab-{user}", timeout, **options)
            for user in users
        ]
        eventually(
            True,
            lambda: (
                sum(future.done() for future in futures)
                + sum(key is not None for key in listened_to(live))
                >= len(set(users))
            ),
        )
        try:
            yield futures
        finally:
            timeout.cancel()


def test_fifty_waits_have_one_connection_and_one_thread(world: World, live_of: LiveOf) -> None:
    """No wait has a request of its own, and all learn of their own pod's start."""
    users = [f"u{number:02}" for number in range(50)]
    world.make(*users)
    live = live_of()
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    before, threads = world.count(), threading.active_count()
    with waiting(live, *users) as waits:
        assert threads + 50 == threading.active_count()
        assert 1 == world.server.open_watches
        for user in users:
            world.say(user, "Running")
        assert {PodPhase.RUNNING} == {wait.result() for wait in waits}
    assert before == world.count()


@pytest.fixture
def gathering(world: World, live_of: LiveOf, monkeypatch: pytest.MonkeyPatch) -> LiveLabStorage:
    """A storage that knows two labs, and is letting more events come, for a long time."""
    world.make("ada")
    live = live_of()
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    # Not before: behind the first list, too, more events may be let come.
    monkeypatch.setattr(feed, "GATHERING_SECONDS", 10 * PATIENCE_SECONDS)
    world.make("bob")
    eventually(2, lambda: live.freshness.pods)
    return live


def test_events_are_gathered_until_somebody_waits(world: World, gathering: LiveLabStorage) -> None:
    """What nobody waits for is taken later, together; a wait is told at once."""
    world.make("eve")
    before = world.count(verb="list")
    assert 2 == gathering.freshness.pods
    with waiting(gathering, "ada") as waits:
        eventually(3, lambda: gathering.freshness.pods)
        for user in ("bob", "ada"):
            world.say(user, "Running")
        assert PodPhase.RUNNING == waits[0].result()
        assert PodPhase.RUNNING == read(gathering, "bob")
    assert before == world.count(verb="list")


def test_wait_believes_no_absence_from_before_it_began(
    world: World, gathering: LiveLabStorage
) -> None:
    """Another process may have created the pod meanwhile; one question tells."""
    world.make("eve")
    before = world.count(verb="list")
    assert 2 == gathering.freshness.pods
    timeout = timeout_of(PATIENCE_SECONDS)
    with ThreadPoolExecutor(1) as threads:
        wait = threads.submit(gathering.wait_for_pod_start, "lab", "lab-eve", timeout)
        eventually(True, lambda: wait.done() or ("lab-eve", "lab") in listened_to(gathering))
        world.say("eve", "Running")
        assert PodPhase.RUNNING == wait.result()
    assert gathering.wait_for_pod_start("lab", "lab-nobody", timeout) is None
    assert before + 2 == world.count(verb="list")


def test_close_ends_the_gathering_of_events(gathering: LiveLabStorage) -> None:
    """The thread is gone when `close` returns."""
    thread = gathering._following()._thread
    assert thread is not None
    gathering.close()
    assert not thread.is_alive()


def test_wait_ends_with_its_pod(world: World, live: LiveLabStorage) -> None:
    """Gone, replaced, never there: by UID."""
    world.make("ada", "bob")
    assert live.wait_for_pod_start("lab", "lab-eve", timeout_of(PATIENCE_SECONDS)) is None
    with waiting(live, "ada", "bob") as waits:
        world.delete("ada")
        world.delete("bob")
        world.create_pod("lab-bob")
        assert [None, None] == [wait.result() for wait in waits]


def test_first_state_that_counts_is_told(world: World, live: LiveLabStorage) -> None:
    """However quickly another one follows."""
    world.make("ada")
    with waiting(live, "ada") as waits:
        world.say("ada", "Running")
        world.say("ada", "Succeeded")
        assert PodPhase.RUNNING == waits[0].result()


def test_wait_fails_fast(world: World, live: LiveLabStorage) -> None:
    """By a reason that comes later, with what is behind it."""
    world.make("ada")
    with waiting(live, "ada", fail_fast=FAIL_FAST) as waits:
        world.say("ada", "Pending", **PULL_FAILED)
        with pytest.raises(PodStartError) as caught:
            waits[0].result()
    error = caught.value
    assert ("notebook", "ErrImagePull", "no such image") == (
        error.container,
        error.reason,
        error.message,
    )
    assert error.diagnosis is not None


def refused(message: str, **status: Any) -> dict[str, Any]:
    """The status of a pod that the scheduler has refused."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": f"0/1 nodes are available: {message}.",
    }
    return {"conditions": [condition], **status}


@pytest.mark.parametrize(
    "passing",
    [
        refused("pod has unbound immediate PersistentVolumeClaims"),
        refused("1 Insufficient cpu", nominatedNodeName="node-1"),
        container_waits(
            "CreateContainerConfigError",
            "services have not yet been read at least once, cannot construct envvars",
        ),
    ],
    ids=["claim", "preemption", "services"],
)
def test_what_passes_by_itself_does_not_fail_fast(
    world: World, live: LiveLabStorage, passing: dict[str, Any]
) -> None:
    """It is said of pods that start a moment later."""
    world.make("ada")
    with waiting(live, "ada", fail_fast=FAIL_FAST) as waits:
        world.say("ada", "Pending", **passing)
        world.say("ada", "Running")
        assert PodPhase.RUNNING == waits[0].result()


def test_timeout_says_what_the_pod_waits_for(world: World, live: LiveLabStorage) -> None:
    """As of the last look."""
    world.make("ada")
    world.say("ada", "Pending", **PULL_FAILED)
    eventually(PodPhase.PENDING, lambda: read(live, "ada"))
    with pytest.raises(OperationTimeoutError, match="notebook: ErrImagePull: no such image"):
        live.wait_for_pod_start("lab", "lab-ada", timeout_of(0.5))


def test_timeout_says_what_only_an_event_says(world: World, live: LiveLabStorage) -> None:
    """Where the pod's state says nothing."""
    world.make("ada")
    pod = world.core.read_namespaced_pod("lab", "lab-ada")
    event = {
        "metadata": {"name": "lab.1"},
        "involvedObject": {
            "kind": "Pod",
            "namespace": "lab-ada",
            "name": "lab",
            "uid": pod.metadata.uid,
        },
        "type": "Warning",
        "reason": "FailedMount",
        "message": "no such volume",
    }
    world.core.create_namespaced_event("lab-ada", event)
    eventually(PodPhase.PENDING, lambda: read(live, "ada"))
    with pytest.raises(OperationTimeoutError, match="FailedMount: no such volume"):
        live.wait_for_pod_start("lab", "lab-ada", timeout_of(LOOKS_LAST_SECONDS))


def test_timeout_reports_a_warning_and_not_what_goes_well(
    world: World, live: LiveLabStorage
) -> None:
    """The last of its warning events, as where each wait has a watch of its own."""
    world.make("ada")
    pod = world.core.read_namespaced_pod("lab", "lab-ada")
    about = {"kind": "Pod", "namespace": "lab-ada", "name": "lab", "uid": pod.metadata.uid}
    for number, (kind, reason) in enumerate([("Warning", "Odd"), ("Normal", "Pulled")]):
        event = {
            "metadata": {"name": f"lab.{number}"},
            "involvedObject": about,
            "type": kind,
            "reason": reason,
            "message": "as it is",
            "lastTimestamp": f"2100-01-01T00:00:0{number}Z",
        }
        world.core.create_namespaced_event("lab-ada", event)
    eventually(PodPhase.PENDING, lambda: read(live, "ada"))
    with pytest.raises(OperationTimeoutError) as caught:
        live.wait_for_pod_start("lab", "lab-ada", timeout_of(LOOKS_LAST_SECONDS))
    assert str(caught.value.last).endswith("; Odd: as it is")


def test_cancel_ends_a_wait(world: World, live: LiveLabStorage) -> None:
    """Soon, and by its own error."""
    world.make("ada")
    timeout = timeout_of(PATIENCE_SECONDS)
    with waiting(live, "ada", timeout=timeout) as waits:
        cancelled = time.monotonic()
        timeout.cancel()
        with pytest.raises(OperationCancelledError):
            waits[0].result()
        assert time.monotonic() - cancelled < 0.25


def test_silent_watch_does_not_make_a_wait_wrong(world: World, live: LiveLabStorage) -> None:
    """Before it times out, a wait looks at its pod once more."""
    world.make("ada")
    eventually(PodPhase.PENDING, lambda: read(live, "ada"))
    world.server.silence_watches()
    world.server.add_fault(Silence(), verb="watch", resource="pods", times=None)
    with waiting(live, "ada", timeout=timeout_of(1.5)) as waits:
        world.say("ada", "Running")
        assert PodPhase.RUNNING == waits[0].result()


def test_wait_looks_again_once_its_knowledge_is_old(world: World, live_of: LiveOf) -> None:
    """Long before its deadline."""
    world.make("ada")
    live = live_of(max_age=1.0)
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    world.server.add_fault(Silence(), verb="watch", resource="pods", times=None)
    world.server.silence_watches()
    with waiting(live, "ada", timeout=timeout_of(60)) as waits:
        written = time.monotonic()
        world.say("ada", "Running")
        assert PodPhase.RUNNING == waits[0].result()
        assert time.monotonic() - written < 5


def test_pod_outside_is_waited_for_by_itself(world: World, live: LiveLabStorage) -> None:
    """As a `LabStorage` does."""
    world.core.create_namespace({"metadata": {"name": "other"}})
    world.create_pod("other")
    with ThreadPoolExecutor(1) as threads:
        timeout = timeout_of(PATIENCE_SECONDS)
        wait = threads.submit(live.wait_for_pod_start, "lab", "other", timeout)
        eventually(2, lambda: world.server.open_watches)
        body = {"status": {"phase": "Running"}}
        world.core.patch_namespaced_pod_status("lab", "other", body)
        assert PodPhase.RUNNING == wait.result()


def test_pod_without_the_labels_is_waited_for_by_itself(world: World, live_of: LiveOf) -> None:
    """Also one that loses them: no state is missed, however briefly it lasts."""
    world.make("ada")
    world.make("bob", app="lab")
    live = live_of(label_selector="app=lab")
    with waiting(live, "ada", "bob") as waits:
        eventually(2, lambda: world.server.open_watches)
        body = {"metadata": {"labels": {"app": "none"}}}
        world.core.patch_namespaced_pod("lab", "lab-bob", body)
        eventually(3, lambda: world.server.open_watches)
        for user in ("ada", "bob"):
            world.say(user, "Running")
            world.say(user, "Succeeded")
        assert [PodPhase.RUNNING] * 2 == [wait.result() for wait in waits]


def test_pod_with_the_labels_is_waited_for_without_a_watch_of_its_own(
    world: World, live_of: LiveOf
) -> None:
    """Though the wait began before the watch told of it."""
    live = live_of(label_selector="app=lab")
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    world.make("ada", app="lab")
    with waiting(live, "ada") as waits:
        eventually(1, lambda: live.freshness.pods)
        time.sleep(1.2 * FOLLOWED_SECONDS)
        assert 1 == world.server.open_watches
        world.say("ada", "Running")
        assert PodPhase.RUNNING == waits[0].result()


def uid_of(world: World, user: str) -> str:
    """The UID of a user's pod."""
    return str(world.core.read_namespaced_pod("lab", f"lab-{user}").metadata.uid)


def test_changes_are_told(world: World, live: LiveLabStorage) -> None:
    """What exists, then each change of a phase, with what was told last."""
    world.make("ada")
    ada = uid_of(world, "ada")
    eventually(1, lambda: live.freshness.pods)
    changes = live.changes(timeout_of(PATIENCE_SECONDS))
    pending, running = PodPhase.PENDING, PodPhase.RUNNING
    assert PodChange("lab-ada", "lab", ada, pending, None) == next(changes)
    world.say("ada", "Running")
    assert PodChange("lab-ada", "lab", ada, running, pending) == next(changes)
    world.make("bob")
    bob = uid_of(world, "bob")
    assert PodChange("lab-bob", "lab", bob, pending, None) == next(changes)
    world.delete("ada")
    assert PodChange("lab-ada", "lab", ada, None, running) == next(changes)
    changes.close()
    assert [] == list(changes)


def test_pod_that_is_replaced_is_told_as_gone_first(world: World, live: LiveLabStorage) -> None:
    """Also to a reader that is slow, who misses all between."""
    world.make("ada")
    first = uid_of(world, "ada")
    eventually(1, lambda: live.freshness.pods)
    changes = live.changes(timeout_of(PATIENCE_SECONDS))
    pending = PodPhase.PENDING
    assert PodChange("lab-ada", "lab", first, pending, None) == next(changes)
    for _ in range(5):
        world.delete("ada")
        world.create_pod("lab-ada")
    last = uid_of(world, "ada")
    eventually([last], lambda: [pod.uid for pod in live._following().view.pods()])
    assert PodChange("lab-ada", "lab", first, None, pending) == next(changes)
    assert PodChange("lab-ada", "lab", last, pending, None) == next(changes)
    changes.close()


def test_changes_end_as_events_do(world: World, live: LiveLabStorage) -> None:
    """A cancel ends the loop, the deadline raises."""
    timeout = timeout_of(PATIENCE_SECONDS)
    threading.Timer(0.2, timeout.cancel).start()
    assert [] == list(live.changes(timeout))
    with pytest.raises(OperationTimeoutError):
        list(live.changes(timeout_of(0.2)))


def test_changes_outlive_a_silent_watch(world: World, live_of: LiveOf) -> None:
    """It is given up after as long as knowledge may be old."""
    world.make("ada")
    live = live_of(max_age=2.0)
    changes = live.changes(timeout_of(PATIENCE_SECONDS))
    assert PodPhase.PENDING == next(changes).phase
    world.server.silence_watches()
    world.say("ada", "Running")
    began = time.monotonic()
    assert PodPhase.RUNNING == next(changes).phase
    assert time.monotonic() - began < 5
    changes.close()


def test_changes_of_a_refused_watch_raise(world: World, live_of: LiveOf) -> None:
    """Nobody would ever tell of any."""
    world.server.forbid(user="lab", verb="watch", resource="pods")
    with pytest.raises(KubernetesError) as caught:
        next(live_of().changes(timeout_of(PATIENCE_SECONDS)))
    assert 403 == caught.value.status


def test_close_ends_what_is_under_way(world: World, live: LiveLabStorage) -> None:
    """Waits and loops end at once, nothing is left, and the next call starts anew."""
    world.make("ada")
    changes = live.changes(timeout_of(PATIENCE_SECONDS))
    assert PodPhase.PENDING == next(changes).phase
    with waiting(live, "ada") as waits:
        live.close()
        with pytest.raises(LabStorageError, match="closed"):
            waits[0].result()
    with pytest.raises(LabStorageError, match="closed"):
        next(changes)
    eventually(0, lambda: world.server.open_watches)
    assert [] == [each for each in threading.enumerate() if each.name == "lab_storage-pods"]
    assert PodPhase.PENDING == live.read_pod_phase(names("ada"), timeout_of(PATIENCE_SECONDS))


def test_changes_begin_with_what_is_not_old(world: World, live_of: LiveOf) -> None:
    """Also where the watch has failed long before the loop begins."""
    world.make("ada")
    live = live_of(max_age=1.0)
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    world.server.forbid(user="lab", verb="watch", resource="pods")
    eventually(True, lambda: live._following().health.refusal is not None)
    world.say("ada", "Running")
    eventually(False, lambda: live.freshness.is_synced)
    changes = live.changes(timeout_of(PATIENCE_SECONDS))
    assert PodPhase.RUNNING == next(changes).phase
    changes.close()


def test_changes_begin_with_what_others_were_told(world: World, live: LiveLabStorage) -> None:
    """The server was asked, meanwhile, by a method that leaves the memory alone."""
    world.make("ada")
    eventually(1, lambda: live.freshness.pods)
    world.server.silence_watches()
    world.say("ada", "Running")
    assert live.read_pod_diagnosis(names("ada"), timeout_of(PATIENCE_SECONDS)) is not None
    changes = live.changes(timeout_of(PATIENCE_SECONDS))
    assert PodPhase.RUNNING == next(changes).phase
    changes.close()
