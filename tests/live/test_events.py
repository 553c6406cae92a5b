"""The events of all labs' pods by one watch, while somebody listens."""

from __future__ import annotations

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab_storage import (
    KubernetesError,
    LabStorageError,
    LiveLabStorage,
    OperationTimeoutError,
    PodPhase,
)
from tests.live.conftest import PATIENCE_SECONDS, LiveOf, World, eventually, read
from tests.support.labs import timeout_of


def say(world: World, user: str, message: str, name: str | None = None, count: int = 1) -> None:
    """Write an event of a pod, or write it once more."""
    pod = world.core.read_namespaced_pod("lab", f"lab-{user}")
    involved = {"kind": "Pod", "namespace": f"lab-{user}", "name": "lab", "uid": pod.metadata.uid}
    name = name or f"lab.{abs(hash(message)):x}"
    event = {
        "metadata": {"name": name},
        "involvedObject": involved,
        "message": message,
        "count": count,
    }
    if count == 1:
        world.core.create_namespaced_event(f"lab-{user}", event)
    else:
        world.core.patch_namespaced_event(name, f"lab-{user}", {"count": count})


def hear(loop: Generator[str, None, None]) -> str:
    """Give the next message that is a test's, and no component's."""
    return next(message for message in loop if message.startswith("test"))


def listen(live: LiveLabStorage, user: str) -> Generator[str, None, None]:
    """Loop over the events of a user's pod."""
    return live.watch_pod_events("lab", f"lab-{user}", timeout_of(PATIENCE_SECONDS))


def listeners() -> int:
    """How many threads listen to events."""
    return sum(thread.name == "lab_storage-events" for thread in threading.enumerate())


def watches(world: World) -> int:
    """How many watches of events were opened."""
    return sum(
        request.verb == "watch" and request.resource == "events"
        for request in world.server.requests
    )


def test_loops_share_a_watch(world: World, live: LiveLabStorage) -> None:
    """Each gets the events of its own pod, those that exist first; the last closes the watch."""
    users = [f"u{number}" for number in range(5)]
    world.make(*users)
    for user in users:
        eventually(PodPhase.PENDING, lambda user=user: read(live, user))
        say(world, user, f"test old {user}")
    loops = [listen(live, user) for user in users]
    for user, loop in zip(users, loops, strict=True):
        assert f"test old {user}" == hear(loop)
    assert (1, 2) == (listeners(), world.server.open_watches)
    for user, loop in zip(users, loops, strict=True):
        say(world, user, f"test new {user}")
        assert f"test new {user}" == hear(loop)
    for loop in loops:
        loop.close()
    eventually(0, listeners)
    eventually(1, lambda: world.server.open_watches)


def test_repeated_event_is_told_for_each_count(world: World, live: LiveLabStorage) -> None:
    """And a watch that begins anew repeats none."""
    world.make("ada")
    eventually(PodPhase.PENDING, lambda: read(live, "ada"))
    say(world, "ada", "test pulling", "lab.1")
    loop = listen(live, "ada")
    assert "test pulling" == hear(loop)
    say(world, "ada", "test pulling", "lab.1", count=2)
    assert "test pulling" == hear(loop)
    world.server.compact()
    world.server.reset_watches()
    say(world, "ada", "test pulled", "lab.2")
    assert "test pulled" == hear(loop)
    loop.close()


def test_loop_may_begin_before_its_pod(world: World, live: LiveLabStorage) -> None:
    """The first pod that appears is followed."""
    world.core.create_namespace({"metadata": {"name": "lab-ada"}})
    with ThreadPoolExecutor(1) as threads:
        loop = listen(live, "ada")
        first = threads.submit(hear, loop)
        world.create_pod("lab-ada")
        say(world, "ada", "test hello")
        assert "test hello" == first.result()
        loop.close()


def test_no_pod_is_what_a_timeout_reports(world: World, live: LiveLabStorage) -> None:
    """By its name."""
    with pytest.raises(OperationTimeoutError, match="there is no pod lab-eve/lab yet"):
        next(live.watch_pod_events("lab", "lab-eve", timeout_of(0.3)))


def test_loop_is_closed_from_another_thread(world: World, live: LiveLabStorage) -> None:
    """While it waits."""
    world.make("ada")
    eventually(0, listeners)
    eventually(PodPhase.PENDING, lambda: read(live, "ada"))
    loop = listen(live, "ada")
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(list, loop)
        eventually(1, listeners)
        loop.close()
        assert [] == ended.result()
    eventually(0, listeners)


def test_events_that_may_not_be_read_are_an_error(world: World, live_of: LiveOf) -> None:
    """As with a `LabStorage`."""
    world.make("ada")
    world.server.forbid(user="lab", resource="events")
    live = live_of()
    eventually(PodPhase.PENDING, lambda: read(live, "ada"))
    with pytest.raises(KubernetesError) as caught:
        next(listen(live, "ada"))
    assert 403 == caught.value.status


def test_closed_storage_leaves_no_watch_for_a_loop_that_stands_still(
    world: World, live: LiveLabStorage
) -> None:
    """A loop may be left by ``break``, and kept."""
    world.make("ada")
    eventually(PodPhase.PENDING, lambda: read(live, "ada"))
    say(world, "ada", "test")
    loop = listen(live, "ada")
    assert "test" == hear(loop)
    live.close()
    assert 0 == listeners()
    eventually(0, lambda: world.server.open_watches)
    with pytest.raises(LabStorageError, match="closed"):
        list(loop)
