"""The parts that follow pods, each by itself: memory, thread, and questions."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import pytest
import structlog

from lab_storage import KubernetesError, PodPhase
from lab_storage._api.answer import TransientError
from lab_storage._api.call import Call
from lab_storage._api.following import feed as _feed
from lab_storage._api.following.asking import MANY, Asker
from lab_storage._api.following.feed import Feed
from lab_storage._api.following.guard import Guard
from lab_storage._api.following.health import Health
from lab_storage._api.following.listeners import ChangeReader, StartWaiter
from lab_storage._api.following.scope import Key, Scope
from lab_storage._api.following.view import UNKNOWN, View
from lab_storage._api.pod_source import Listed
from lab_storage._api.pod_state import PodEvent, PodState
from lab_storage.exceptions import OperationCancelledError
from tests.support.labs import timeout_of

KEY = "lab-ada", "lab"


def pod(version: int) -> PodState:
    """A pod that runs."""
    return PodState(*KEY, "u1", version, None, False, PodPhase.RUNNING, False)


def test_what_a_question_found_is_listed_and_told_before_the_watch_says_it() -> None:
    """Who was told that there is a pod is not told, afterwards, that there is none."""
    view, reader = View(Scope("lab-")), ChangeReader()
    view.replace([], 5, 0.0)
    view.listen(reader)
    view.learn(KEY, pod(7), 8, 1.0)
    assert 1 == len(view)
    assert [KEY] == [(each.namespace, each.name) for each in view.pods("lab-")]
    assert [PodPhase.RUNNING] == [told.phase for told in reader.changes()]
    view.learn(KEY, None, 9, 2.0)
    assert 0 == len(view)
    assert [None] == [told.phase for told in reader.changes()]


def test_pod_that_a_list_no_longer_selects_is_not_believed_to_be_followed() -> None:
    """Though it was asked for after that list was made, and is there: it has other labels."""
    view, reader = View(Scope("lab-", label_selector="app=lab")), ChangeReader()
    view.replace([pod(5)], 10, 0.0)
    view.listen(reader)
    assert [PodPhase.RUNNING] == [told.phase for told in reader.changes()]
    view.learn(KEY, pod(17), 18, 2.0)
    view.replace([], 16, 1.0)
    assert [None] == [told.phase for told in reader.changes()]
    assert isinstance(view.look(KEY, 2.0), PodState)
    # Of what becomes of it now, the watch tells nothing.
    view.mark(30, 3.0)
    view.hear(PodEvent("BOOKMARK", 30))
    assert view.look(KEY, 3.0) is UNKNOWN


def test_late_answer_does_not_count_once_its_pod_is_not_selected_any_more() -> None:
    """Others were told a newer state, before its labels were taken away."""
    view = View(Scope("lab-", label_selector="app=lab"))
    view.replace([pod(5)], 10, 0.0)
    view.hear(PodEvent("MODIFIED", 11, pod(11)))
    view.hear(PodEvent("DELETED", 12, pod(12)))
    view.learn(KEY, pod(5), 10, 1.0)
    assert view.look(KEY, 1.0) is UNKNOWN
    view.learn(KEY, pod(12), 13, 2.0)
    assert isinstance(view.look(KEY, 2.0), PodState)


def test_who_leaves_without_having_waited_holds_nobody_up() -> None:
    """The thread that gathers events learns of the next wait at once."""
    view, waiter = View(Scope("lab-")), StartWaiter((), has_selector=False)
    view.replace([], 5, 0.0)
    hurry = view.hurry
    view.leave(waiter, KEY)
    view.leave(ChangeReader())
    assert view.look_and_listen(KEY, 0.0, waiter)
    assert hurry.wait(0)
    view.leave(waiter, KEY)
    assert not view.hurry.wait(0)


def test_leaving_costs_no_more_where_many_wait() -> None:
    """Thousands of waits that end together do not count each other."""
    view = View(Scope("lab-"))
    view.replace([], 5, 0.0)
    waits: list[tuple[StartWaiter, Key]] = [
        (StartWaiter((), has_selector=False), (f"lab-{number}", "lab")) for number in range(1000)
    ]
    for waiter, key in waits:
        assert view.look_and_listen(key, 0.0, waiter)
    tracemalloc.start()
    try:
        view.leave(*waits[0])
        # A set of all that are left would take 32 kB.
        assert tracemalloc.get_traced_memory()[1] < 4096
    finally:
        tracemalloc.stop()


def test_loop_that_is_collected_as_garbage_waits_for_nothing() -> None:
    """Not even in the thread that tells it of a change just then."""
    view, other = View(Scope("lab-")), ChangeReader()
    view.replace([], 5, 0.0)

    class Forgotten(ChangeReader):
        """Ends wherever it is told of something."""

        def see(self, key: Key, pod: PodState | None) -> None:
            """Leave, as in a collection that comes while the lock is held."""
            del key, pod
            view.leave(self)

    view.listen(Forgotten())
    view.listen(other)
    thread = threading.Thread(target=view.replace, args=([pod(7)], 8, 1.0), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert [PodPhase.RUNNING] == [told.phase for told in other.changes()]
    assert [other] == list(view._listeners[None])


def test_what_is_left_to_the_holder_of_a_lock_is_done_when_it_is_released() -> None:
    """Once, in order, and never at the same time."""
    guard, done = Guard(), []
    with guard:
        for number in range(3):
            guard.leave(lambda number=number: done.append(number))  # type: ignore[misc]
        assert [] == done
    assert [0, 1, 2] == done
    guard.leave(lambda: guard.leave(lambda: done.append(3)))
    assert [0, 1, 2, 3] == done


class RestoredServer:
    """Has forgotten the latest versions: it has come from a backup."""

    def __init__(self) -> None:
        self.now = 0.0

    def name_version(self, call: Any) -> Listed:
        """Name a version that is older than what was known."""
        del call
        return Listed([], 4, self.now)

    def list_once(self, call: Any) -> Listed:
        """List nothing, as of that version."""
        return self.name_version(call)


class RestoredCall:
    """Lets time pass in place of a pause, and is cancelled after two minutes."""

    def __init__(self, server: RestoredServer) -> None:
        self._server = server

    def part(self) -> RestoredCall:
        """Itself."""
        return self

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._server.now += max(seconds, 1.0)
        if self._server.now > 120:
            raise OperationCancelledError("Following", None)


def test_older_version_of_now_proves_nothing() -> None:
    """A server that was restored from a backup is believed after a minute, and not at once."""
    server = RestoredServer()
    call: Any = RestoredCall(server)
    source: Any = server
    view = View(Scope("lab-"), lambda: server.now)
    proofs: list[float] = []

    class Watched(Feed):
        def _round(self, call: Any) -> None:
            try:
                super()._round(call)
            finally:
                proofs.append(view.proven)

        def _resume(self, call: Any) -> Any:
            del call
            if view.version == 4:
                raise OperationCancelledError("Following", None)
            raise TransientError("Too large resource version", 504)

    feed = Watched(call, source, view, Health(lambda _: None), 10.0, lambda: server.now)
    view.replace([pod(5)], 5, 0.0)
    server.now = 1.0
    feed._must_list = feed._streams_lists = feed._is_hurried = False
    feed.run()
    assert {0.0} == set(proofs[:-1])
    assert proofs[-1] > _feed.RESTORED_SECONDS
    assert 0 == len(view)


def test_list_that_a_question_has_overtaken_is_no_failure() -> None:
    """The watch goes on from what the question's own list has told."""
    view, health = View(Scope("lab-")), Health(lambda text: pytest.fail(text))
    call: Any = RestoredCall(RestoredServer())
    resumed: list[int] = []

    class Slow:
        """Lists so slowly that somebody else's list, sent later, is there first."""

        def list_once(self, call: Any) -> Listed:
            """List the pod as it was."""
            del call
            view.replace([pod(7)], 8, 1.0)
            return Listed([pod(5)], 6, 0.0)

    class Watched(Feed):
        def _resume(self, call: Any) -> Any:
            del call
            resumed.append(self._view.version)
            raise OperationCancelledError("Following", None)

    source: Any = Slow()
    feed = Watched(call, source, view, health, 10.0)
    feed._streams_lists = False
    feed.run()
    assert [8] == resumed
    assert [7] == [each.version for each in view.pods()]


class ThrowingLock:
    """A lock after which something is thrown into the thread, once there is a question."""

    def __init__(self, asker: Asker) -> None:
        self._lock = threading.Lock()
        self._asker = asker
        self._has_thrown = False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        self._lock.release()
        if self._asker._under_way and not self._has_thrown:
            self._has_thrown = True
            raise KeyboardInterrupt


def call_of(seconds: float) -> Call:
    """A call of so many seconds, which sends nothing."""
    client: Any = None
    return Call(client, timeout_of(seconds), structlog.get_logger())


def test_question_whose_asker_was_interrupted_holds_nobody() -> None:
    """Whenever a signal's handler raises."""

    class Source:
        def find(self, *_: Any, **__: Any) -> Listed:
            return Listed([pod(7)], 8, 2.0)

    source: Any = Source()
    view = View(Scope("lab-"), lambda: 0.0)
    asker = Asker(source, view, 10.0, lambda: 0.0)
    lock: Any = ThrowingLock(asker)
    asker._lock = lock

    call = call_of(5)
    with pytest.raises(KeyboardInterrupt):
        asker.ask(call, KEY, lambda: 1.0)
    assert {} == asker._under_way
    found = asker.ask(call, KEY, lambda: 1.0)
    assert found is not None
    assert PodPhase.RUNNING == found.phase


class BusyServer:
    """Answers a question about one pod, and has no time for a list, at first."""

    def __init__(self, refusals: int) -> None:
        self.finds = 0
        self.lists = 0
        self.is_asked, self.may_answer = threading.Event(), threading.Event()
        self._refusals = refusals

    def find(self, *_: Any, **__: Any) -> Listed:
        """Answer."""
        self.finds += 1
        return Listed([pod(7)], 8, 2.0)

    def list_all(self, *_: Any, **__: Any) -> Listed:
        """Refuse, for longer than the call has time."""
        self.lists += 1
        self.is_asked.set()
        self.may_answer.wait(5)
        if self.lists > self._refusals:
            return Listed([pod(9)], 9, 1000.0)
        raise KubernetesError("too many requests", status=429)


def test_server_that_has_no_time_for_a_list_is_not_asked_for_each_pod() -> None:
    """It would have thousands of requests in the place of one."""
    server = BusyServer(1000)
    server.may_answer.set()
    source: Any = server
    asker = Asker(source, View(Scope("lab-"), lambda: 0.0), 10.0, lambda: 0.0)
    asker._asked.extend([0.0] * MANY)
    for _ in range(3):
        with pytest.raises(KubernetesError):
            asker.ask(call_of(5), KEY, lambda: 1.0)
    assert (0, 3) == (server.finds, server.lists)


def test_refusal_of_who_has_no_time_is_not_that_of_who_has() -> None:
    """Who waits for the same answer with more time asks once more; with less, he does not."""
    server = BusyServer(1)
    source: Any = server
    view = View(Scope("lab-"), lambda: 0.0)
    asker = Asker(source, view, 10.0, lambda: 0.0)
    with ThreadPoolExecutor(3) as threads:
        leader = threads.submit(asker.ask_for_all, call_of(5), lambda: 1.0)
        assert server.is_asked.wait(5)
        shorter = threads.submit(asker.ask_for_all, call_of(4), lambda: 1.0)
        longer = threads.submit(asker.ask_for_all, call_of(60), lambda: 1.0)
        [flight] = asker._under_way.values()
        while len(flight._signals) < 2:
            assert not shorter.done()
        server.may_answer.set()
        for future in (leader, shorter):
            assert isinstance(future.exception(), KubernetesError)
        assert longer.exception() is None
    assert 2 == server.lists


def test_answer_about_a_pod_that_is_not_followed_is_as_new_as_the_watch() -> None:
    """A server that lags behind is asked again, wherever the pod is."""
    asked: list[int] = []

    class Server:
        """Answers with what it has to know at least."""

        def find(self, *_: Any, known_version: Callable[[], int], **options: Any) -> Listed:
            """Have no pod."""
            del options
            asked.append(known_version())
            return Listed([], 20, 1.0)

    source: Any = Server()
    view = View(Scope("other-"), lambda: 0.0)
    view.replace([], 10, 0.0)
    asker = Asker(source, view, 10.0, lambda: 0.0)
    assert asker.ask(call_of(5), KEY, lambda: 1.0) is None
    assert [10] == asked
