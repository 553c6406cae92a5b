"""`LiveLabStorage`: a `LabStorage` that knows the pods of all labs by one watch."""

from __future__ import annotations

import os
import weakref
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta

from lab_storage import _inventory, _pods
from lab_storage._api.call import Call
from lab_storage._api.following.event_feed import NoSharedWatchError
from lab_storage._api.following.events import as_object, await_pod, follow_events
from lab_storage._api.following.following import Following
from lab_storage._api.following.listeners import ChangeReader
from lab_storage._api.following.scope import Key, Scope
from lab_storage._api.following.waits import wait_for_start
from lab_storage._api.interruptible import Interruptible
from lab_storage._api.pod_state import PodState, number_of
from lab_storage._api.request import list_of_one
from lab_storage._arguments import check_instance, check_name
from lab_storage._diagnoses import read_examination
from lab_storage._manifests.kinds import DNS_LABEL, POD
from lab_storage._starts import log_start
from lab_storage.diagnosis import Examination, examine
from lab_storage.exceptions import KubernetesError, LabStorageError, PodStartError
from lab_storage.models import (
    Freshness,
    LabSummary,
    PodChange,
    PodPhase,
)
from lab_storage.storage import LabStorage
from lab_storage.timeout import Timeout, timeout_seconds

__all__ = ["LiveLabStorage"]

# What finding out why a pod has not started may take, of what is left at most a half.
_DIAGNOSIS_SECONDS = 1.0
# What containers wait for until something is known.
_SAYS_NOTHING = frozenset({"ContainerCreating", "PodInitializing"})


class LiveLabStorage(LabStorage):
    """A `LabStorage` that follows the pods of all labs by one watch, on one connection.

    Made by `LabStorage.live`, with the same methods and promises. `LabStorage.read_pod_phase`,
    `LabStorage.wait_for_pod_start` and `LabStorage.list_labs` are answered from memory, which is
    never older than ``max_age``: what cannot be proven is asked of the server, once for all who
    ask at that moment. A pod that is not followed is asked for, never taken as missing.

    It needs the right to list and watch the pods that it follows. Without it, it warns once a
    minute, sends direct requests, and tries again after 1, 2, 4 … 60 s; `wait_until_synced` and
    `changes` raise, and so does `LabStorage.list_labs`, which needs that right in any case.

    The watch begins with the first call, in a thread of its own, and in a forked child anew. It
    ends with `close`, with a ``with`` block, or when the storage is forgotten.

    Notes
    -----
    A bookmark of a watch does not say of when it is. But a small list that is consistent names
    the version of its moment, and as soon as the watch has reached that version, everything up to
    that moment is known
    (https://kubernetes.io/docs/reference/using-api/api-concepts/#watch-bookmarks).
    """

    def __init__(
        self,
        storage: LabStorage,
        prefix: str,
        namespace: str | None,
        label_selector: str | None,
        max_age: timedelta,
    ) -> None:
        check_instance("prefix", prefix, str)
        if namespace is not None:
            check_name("namespace", namespace, DNS_LABEL)
        if label_selector is not None:
            check_instance("label_selector", label_selector, str)
        check_instance("max_age", max_age, timedelta)
        if max_age < timedelta(0):
            raise ValueError(f"max_age must not be negative: {max_age!r}")
        # The connections, the log and the helpers are shared.
        self.__dict__.update(vars(storage))
        self._scope = Scope(prefix, namespace, label_selector or None)
        self._max_age_seconds = timeout_seconds(max_age)
        # By process: a fork may come without Python's hooks, and while locks are held.
        self._followings: dict[int, Following] = {}
        self._finalizer = weakref.finalize(self, _stop, self._followings)

    def close(self) -> None:
        """End the watch, and close the connections that are not in use.

        Calls that are under way end by an error if they need the watch. Later calls start it
        anew.
        """
        following = self._followings.pop(os.getpid(), None)
        if following is not None:
            following.stop(waits=True)
        super().close()

    # -- What is known ---------------------------------------------------------------

    @property
    def freshness(self) -> Freshness:
        """How much is known, and as of when. Sends nothing, and does not start the watch."""
        following = self._followings.get(os.getpid())
        if following is None:
            return Freshness(age=None, is_synced=False, pods=0, last_failure=None)
        return Freshness(
            age=timedelta(seconds=following.view.age) if following.is_synced else None,
            is_synced=following.is_fresh,
            pods=len(following.view),
            last_failure=following.health.last_failure,
        )

    def wait_until_synced(self, timeout: Timeout) -> None:
        """Block until all labs are known.

        Parameters
        ----------
        timeout
            How long it may take, and the handle to cancel by.

        Raises
        ------
        KubernetesError
            If the server refuses the watch.
        """
        call = self._begin(timeout)
        self._following_for(call).await_freshness(call)

    def changes(self, timeout: Timeout) -> Generator[PodChange, None, None]:
        """Yield the changes of all pods' phases, as they happen.

        What exists comes first. A loop that is too slow misses states in between, never the
        last one of a pod; memory does not grow. While no call is waiting for a start, changes are
        taken in batches of a tenth of a second.

        Parameters
        ----------
        timeout
            How long it may take, and the handle to cancel by.

        Yields
        ------
        PodChange
            A pod and its new phase. A pod that is replaced gives a `None` for the old one, then
            the new one.

        Raises
        ------
        KubernetesError
            If the server refuses the watch.
        OperationTimeoutError
            When the deadline passes.

        Notes
        -----
        It ends as `LabStorage.watch_pod_events` does: without an error at a cancel, and by
        ``close()`` from any thread.
        """
        call = self._begin(timeout)
        return Interruptible(call, self._read_changes)

    # -- How it is done --------------------------------------------------------------

    @contextmanager
    def _writing(self, _call: Call, _place: Key | str) -> Iterator[None]:
        """What is known of that pod, or of a namespace's, does not count any more.

        Also if the call fails: the server may have done what it was asked.
        """
        self._following_for(_call).distrust(_place)
        try:
            yield
        finally:
            # Not that from above: somebody may have closed it, and another one begun.
            following = self._followings.get(os.getpid())
            if following is not None:
                following.distrust(_place)

    def _note_told(self, pod: Key, version: str | None = None) -> None:
        following = self._followings.get(os.getpid())
        if following is not None and not 0 < number_of(version) <= following.view.known_version(
            pod
        ):
            following.distrust(pod)

    def _following_for(self, call: Call) -> Following:
        """What this process has, for a call that is not over: that must not start the watch."""
        call.check()
        return self._following()

    def _following(self) -> Following:
        """What this process has; its thread is running."""
        pid = os.getpid()
        following = self._followings.get(pid)
        if following is None:
            new = Following(self._client, self._log, self._scope, self._max_age_seconds)
            # One step, for all threads.
            following = self._followings.setdefault(pid, new)
            for other in list(self._followings):
                if other != pid:
                    self._followings.pop(other, None)
        following.start()
        return following

    def _read_phase(self, call: Call, namespace: str, name: str) -> PodPhase | None:
        following = self._following_for(call)
        try:
            pod = following.find(call, (namespace, name))
        except KubernetesError as error:
            if error.status != 403:
                raise
            # Whoever may not list may be allowed to get.
            phase = super()._read_phase(call, namespace, name)
            self._note_told((namespace, name))
            return phase
        return None if pod is None else pod.phase

    def _wait_for_start(
        self, call: Call, namespace: str, name: str, fail_fast: Collection[str]
    ) -> PodPhase | None:
        following = self._following_for(call)
        is_followed = following.hears_of(call, namespace)
        request = list_of_one(POD, namespace, name)

        def look_closer() -> Examination:
            try:
                found = read_examination(call.aside(_DIAGNOSIS_SECONDS), namespace, name)
                self._note_told((namespace, name))
            except LabStorageError:
                found = None
            return found or examine({})

        def explain(pod: PodState) -> str:
            # A state that says what the pod waits for needs no more.
            if any(reason not in _SAYS_NOTHING for _, reason, _ in pod.waiting):
                return pod.why_it_waits
            found = look_closer()
            if found.diagnosis.trouble is not None:
                return f"the pod is {found.diagnosis.phase.value}; {found.diagnosis}"
            return "; ".join(filter(None, (pod.why_it_waits, found.last_warning)))

        key = namespace, name
        waiter = wait_for_start(following, call, key, fail_fast, explain) if is_followed else None
        call.check()
        if waiter is None:
            return self._wait_alone(call, namespace, name, fail_fast)
        if waiter.trouble is not None:
            raise PodStartError(name, namespace, *waiter.trouble, look_closer().diagnosis)
        if waiter.phase is PodPhase.FAILED:
            log_start(call, request, waiter.phase, look_closer().diagnosis)
        elif waiter.phase is not None:
            call.debug("Pod has started", request)
        return waiter.phase

    def _wait_alone(
        self, call: Call, namespace: str, name: str, fail_fast: Collection[str]
    ) -> PodPhase | None:
        try:
            return super()._wait_for_start(call, namespace, name, fail_fast)
        finally:
            self._note_told((namespace, name))

    def _follow_events(self, call: Call, namespace: str, name: str) -> Generator[str, None, None]:
        following, key = self._following_for(call), (namespace, name)
        if not following.hears_of(call, namespace):
            yield from super()._follow_events(call, namespace, name)
            return
        has_begun = False
        try:
            pod = as_object(await_pod(following, call, key))
            with closing(follow_events(following, call, key, _pods.when)) as changes:
                for message in _pods.messages(call, changes, pod):
                    has_begun = True
                    yield message
        except (KubernetesError, NoSharedWatchError) as error:
            if has_begun or (isinstance(error, KubernetesError) and error.status != 403):
                raise
        # Whoever may not watch all may be allowed to watch these.
        yield from super()._follow_events(call, namespace, name)

    def _read_changes(self, call: Call) -> Generator[PodChange, None, None]:
        following = self._following_for(call)
        reader = ChangeReader()
        following.await_sync(call)
        # The watch may have failed since, and what is told first is to be no older than others.
        following.know_all(call)
        following.view.listen(reader)
        try:
            while True:
                for told in reader.changes():
                    yield PodChange(*told.key, told.uid, told.phase, told.previous)
                    # Time passes in the loop's body too, and it may have forked.
                    call.check()
                    following.check()
                # A single refusal may be a server that has just started.
                following.raise_refusal(call, again=True)
                following.await_news(call, call.left(), reader.bell.signal)
        finally:
            if following.is_here:
                following.view.leave(reader)

    def _list_labs(self, call: Call, prefix: str, label_selector: str | None) -> list[LabSummary]:
        scope = self._scope
        if scope.namespace is None:
            covers = prefix.startswith(scope.prefix)
        else:
            covers = scope.namespace.startswith(prefix)
        if not covers or label_selector != scope.label_selector:
            labs = super()._list_labs(call, prefix, label_selector)
            if (other := self._followings.get(os.getpid())) is not None:
                other.note_listed(labs, prefix if label_selector is None else None)
            return labs
        following = self._following_for(call)
        namespaces = _inventory.list_namespaces(call, prefix, scope.namespace)
        return _inventory.summaries(namespaces, following.find_all(call, prefix))


def _stop(followings: Mapping[int, Following]) -> None:
    for following in list(followings.values()):
        following.stop()
