"""The caller's hook for credentials: one call serves all who wait, and a call can leave it."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lab_storage import (
    KubernetesError,
    LabStorage,
    OperationCancelledError,
    OperationTimeoutError,
    PodPhase,
)
from lab_storage._transport import background, credentials
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase, wait_for
from tests.support.villain import Villain, json_answer

CALLERS = 30


class Plugin:
    """A hook that takes until it is released, and gives a new token each time."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.configurations: list[Any] = []
        self.at_once = 0
        self.most_at_once = 0
        self.entered = threading.Event()
        self.released = threading.Event()

    def __call__(self, configuration: Any) -> None:
        """Give a new token, once released."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.threads.append(threading.current_thread().name)
        self.configurations.append(configuration)
        self.entered.set()
        self.released.wait(30)
        configuration.api_key["authorization"] = f"Bearer {len(self.threads)}"
        self.at_once -= 1


@pytest.fixture
def plugin() -> Iterator[Plugin]:
    """A hook that is released at the end, if not before."""
    hook = Plugin()
    yield hook
    hook.released.set()


@pytest.fixture
def villain() -> Iterator[Villain]:
    """It answers."""
    with Villain(json_answer(PENDING)) as server:
        yield server


def waiting_for(key_count: int) -> Callable[[], bool]:
    """Whether so many callers wait for the hooks that are running."""

    def condition() -> bool:
        runs = list(credentials._background._runs.values())
        return sum(len(run.waiting) for run in runs) == key_count

    return condition


def test_one_call_serves_all_who_wait(
    plugin: Plugin, villain: Villain, storage_of: StorageOf
) -> None:
    """Thirty threads with an expired token start one plugin."""
    storage = storage_of(villain, refresh_api_key_hook=plugin)
    with ThreadPoolExecutor(CALLERS) as threads:
        asked = [threads.submit(read_phase, storage, timeout_of(20)) for _ in range(CALLERS)]
        wait_for(waiting_for(CALLERS))
        calls = len(plugin.threads)
        plugin.released.set()
        phases = {each.result() for each in asked}

    assert (1, {PodPhase.PENDING}) == (calls, phases)
    assert {"Bearer 1"} == {each.headers["authorization"] for each in villain.requests}


def test_it_is_called_by_one_thread_at_a_time_with_one_configuration(
    plugin: Plugin, villain: Villain, storage_of: StorageOf
) -> None:
    """Which is the library's own."""
    plugin.released.set()
    storage = storage_of(villain, refresh_api_key_hook=plugin)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(read_phase, storage, timeout_of(20)) for _ in range(64)]
        phases = {each.result() for each in asked}

    assert ({PodPhase.PENDING}, 1) == (phases, plugin.most_at_once)
    assert 1 == len({id(each) for each in plugin.configurations})


def test_call_that_leaves_it_says_so_and_the_next_has_its_result(
    plugin: Plugin, villain: Villain, storage_of: StorageOf
) -> None:
    """The hook goes on, and is not started again."""
    storage = storage_of(villain, refresh_api_key_hook=plugin)
    for _ in range(2):
        with pytest.raises(OperationTimeoutError, match="waiting for refresh_api_key_hook"):
            read_phase(storage, timeout_of(0.05))
    plugin.released.set()

    assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
    tokens = [each.headers["authorization"] for each in villain.requests]
    assert len(tokens) == 1
    assert len(plugin.threads) <= 2


def test_cancel_leaves_it(plugin: Plugin, villain: Villain, storage_of: StorageOf) -> None:
    """And nobody else who waits for it."""
    storage = storage_of(villain, refresh_api_key_hook=plugin)
    timeout = timeout_of(20)
    with ThreadPoolExecutor(2) as threads:
        cancelled = threads.submit(read_phase, storage, timeout)
        other = threads.submit(read_phase, storage, timeout_of(20))
        wait_for(waiting_for(2))
        timeout.cancel()
        error = cancelled.exception(5)
        plugin.released.set()

        assert isinstance(error, OperationCancelledError)
        assert PodPhase.PENDING is other.result()


def test_it_sees_what_the_caller_has_bound(villain: Villain, storage_of: StorageOf) -> None:
    """Context variables are those of the thread that asks."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")
    seen = []
    variable.set("jovyan")
    storage = storage_of(villain, refresh_api_key_hook=lambda _: seen.append(variable.get()))
    read_phase(storage, timeout_of(5))

    assert ["jovyan"] == seen


def test_its_own_mistakes_reach_each_caller(villain: Villain, storage_of: StorageOf) -> None:
    """As what they are, with the place where they were made."""

    def hook(configuration: Any) -> None:
        configuration.api_key["authorisation"].upper()

    storage = storage_of(villain, refresh_api_key_hook=hook)
    depths = []
    for _ in range(3):
        with pytest.raises(KeyError, match="authorisation") as caught:
            read_phase(storage, timeout_of(5))
        depths.append(len(caught.traceback))
        assert hook.__name__ == caught.traceback[-1].name

    assert 1 == len({*depths})
    assert [] == villain.requests


def test_its_time_limit_is_a_failure_to_refresh(villain: Villain, storage_of: StorageOf) -> None:
    """A `TimeoutError` of the hook's own is not the call's."""

    def hook(_: Any) -> None:
        raise TimeoutError("the token service does not answer")

    storage = storage_of(villain, refresh_api_key_hook=hook)
    with pytest.raises(KubernetesError, match="could not be refreshed: TimeoutError: the token"):
        read_phase(storage, timeout_of(5))


def test_it_runs_in_the_callers_thread_where_there_is_no_other(
    plugin: Plugin, villain: Villain, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a container's limit, or at the end of the interpreter."""
    wait_for(lambda: not [each for each in threading.enumerate() if "credentials" in each.name])
    monkeypatch.setattr(background, "start_thread", lambda _: False)
    plugin.released.set()
    storage = storage_of(villain, refresh_api_key_hook=plugin)

    assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
    assert [threading.current_thread().name] == plugin.threads


def test_other_storages_do_not_wait_for_it(
    plugin: Plugin, villain: Villain, storage_of: StorageOf
) -> None:
    """One cluster's plugin that hangs is not another's."""
    blocked = storage_of(villain, refresh_api_key_hook=plugin)
    healthy = storage_of(villain, refresh_api_key_hook=lambda _: None)
    with ThreadPoolExecutor(1) as threads:
        timeout = timeout_of(20)
        asked = threads.submit(read_phase, blocked, timeout)
        assert plugin.entered.wait(5)
        phase = read_phase(healthy, timeout_of(5))
        timeout.cancel()

        assert PodPhase.PENDING is phase
        assert isinstance(asked.exception(5), OperationCancelledError)


def test_what_it_has_set_stays_until_the_caller_changes_its_own(
    villain: Villain, logger: Any
) -> None:
    """Also the rest of the configuration, such as another address of the server."""
    hosts: list[str] = []

    def hook(configuration: Any) -> None:
        if not hosts:
            configuration.host = villain.url
        hosts.append(configuration.host)

    api_client = villain.api_client(host="http://127.0.0.1:1", refresh_api_key_hook=hook)
    with LabStorage(api_client, logger) as storage:
        phases = []
        for _ in range(2):
            phases.append(read_phase(storage, timeout_of(5)))
            storage.close()

    assert [PodPhase.PENDING] * 2 == phases
    assert "http://127.0.0.1:1" == api_client.configuration.host
