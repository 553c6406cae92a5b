"""Phases from memory: what costs no request, what does, and what is never told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import attrs
import pytest

from lab_storage import (
    Freshness,
    KubernetesError,
    LabStorage,
    LiveLabStorage,
    OperationCancelledError,
    OperationTimeoutError,
    PodPhase,
    Timeout,
)
from lab_storage._api.following import asking as _asking
from lab_storage._api.following.health import Health
from lab_storage.testing import Answer, Silence
from lab_storage.timeout import Signal
from tests.live.conftest import PATIENCE_SECONDS, LiveOf, World, eventually, names, read
from tests.support.labs import lab_of, timeout_of


def test_thousand_reads_cost_no_request(world: World, live_of: LiveOf) -> None:
    """What is known is told from memory, also that there is no pod."""
    world.make("ada", "bob")
    live = live_of()
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    before = world.count()
    phases = {(read(live, "ada"), read(live, "bob"), read(live, "eve")) for _ in range(1000)}
    assert {(PodPhase.PENDING, PodPhase.PENDING, None)} == phases
    assert before == world.count()


def test_change_is_read_without_a_request(world: World, live_of: LiveOf) -> None:
    """The watch tells it."""
    world.make("ada")
    live = live_of()
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    before = world.count()
    world.say("ada", "Running")
    eventually(PodPhase.RUNNING, lambda: read(live, "ada"))
    world.delete("ada")
    eventually(None, lambda: read(live, "ada"))
    assert before == world.count()


def test_nothing_is_sent_before_the_first_call(world: World, live_of: LiveOf) -> None:
    """A storage that is made, and asked how fresh it is, sends nothing and has no thread."""
    threads = threading.active_count()
    live = live_of()
    assert Freshness(None, is_synced=False, pods=0, last_failure=None) == live.freshness
    assert (0, threads) == (world.count(), threading.active_count())


def test_freshness_is_told(world: World, live: LiveLabStorage) -> None:
    """How old, how many, and whether all is well."""
    world.make("ada", "bob")
    eventually(2, lambda: live.freshness.pods)
    freshness = live.freshness
    assert freshness.age is not None
    assert timedelta(0) <= freshness.age < timedelta(seconds=10)
    assert (True, None) == (freshness.is_synced, freshness.last_failure)


def test_first_calls_do_not_ask_one_by_one(world: World, live_of: LiveOf) -> None:
    """Calls that come before the first list wait for it."""
    world.make("ada", "bob")
    live = live_of()
    with ThreadPoolExecutor(20) as threads:
        phases = set(threads.map(lambda _: read(live, "ada"), range(20)))
    assert {PodPhase.PENDING} == phases
    assert (0, 1) == (world.count(verb="list"), world.count(verb="watch"))


@pytest.mark.parametrize(
    ("scope", "pod"),
    [
        ({"prefix": "lab-"}, ("other", "lab")),
        ({"namespace": "lab-ada"}, ("other", "lab")),
        ({"label_selector": "app=lab"}, ("lab-ada", "lab")),
    ],
)
def test_pod_that_is_not_followed_is_asked_for(
    world: World, live_of: LiveOf, scope: dict[str, str], pod: tuple[str, str]
) -> None:
    """Outside prefix, namespace or selector, what is not known is not missing."""
    world.make("ada")
    world.core.create_namespace({"metadata": {"name": "other"}})
    world.create_pod("other")
    live = live_of(**scope)
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    before = world.count(verb="list")
    lab = attrs.evolve(names("ada"), namespace=pod[0], pod=pod[1])
    assert PodPhase.PENDING == live.read_pod_phase(lab, timeout_of(PATIENCE_SECONDS))
    assert before + 1 == world.count(verb="list")


def test_namespace_is_followed_by_namespaced_requests(world: World, live_of: LiveOf) -> None:
    """No right outside it is needed."""
    world.core.create_namespace({"metadata": {"name": "hub"}})
    world.make("ada", "bob", namespace="hub")
    live = live_of("", namespace="hub")
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    assert 2 == live.freshness.pods
    made = [request for request in world.server.requests if request.user == "lab"]
    assert {"hub"} == {request.namespace for request in made}


def test_selected_pod_that_loses_its_label_is_asked_for(world: World, live_of: LiveOf) -> None:
    """It is still there, though the watch tells of its deletion."""
    world.make("ada", app="lab")
    live = live_of(label_selector="app=lab")
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    assert 1 == live.freshness.pods
    labels = {"metadata": {"labels": {"app": "none"}}}
    world.core.patch_namespaced_pod("lab", "lab-ada", labels)
    eventually(0, lambda: live.freshness.pods)
    assert PodPhase.PENDING == read(live, "ada")


def test_zero_age_asks_each_time(world: World, live_of: LiveOf) -> None:
    """Each call has a request of its own."""
    world.make("ada")
    live = live_of(max_age=0)
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    before = world.count(verb="list")
    for _ in range(5):
        read(live, "ada")
    assert before + 5 == world.count(verb="list")


def test_what_this_storage_wrote_is_read(world: World, live: LiveLabStorage) -> None:
    """The next call after a creation or deletion does not believe the memory."""
    live.create(lab_of("ada", {"lab-storage.test/start": "pending"}), timeout_of(PATIENCE_SECONDS))
    assert PodPhase.PENDING == read(live, "ada")
    live.delete_pod(names("ada"), timeout_of(PATIENCE_SECONDS))
    assert read(live, "ada") is None
    live.delete_namespace("lab-ada", timeout_of(PATIENCE_SECONDS))
    assert read(live, "ada") is None


def test_deletion_whose_answer_was_lost_is_read(world: World, live: LiveLabStorage) -> None:
    """What failed here may have been done there."""
    world.make("ada")
    eventually(PodPhase.PENDING, lambda: read(live, "ada"))
    world.server.silence_watches()
    world.server.add_fault(Silence(after_commit=True), verb="delete", resource="pods", times=1)
    with pytest.raises(OperationTimeoutError):
        live.delete_pod(names("ada"), timeout_of(0.5))
    assert read(live, "ada") is None


def test_silent_watch_does_not_make_an_answer_old(world: World, live_of: LiveOf) -> None:
    """What cannot be proven any more is asked for."""
    world.make("ada")
    live = live_of(max_age=1.0)
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    world.server.add_fault(Silence(), verb="watch", resource="pods", times=None)
    world.server.silence_watches()
    world.say("ada", "Running")
    written = time.monotonic()
    eventually(PodPhase.RUNNING, lambda: read(live, "ada"))
    assert time.monotonic() - written < 2.0


def test_question_is_asked_once_for_all(world: World, live_of: LiveOf) -> None:
    """Those who ask for a pod at the same moment share the answer."""
    world.make("ada")
    live = live_of(max_age=5.0)
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    live._following().distrust("lab-ada")
    fault = world.server.add_fault(Silence(), verb="list", resource="pods", times=1)
    before = world.count(verb="list")
    timeout = timeout_of(PATIENCE_SECONDS)
    with ThreadPoolExecutor(50) as threads:
        first = threads.submit(live.read_pod_phase, names("ada"), timeout)
        eventually(before + 1, lambda: world.count(verb="list"))
        others = [threads.submit(read, live, "ada") for _ in range(49)]
        time.sleep(0.2)
        # The one that asks leaves; another one asks for those who stay.
        timeout.cancel()
        assert {PodPhase.PENDING} == {other.result() for other in others}
        with pytest.raises(OperationCancelledError):
            first.result()
    assert 1 == fault.hits
    assert before + 2 == world.count(verb="list")


def test_outage_of_the_watch_is_not_a_request_for_each_lab(
    world: World, live_of: LiveOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where many ask, one list answers for all."""
    monkeypatch.setattr(_asking, "MANY", 8)
    users = [f"u{number:02}" for number in range(60)]
    world.make(*users)
    world.server.add_fault(Answer(503), verb="watch", resource="pods", times=None)
    live = live_of(max_age=30.0)
    assert {PodPhase.PENDING} == {read(live, user) for user in users}
    assert world.count(verb="list") <= 8 + 2


def test_refused_watch_costs_a_warning_and_direct_requests(
    world: World, live_of: LiveOf, log: Any
) -> None:
    """Whoever may only get pods reads them all the same, and is told once why it is slow."""
    world.make("ada")
    for verb in ("list", "watch"):
        world.server.forbid(user="lab", verb=verb, resource="pods")
    live = live_of()
    assert PodPhase.PENDING == read(live, "ada")
    world.say("ada", "Running")
    assert PodPhase.RUNNING == read(live, "ada")
    with pytest.raises(KubernetesError) as caught:
        live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    assert 403 == caught.value.status
    assert "pods is forbidden" in str(live.freshness.last_failure)
    warnings = [each for each in log.entries if each["event"] == "Following pods failed"]
    assert 1 == len(warnings)


def test_right_that_comes_later_is_used(world: World, live_of: LiveOf) -> None:
    """A watch that was refused is tried again."""
    world.make("ada")
    allow = world.server.forbid(user="lab", verb="watch", resource="pods")
    live = live_of()
    assert PodPhase.PENDING == read(live, "ada")
    eventually(True, lambda: live.freshness.last_failure is not None)
    allow()
    eventually(True, lambda: live.freshness.is_synced)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_age": 10}, TypeError),
        ({"max_age": timedelta(seconds=-1)}, ValueError),
        ({"prefix": 5}, TypeError),
        ({"namespace": "Not A Name"}, ValueError),
        ({"label_selector": {"app": "lab"}}, TypeError),
    ],
)
def test_wrong_arguments_are_refused(
    world: World, logger: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    """At once, and by an error that names the argument."""
    with world.server.api_client("lab") as api_client:
        storage = LabStorage(api_client, logger)
        with pytest.raises(error, match=next(iter(options))):
            storage.live(**options)


def test_call_of_an_expired_timeout_raises(world: World, live: LiveLabStorage) -> None:
    """From memory, too."""
    world.make("ada")
    with pytest.raises(OperationTimeoutError):
        read(live, "ada", seconds=0)
    timeout = Timeout("Reading", timedelta(seconds=10))
    timeout.cancel()
    with pytest.raises(OperationCancelledError):
        live.read_pod_phase(names("ada"), timeout)


def test_observer_is_told_of_the_watchs_requests(world: World, live_of: LiveOf) -> None:
    """Its own requests are nobody's."""
    records: list[Any] = []
    live = live_of(max_age=2.0, observer=records.append)
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    eventually(True, lambda: any(record.verb == "watch" for record in records))
    watches = [record for record in records if record.verb == "watch"]
    assert ("Pod", None, None) == (watches[0].kind, watches[0].namespace, watches[0].user)


MISTAKES: dict[str, Callable[[LiveLabStorage], object]] = {
    "a str as keep": lambda live: live.delete_objects(lab_of(), timeout_of(9), keep="Pod"),
    "a kind that is none": lambda live: live.create(lab_of(), timeout_of(9), keep_existing=["x"]),
    "no names": lambda live: live.delete_pod("lab", timeout_of(9)),  # type: ignore[arg-type]
    "no namespace": lambda live: live.delete_namespace("", timeout_of(9)),
}


@pytest.mark.parametrize("call", MISTAKES.values(), ids=MISTAKES)
def test_mistake_starts_no_watch(
    world: World, live_of: LiveOf, call: Callable[[LiveLabStorage], object]
) -> None:
    """A wrong argument is refused before anything is sent."""
    live = live_of()
    with pytest.raises((TypeError, ValueError)):
        call(live)
    assert {} == live._followings
    assert 0 == world.count()


CALLS: dict[str, Callable[[LiveLabStorage, Timeout], object]] = {
    "create": lambda live, timeout: live.create(lab_of(), timeout),
    "delete_objects": lambda live, timeout: live.delete_objects(lab_of(), timeout),
    "delete_namespace": lambda live, timeout: live.delete_namespace("lab-ada", timeout),
    "delete_pod": lambda live, timeout: live.delete_pod(names("ada"), timeout),
    "read_pod_phase": lambda live, timeout: live.read_pod_phase(names("ada"), timeout),
    "list_labs": lambda live, timeout: live.list_labs("lab-", timeout),
    "wait_for_pod_start": lambda live, timeout: live.wait_for_pod_start("a", "lab-ada", timeout),
    "wait_until_synced": lambda live, timeout: live.wait_until_synced(timeout),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_cancelled_call_starts_no_watch(
    world: World, live_of: LiveOf, call: Callable[[LiveLabStorage, Timeout], object]
) -> None:
    """A call that is made after a cancel sends nothing."""
    live = live_of()
    timeout = timeout_of(PATIENCE_SECONDS)
    timeout.cancel()
    with pytest.raises(OperationCancelledError):
        call(live, timeout)
    assert {} == live._followings
    assert 0 == world.count()


def test_close_meanwhile_does_not_hide_a_write(
    world: World, live: LiveLabStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another thread has begun anew since does not believe its memory either."""
    world.make("ada")

    def delete(*_: object) -> None:
        live.close()
        live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
        world.server.silence_watches()
        world.delete("ada")

    monkeypatch.setattr("lab_storage._pods.delete", delete)
    live.delete_pod(names("ada"), timeout_of(PATIENCE_SECONDS))
    assert read(live, "ada") is None


TELLERS: dict[str, Callable[[Any, Timeout], object]] = {
    "objects": lambda live, timeout: live.read_lab_objects(names("ada"), timeout).pod.status.phase,
    "diagnosis": lambda live, timeout: live.read_pod_diagnosis(names("ada"), timeout),
    "all labs": lambda live, timeout: live.list_labs("", timeout),
    "other labels": lambda live, timeout: live.list_labs(
        "lab-", timeout, label_selector="app=lab"
    ),
    "wait": lambda live, timeout: live.wait_for_pod_start("lab", "lab-ada", timeout),
}


@pytest.mark.parametrize("prefix", ["lab-", "other-"])
@pytest.mark.parametrize("tell", TELLERS.values(), ids=TELLERS)
def test_nothing_older_is_told_after_an_answer_of_the_server(
    world: World,
    live_of: LiveOf,
    tell: Callable[[LiveLabStorage, Timeout], object],
    prefix: str,
) -> None:
    """Whichever method has told the newer state, and whether or not the pod is followed."""
    world.make("ada", app="lab")
    world.core.create_namespaced_config_map("lab-ada", {"metadata": {"name": "lab-env"}})
    live = live_of(prefix)
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    assert PodPhase.PENDING == read(live, "ada")
    world.server.silence_watches()
    world.say("ada", "Running")
    if tell is TELLERS["wait"] and prefix == "lab-":
        live._following().health.refusal = KubernetesError("refused", status=403)
    told = repr(tell(live, timeout_of(PATIENCE_SECONDS)))
    assert "running" in told.lower()
    assert PodPhase.RUNNING == read(live, "ada")


@pytest.mark.parametrize("prefix", ["", "lab-"])
def test_pod_that_a_list_did_not_have_is_not_told_any_more(
    world: World, live_of: LiveOf, prefix: str
) -> None:
    """The list went to the server, since it was of more than is followed."""
    world.make("ada")
    live = live_of("lab-a")
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    world.server.silence_watches()
    world.delete("ada")
    assert [()] == [
        lab.pods
        for lab in live.list_labs(prefix, timeout_of(PATIENCE_SECONDS))
        if lab.namespace == "lab-ada"
    ]
    assert read(live, "ada") is None


def test_labs_elsewhere_are_listed_by_the_server(world: World, live_of: LiveOf) -> None:
    """Where one namespace is followed, those of another prefix are not taken as missing."""
    world.make("ada")
    world.core.create_namespace({"metadata": {"name": "hub"}})
    live = live_of("", namespace="hub")
    labs = live.list_labs("lab-", timeout_of(PATIENCE_SECONDS))
    assert [("lab-ada", 1)] == [(lab.namespace, len(lab.pods)) for lab in labs]
    labs = live.list_labs("hu", timeout_of(PATIENCE_SECONDS))
    assert ["hub"] == [lab.namespace for lab in labs]


@pytest.mark.parametrize("max_age", [0.001, 1.0])
def test_age_too_short_to_be_proven_does_not_keep_labs_unknown(
    world: World, live_of: LiveOf, max_age: float
) -> None:
    """Then it is each call that asks."""
    world.make("ada")
    live = live_of(max_age=max_age)
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS))
    assert 1 == live.freshness.pods
    eventually(False, lambda: live.freshness.is_synced)
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS / 4))
    assert PodPhase.PENDING == read(live, "ada")


def test_sync_between_two_looks_is_not_missed(
    world: World, live_of: LiveOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come just before somebody waits for it."""
    world.make("ada")
    add = Health.add

    def add_late(self: Health, signal: Signal) -> None:
        eventually(True, lambda: live._following().is_synced)
        add(self, signal)

    monkeypatch.setattr(Health, "add", add_late)
    live = live_of()
    live.wait_until_synced(timeout_of(PATIENCE_SECONDS / 4))
    live.close()
    changes = live.changes(timeout_of(PATIENCE_SECONDS / 4))
    assert PodPhase.PENDING == next(changes).phase
    changes.close()
