"""The requests that are about many pods: pages of a list, and watches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Final

import attrs

from lab_storage._api import frames, pod_json, pod_protobuf
from lab_storage._api.answer import Answer, SilenceError, TransientError
from lab_storage._api.call import Call
from lab_storage._api.pod_state import Page, PodEvent, PodState
from lab_storage._api.protobuf import PROTOBUF, DecodeError
from lab_storage._api.request import JSON, Request, list_of_one
from lab_storage._api.retry import pause_seconds
from lab_storage._api.stream import Stream
from lab_storage._manifests.kinds import POD, Kind
from lab_storage.exceptions import KubernetesError

PAGE_SIZE: Final = 500
# Of another kind there is the metadata alone, which is small.
METADATA_PAGE_SIZE: Final = 2000
# Where nobody waits for a list, so often is one of its later pages asked for.
PAGE_ATTEMPTS: Final = 4
# A read that takes longer has found nothing there yet.
WAIT_SECONDS: Final = 0.001
_METADATA_ALONE: Final = ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

Sent = Callable[[float], None]
"""Called with the time of each request that is sent for a list."""

PageOf = Callable[[Call, Request], tuple["Listed", str]]
"""Asks for a page of a list; gives the token of the next one too."""


class GoneError(Exception):
    """The server no longer knows the version that was asked for. Never reaches a caller."""


@attrs.frozen
class Listed:
    """What a list says, and when the request was sent that it answers."""

    pods: list[PodState]
    version: int
    sent_at: float


class PodSource:
    """Asks for pods, in protobuf where the server has it.

    Parameters
    ----------
    namespace
        Their namespace; `None` for all.
    label_selector
        Their labels, in Kubernetes' notation; `None` for all.
    kind
        What is asked for. Of another kind than pods, the metadata comes alone, and is read as
        that of pods.
    wants
        Tells of a namespace whether it is wanted: no server selects by a prefix.
    needs_versions
        Whether a list that names no version is of no use.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        namespace: str | None = None,
        label_selector: str | None = None,
        *,
        kind: Kind = POD,
        wants: Callable[[str], bool] = lambda _: True,
        needs_versions: bool = True,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._kind = kind
        self._parameters = "" if kind is POD else _METADATA_ALONE
        self._namespace = namespace
        self._label_selector = label_selector
        self._wants = wants
        self._needs_versions = needs_versions
        self._clock = clock
        # Some servers and gateways have none, and say so by a 406.
        self._has_protobuf = True

    def list_all(
        self,
        call: Call,
        *,
        known_version: Callable[[], int] = lambda: 0,
        is_sent: Sent = lambda _: None,
    ) -> Listed:
        """List the pods, in pages, until that has worked. Blocks.

        Parameters
        ----------
        call
            Sends the requests.
        known_version
            Gives the version that is known before an attempt: an older list is not taken.
        is_sent
            Is told when.

        Raises
        ------
        KubernetesError
            If the server refuses for good.
        OperationCancelledError, OperationTimeoutError
            If the call is over.
        """
        request = self._first_page()

        return self._until_it_works(
            call,
            request,
            lambda before: self._pages(call, request, self._persist, before, is_sent),
            known_version,
        )

    def find(
        self,
        call: Call,
        namespace: str | None,
        name: str,
        *,
        known_version: Callable[[], int] = lambda: 0,
        is_sent: Sent = lambda _: None,
    ) -> Listed:
        """List the one pod of a name, until that has worked. Blocks, and raises, as `list_all`.

        Not a GET, whose 404 names no version: nobody could say whether the pod was missing before
        or after it was seen elsewhere.
        """
        request = list_of_one(self._kind, namespace, name)
        return self._until_it_works(
            call,
            request,
            lambda before: self._page(call, request, before, is_sent)[0],
            known_version,
        )

    def list_once(self, call: Call) -> Listed:
        """List the pods, in pages. Blocks.

        Raises
        ------
        TransientError
            If it is worth another attempt.
        GoneError
            If the server has forgotten the version of its pages: it has to begin anew.
        KubernetesError
            If the server refuses for good.
        """
        return self._pages(call, self._first_page(), self._try_some_times)

    def name_version(self, call: Call) -> Listed:
        """Ask for the version of now, by the smallest consistent list. Blocks, as `list_once`."""
        return self._page(call, self._list({"limit": "1"}))[0]

    def watch(self, call: Call, query: Mapping[str, str], seconds: int) -> PodStream:
        """Begin a watch that the server ends after so many seconds. Blocks.

        Raises
        ------
        GoneError
            If the server does not know the version any more.
        TransientError, KubernetesError
            If it is refused.
        """
        options = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        request = self._list({**query, **options})
        accept = f"{PROTOBUF};stream=watch, {JSON}" if self._has_protobuf else JSON
        opened = call.open(attrs.evolve(request, accept=accept))
        if not isinstance(opened, Answer):
            return PodStream(call, request, opened)
        if opened.status == 406 and self._has_protobuf:
            self._has_protobuf = False
            return self.watch(call, query, seconds)
        raise judged(call, request, opened)

    def _first_page(self) -> Request:
        size = PAGE_SIZE if self._kind is POD else METADATA_PAGE_SIZE
        return self._list({"limit": str(size)})

    def _list(self, query: dict[str, str]) -> Request:
        if self._label_selector is not None:
            query["labelSelector"] = self._label_selector
        return Request("GET", self._kind, self._namespace, query=query, collection=True)

    def _until_it_works(
        self,
        call: Call,
        request: Request,
        make: Callable[[int], Listed],
        known_version: Callable[[], int],
    ) -> Listed:
        for attempt in call.attempts(request):
            with attempt:
                try:
                    return make(known_version())
                except GoneError:
                    raise TransientError("the list has expired between its pages", 410) from None
        raise RuntimeError("attempts end by a return or an error")

    def _pages(
        self,
        call: Call,
        first: Request,
        ask_again: PageOf,
        before: int = 0,
        is_sent: Sent = lambda _: None,
    ) -> Listed:
        listed, token = self._page(call, first, before, is_sent)
        pods = self._wanted(listed)
        while token:
            query = {**first.query, "continue": token}
            # All pages are of the first one's version, and would be lost with this one.
            more, token = ask_again(call, attrs.evolve(first, query=query))
            pods += self._wanted(more)
        return attrs.evolve(listed, pods=pods)

    def _persist(self, call: Call, request: Request) -> tuple[Listed, str]:
        for attempt in call.attempts(request):
            with attempt:
                return self._page(call, request)
        raise RuntimeError("attempts end by a return or an error")

    def _try_some_times(self, call: Call, request: Request) -> tuple[Listed, str]:
        for attempt in range(1, PAGE_ATTEMPTS):
            try:
                return self._page(call, request)
            except TransientError as error:  # noqa: PERF203
                if error.not_before_seconds or isinstance(error, SilenceError):
                    raise
                call.sleep(pause_seconds(error, attempt))
        return self._page(call, request)

    def _wanted(self, listed: Listed) -> list[PodState]:
        return [pod for pod in listed.pods if self._wants(pod.namespace or pod.name)]

    def _page(
        self,
        call: Call,
        request: Request,
        before: int = 0,
        is_sent: Sent = lambda _: None,
    ) -> tuple[Listed, str]:
        types = [PROTOBUF, JSON] if self._has_protobuf else [JSON]
        accept = ", ".join([*(each + self._parameters for each in types), JSON])
        request = attrs.evolve(request, accept=accept)
        sent_at = self._clock()
        is_sent(sent_at)
        answer = call.attempt(request)
        call.settle(request)
        if answer.status == 406 and self._has_protobuf:
            self._has_protobuf = False
            return self._page(call, request, before, is_sent)
        if not answer.is_success:
            raise judged(call, request, answer)
        page = read_page(answer)
        if self._needs_versions and not page.version:
            raise TransientError("the list names no version")
        if page.version < before:
            raise TransientError("the answer is older than what is known")
        return Listed(page.pods, page.version, sent_at), page.token


class PodStream:
    """The events of a watch, as they come. Closed, its connection is gone."""

    def __init__(self, call: Call, request: Request, stream: Stream) -> None:
        self._call = call
        self._request = request
        self._stream = stream

    def events(self, gather: Callable[[], None] = lambda: None) -> Iterator[PodEvent]:
        """Yield the events, until the server ends the watch.

        ``gather`` is called after a read that had to wait, and may block while more comes.

        Raises
        ------
        GoneError, TransientError, KubernetesError
            If an ``ERROR`` in it says so, or the connection breaks.
        DecodeError
            If something was said that cannot be read, and may be lost.
        """
        segments = _gathered(self._stream.segments(), gather)
        self._stream.heard()
        for event in frames.events(segments, self._stream.content_type):
            if event.status is not None:
                code = event.status.get("code")
                status = code if isinstance(code, int) and 400 <= code <= 599 else 500
                body = json.dumps(event.status).encode()
                raise judged(self._call, self._request, Answer(status, {}, body))
            self._stream.heard()
            yield event

    def close(self) -> None:
        """End it, from any thread."""
        self._stream.close()


def _gathered(segments: Iterator[bytes], gather: Callable[[], None]) -> Iterator[bytes]:
    began = monotonic()
    for segment in segments:
        has_waited = monotonic() - began > WAIT_SECONDS
        yield segment
        if has_waited:
            gather()
        began = monotonic()


def judged(
    call: Call, request: Request, answer: Answer
) -> GoneError | TransientError | KubernetesError:
    """What a refusal means for a list or a watch."""
    if answer.status == 410 or answer.reason in ("Expired", "Gone"):
        return GoneError()
    return call.judge(request, answer)


def read_page(answer: Answer) -> Page:
    """Read a page of a list of pods, in whatever the server chose to send it.

    Raises
    ------
    TransientError
        If it is not one.
    """
    if (answer.header("Content-Type") or "").startswith(PROTOBUF):
        try:
            return pod_protobuf.page(answer.body)
        except DecodeError as error:
            raise TransientError(f"the answer is not a list of pods: {error}") from None
    return pod_json.page(answer.read_list())
