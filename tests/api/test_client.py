"""What the library's client takes over from the caller's, and that it leaves that one alone."""

from __future__ import annotations

import copy
import logging
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from kubernetes import client
from kubernetes.config import ConfigException
from structlog.testing import LogCapture
from urllib3.exceptions import InsecureRequestWarning, ReadTimeoutError

from lab_storage import (
    KubernetesError,
    LabStorage,
    LabStorageError,
    OperationCancelledError,
    OperationTimeoutError,
    PodPhase,
)
from lab_storage._transport.session import Session
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.limits import LIMIT_SECONDS
from tests.support.methods import METHODS
from tests.support.states import LAB, NAMES, PENDING, POD_PATH, list_of, read_phase
from tests.support.villain import (
    TOKEN,
    Act,
    Cluster,
    Seen,
    Villain,
    authority,
    json_answer,
    silence,
    status,
    stream,
    tunnel,
)


class TestRequest:
    """What is seen on the wire."""

    def test_bears_the_token(self, storage_of: StorageOf) -> None:
        """On every supported client, over TLS too."""
        with Villain(json_answer(PENDING), tls=True) as villain:
            read_phase(storage_of(villain), timeout_of(5))

        assert TOKEN == villain.requests[0].headers["authorization"]

    def test_bears_the_token_with_its_prefix(self, storage_of: StorageOf) -> None:
        """As a configuration can have it apart."""
        # The second is what clients from 36 on call it.
        names = ("authorization", "BearerToken")
        key, prefix = dict.fromkeys(names, "abc"), dict.fromkeys(names, "Bearer")
        with Villain(json_answer(PENDING)) as villain:
            storage = storage_of(villain, api_key=key, api_key_prefix=prefix)
            read_phase(storage, timeout_of(5))

        assert "Bearer abc" == villain.requests[0].headers["authorization"]

    def test_bears_none_where_there_is_none(self, storage_of: StorageOf) -> None:
        """As behind a proxy of kubectl's."""
        with Villain(json_answer(PENDING)) as villain:
            read_phase(storage_of(villain, api_key={}), timeout_of(5))

        assert "authorization" not in villain.requests[0].headers

    def test_bears_the_callers_headers(self, logger: Any) -> None:
        """Default headers, User-Agent and cookie; but only media types that can be read."""
        with Villain(json_answer(PENDING)) as villain:
            api_client = villain.api_client()
            api_client.user_agent = "notebooks/1.0"
            api_client.set_default_header("X-Trace", "4711")
            api_client.set_default_header("Accept", "application/vnd.kubernetes.protobuf")
            api_client.cookie = "session=1"
            with LabStorage(api_client, logger) as storage:
                read_phase(storage, timeout_of(5))

        headers = villain.requests[0].headers
        expected = ("notebooks/1.0", "4711", "session=1", "application/json")
        names = ("user-agent", "x-trace", "cookie", "accept")
        assert expected == tuple(headers[name] for name in names)

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_keeps_the_prefix_of_the_path(self, slash: str, storage_of: StorageOf) -> None:
        """An API server may be one of many behind one address."""
        with Villain(json_answer(PENDING)) as villain:
            storage = storage_of(villain, host=f"{villain.url}/k8s/clusters/c-1{slash}")
            read_phase(storage, timeout_of(5))

        assert f"/k8s/clusters/c-1{POD_PATH}" == villain.requests[0].path


class TestTLS:
    """Who is trusted, and who trusts us."""

    def test_a_certificate_that_does_not_fit_is_final(self, storage_of: StorageOf) -> None:
        """At once, with no second connection, and the error says what is wrong with it."""
        with Villain(json_answer(PENDING), tls=True) as villain:
            storage = storage_of(villain, ssl_ca_cert=None)
            with pytest.raises(KubernetesError, match="certificate verify failed") as caught:
                read_phase(storage, timeout_of(5))

        assert (None, None) == (caught.value.status, caught.value.body)
        assert 1 == villain.connections

    def test_a_name_that_does_not_fit_is_final(self, storage_of: StorageOf) -> None:
        """The same for a certificate that is another server's."""
        with Villain(json_answer(PENDING), tls=True) as villain:
            storage = storage_of(villain, tls_server_name="other.example")
            with pytest.raises(KubernetesError, match=r"other\.example") as caught:
                read_phase(storage, timeout_of(5))

        assert (None, 1) == (caught.value.status, villain.connections)

    def test_a_name_that_urllib3_compares_is_final(self, storage_of: StorageOf) -> None:
        """``assert_hostname`` is checked by urllib3, with an error of its own."""
        with Villain(json_answer(PENDING), tls=True) as villain:
            storage = storage_of(villain, assert_hostname="other.example")
            with pytest.raises(KubernetesError, match=r"other\.example") as caught:
                read_phase(storage, timeout_of(5))
        assert (None, 1) == (caught.value.status, villain.connections)

    def test_the_name_that_is_configured_counts(self, storage_of: StorageOf) -> None:
        """As behind a tunnel, where the address is another."""
        with Villain(json_answer(PENDING), tls=True) as villain:
            storage = storage_of(villain, tls_server_name="villain.example")

            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))

    @pytest.mark.parametrize(
        "settings", [{"assert_hostname": False}, {"assert_hostname": "localhost"}]
    )
    def test_the_name_need_not_be_the_addresss(
        self, settings: dict[str, Any], storage_of: StorageOf
    ) -> None:
        """If the configuration says so."""
        with Villain(json_answer(PENDING), tls=True) as villain:
            assert PodPhase.PENDING is read_phase(storage_of(villain, **settings), timeout_of(5))

    def test_verification_can_be_off(self, storage_of: StorageOf) -> None:
        """If the configuration says so; urllib3 warns of it."""
        with Villain(json_answer(PENDING), tls=True) as villain:
            storage = storage_of(villain, verify_ssl=False, ssl_ca_cert=None)
            with pytest.warns(InsecureRequestWarning):
                phase = read_phase(storage, timeout_of(5))

        assert PodPhase.PENDING is phase

    def test_a_client_certificate_is_shown(self, storage_of: StorageOf) -> None:
        """To a server that asks for it."""
        with Villain(json_answer(PENDING), tls=True, client_certificates=True) as villain:
            storage = storage_of(
                villain,
                cert_file=str(authority().client_certificate),
                key_file=str(authority().client_key),
            )

            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))

    def test_a_client_without_one_is_told_at_once(self, storage_of: StorageOf) -> None:
        """The server's alert is final."""
        with Villain(json_answer(PENDING), tls=True, client_certificates=True) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError, match=r"(?i)certificate required") as caught:
                read_phase(storage, timeout_of(5))

        assert (None, 1) == (caught.value.status, villain.connections)

    def test_files_that_are_not_there_are_told(self, logger: Any) -> None:
        """At the first call, before anything is sent."""
        with Villain(tls=True) as villain:
            api_client = villain.api_client()
            api_client.configuration.cert_file = "/nowhere/client.pem"
            storage = LabStorage(api_client, logger)
            with pytest.raises(KubernetesError, match=r"set up: .*No such file") as caught:
                read_phase(storage, timeout_of(5))

        assert isinstance(caught.value.__cause__, FileNotFoundError)
        assert 0 == villain.connections


class TestProxy:
    """Plain and TLS proxies, for plain and TLS servers."""

    @pytest.mark.parametrize("proxy_tls", [False, True])
    def test_a_tls_server_is_reached_by_a_tunnel(
        self, proxy_tls: bool, storage_of: StorageOf
    ) -> None:
        """CONNECT goes to the proxy, all else through it."""
        with (
            Villain(json_answer(PENDING), tls=True) as villain,
            Villain(tunnel, tls=proxy_tls) as proxy,
        ):
            storage = storage_of(
                villain, proxy=proxy.url, proxy_headers={"Proxy-Authorization": "Basic eDp5"}
            )
            phases = [read_phase(storage, timeout_of(5)) for _ in range(3)]
            storage.close()
            villain.wait_until_left()

        assert [PodPhase.PENDING] * 3 == phases
        (connect,) = proxy.requests
        assert ("CONNECT", f"127.0.0.1:{villain.port}") == (connect.method, connect.target)
        assert "Basic eDp5" == connect.headers["proxy-authorization"]
        assert [None] * 3 == [each.headers.get("proxy-authorization") for each in villain.requests]

    @pytest.mark.parametrize("proxy_tls", [False, True])
    def test_a_plain_server_is_asked_for_at_the_proxy(
        self, proxy_tls: bool, storage_of: StorageOf
    ) -> None:
        """By its whole URL."""
        with Villain(json_answer(PENDING), tls=proxy_tls) as proxy, Villain() as villain:
            phase = read_phase(storage_of(villain, proxy=proxy.url), timeout_of(5))

        assert PodPhase.PENDING is phase
        assert [f"{villain.url}{POD_PATH}"] == [each.target for each in proxy.requests]

    def test_a_server_that_needs_none_is_asked_itself(self, storage_of: StorageOf) -> None:
        """The configuration's exceptions are kept to."""
        with Villain(json_answer(PENDING)) as villain, Villain() as proxy:
            storage = storage_of(villain, proxy=proxy.url, no_proxy="127.0.0.1")

            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
            assert 0 == proxy.connections

    @pytest.mark.parametrize("proxy_tls", [False, True])
    @pytest.mark.parametrize("stuck", ["at the proxy", "in the handshake", "at the server"])
    @pytest.mark.parametrize("end", ["deadline", "cancel"])
    def test_deadline_and_cancel_reach_through_it(
        self, proxy_tls: bool, stuck: str, end: str, storage_of: StorageOf
    ) -> None:
        """Wherever the call is stuck; all connections are closed."""
        with ExitStack() as stack:
            handshake = "silent" if stuck == "in the handshake" else None
            villain = stack.enter_context(Villain(silence, tls=True, handshake=handshake))
            act = silence if stuck == "at the proxy" else tunnel
            proxy = stack.enter_context(Villain(act, tls=proxy_tls))
            storage = storage_of(villain, proxy=proxy.url)
            timeout = timeout_of(0.2 if end == "deadline" else 30)

            def cancel() -> None:
                if stuck == "at the proxy":
                    proxy.wait_for_requests()
                elif stuck == "in the handshake":
                    villain.wait_for_connections()
                else:
                    villain.wait_for_requests()
                timeout.cancel()

            threads = [threading.Thread(target=cancel)] if end == "cancel" else []
            for thread in threads:
                thread.start()
            begun = time.monotonic()
            with pytest.raises((OperationTimeoutError, OperationCancelledError)) as caught:
                read_phase(storage, timeout)
            took = time.monotonic() - begun
            for thread in threads:
                thread.join()

            error = OperationTimeoutError if end == "deadline" else OperationCancelledError
            assert error is type(caught.value)
            assert took < 0.2 + LIMIT_SECONDS
            proxy.wait_until_left(0, 5)
            villain.wait_until_left(0, 5)

    def test_one_that_refuses_is_asked_again(self, storage_of: StorageOf) -> None:
        """It may be a passing trouble; a timeout tells what it said."""
        with Villain(tls=True) as villain, Villain(status(502)) as proxy:
            storage = storage_of(villain, proxy=proxy.url)
            with pytest.raises(OperationTimeoutError, match="502"):
                read_phase(storage, timeout_of(0.2))

        assert 1 < len(proxy.requests)


class Hook:
    """A ``refresh_api_key_hook`` that knows a new token each time."""

    def __init__(self) -> None:
        self.configurations: list[Any] = []

    def __call__(self, configuration: Any) -> None:
        """Set the token."""
        self.configurations.append(configuration)
        configuration.api_key["authorization"] = f"Bearer {len(self.configurations)}"


class TestCredentials:
    """They are asked for before each request, and anew when they are refused."""

    @pytest.mark.parametrize("key", [{}, {"authorization": "Bearer 0"}])
    def test_the_hook_is_asked_with_a_configuration_of_our_own(
        self, key: dict[str, str], logger: Any
    ) -> None:
        """Before each request; the caller's is left as it is, also if it has no token yet."""
        hook = Hook()
        with Villain(json_answer(PENDING)) as villain:
            api_client = villain.api_client(refresh_api_key_hook=hook, api_key=dict(key))
            with LabStorage(api_client, logger) as storage:
                for _ in range(3):
                    read_phase(storage, timeout_of(5))

        tokens = [each.headers["authorization"] for each in villain.requests]
        asked = [f"Bearer {number + 1}" for number in range(len(hook.configurations))]
        assert asked[-1] == tokens[-1]
        assert len({*tokens}) == 3
        assert all(each is not api_client.configuration for each in hook.configurations)
        assert all(isinstance(each, client.Configuration) for each in hook.configurations)
        assert key == api_client.configuration.api_key

    def test_a_401_is_tried_once_more_with_new_ones(
        self, storage_of: StorageOf, log: LogCapture
    ) -> None:
        """At once, and it is no failure."""
        hook = Hook()
        with Villain(status(401, "Unauthorized"), json_answer(PENDING)) as villain:
            storage = storage_of(villain, refresh_api_key_hook=hook)

            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
        first, second = (each.headers["authorization"] for each in villain.requests)
        assert first != second
        assert ["debug"] == [entry["log_level"] for entry in log.entries]

    @pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
    def test_a_second_401_is_final(
        self, method: Callable[..., Any], storage_of: StorageOf
    ) -> None:
        """In every method; the error tells the server's reason."""
        with Villain(status(401, "Unauthorized", "Unauthorized")) as villain:
            storage = storage_of(villain)
            with pytest.raises(KubernetesError) as caught:
                method(storage, timeout_of(5))

        assert (401, "Unauthorized") == (caught.value.status, caught.value.reason)
        # Those that run side by side are cancelled by the first that fails.
        counts = Counter(each.path for each in villain.requests)
        assert 2 == max(counts.values())

    def test_a_401_counts_once_for_all_tries_of_a_request(self, storage_of: StorageOf) -> None:
        """Trouble in between changes nothing."""
        acts = status(401), status(503), status(401), json_answer(PENDING)
        with Villain(*acts) as villain, pytest.raises(KubernetesError) as caught:
            read_phase(storage_of(villain), timeout_of(5))

        assert (401, 3) == (caught.value.status, len(villain.requests))

    def test_what_the_caller_has_renewed_is_taken_over(self, logger: Any) -> None:
        """The configuration is copied once more when it is refused."""
        wanted = ["Bearer old"]

        def script(request: Seen) -> Act:
            is_right = request.headers["authorization"] == wanted[0]
            return json_answer(PENDING) if is_right else status(401)

        with Villain(script) as villain:
            api_client = villain.api_client(api_key={"authorization": "Bearer old"})
            with LabStorage(api_client, logger) as storage:
                read_phase(storage, timeout_of(5))
                wanted[0] = "Bearer new"
                api_client.configuration.api_key["authorization"] = "Bearer new"

                assert PodPhase.PENDING is read_phase(storage, timeout_of(5))

    def test_a_hook_that_asks_for_a_token_once_an_hour_keeps_it(self, logger: Any) -> None:
        """Its token goes on to count when connections are closed, and when a server says 401."""
        asked: list[client.Configuration] = []

        def hook(configuration: client.Configuration) -> None:
            if not asked:
                asked.append(configuration)
                configuration.api_key["authorization"] = "Bearer fresh"

        with Villain(
            json_answer(PENDING), status(401, "Unauthorized"), json_answer(PENDING)
        ) as villain:
            api_client = villain.api_client(refresh_api_key_hook=hook)
            with LabStorage(api_client, logger) as storage:
                for _ in range(3):
                    read_phase(storage, timeout_of(5))
                    storage.close()
        assert ["Bearer fresh"] * 4 == [each.headers["authorization"] for each in villain.requests]

    def test_many_that_are_refused_at_once_renew_once(
        self, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not each for itself."""
        made: list[int] = []
        make = Session.__init__

        def count(session: Any, *arguments: Any, **options: Any) -> None:
            made.append(1)
            make(session, *arguments, **options)

        monkeypatch.setattr(Session, "__init__", count)
        gate, lock, rest = threading.Barrier(8), threading.Lock(), [status(401)] * 8

        def script(_: Seen) -> Act:
            with lock:
                act = rest.pop() if rest else None
            if act is not None:
                gate.wait(5)
            return act or json_answer(PENDING)

        with Villain(script) as villain, ThreadPoolExecutor(8) as threads:
            storage = storage_of(villain)
            asked = [threads.submit(read_phase, storage, timeout_of(5)) for _ in range(8)]
            phases = {each.result() for each in asked}

        assert ({PodPhase.PENDING}, 2, 16) == (phases, len(made), len(villain.requests))

    @pytest.mark.parametrize(
        "error",
        [
            ConfigException("no token in the file"),
            FileNotFoundError(2, "no token here"),
            ReadTimeoutError(None, "/token", "no token came"),  # type: ignore[arg-type]
        ],
    )
    def test_a_hook_that_fails_is_told(self, error: Exception, storage_of: StorageOf) -> None:
        """As what it is: nothing can be sent."""

        def refresh(_: Any) -> None:
            raise error

        with Villain() as villain:
            storage = storage_of(villain, refresh_api_key_hook=refresh)
            with pytest.raises(KubernetesError, match=r"be refreshed: .*no token") as caught:
                read_phase(storage, timeout_of(5))

        assert error is caught.value.__cause__
        assert (None, 0) == (caught.value.status, len(villain.requests))

    def test_a_hooks_own_mistake_is_the_callers(self, storage_of: StorageOf) -> None:
        """It is none of the library's errors."""

        def refresh(configuration: Any) -> None:
            raise ZeroDivisionError

        with Villain() as villain, pytest.raises(ZeroDivisionError):
            read_phase(storage_of(villain, refresh_api_key_hook=refresh), timeout_of(5))

    def test_a_token_that_cannot_be_sent_is_not_shown(self, storage_of: StorageOf) -> None:
        """As one that was read from a file with its newline in the middle."""
        with Villain() as villain:
            storage = storage_of(villain, api_key={"authorization": "Bearer s3cr3t\r\nX: y"})
            with pytest.raises(KubernetesError, match="a header of the request") as caught:
                read_phase(storage, timeout_of(5))

        assert "s3cr3t" not in "".join(traceback.format_exception(caught.value))
        assert 0 == len(villain.requests)


def state_of(obj: Any) -> dict[str, Any]:
    """Copy an object's attributes, and the containers among them."""
    return {
        name: copy.copy(value) if isinstance(value, (dict, list, set)) else value
        for name, value in vars(obj).items()
    }


class TestCaller:
    """What belongs to the caller is left alone."""

    def test_nothing_of_it_is_changed(self, logger: Any) -> None:
        """By any method: configuration, headers, pool, and the default configuration."""
        with Villain(Cluster(), tls=True) as villain:
            api_client = villain.api_client(retries=5, refresh_api_key_hook=Hook())
            api_client.set_default_header("X-Trace", "4711")
            manager = api_client.rest_client.pool_manager
            parts = (api_client, api_client.configuration, api_client.rest_client, manager)
            levels = [
                (name, logging.getLogger(name).level) for name in logging.root.manager.loggerDict
            ]
            default = state_of(client.Configuration.get_default_copy())
            before = [state_of(each) for each in parts]
            pool_settings = dict(manager.connection_pool_kw)
            with LabStorage(api_client, logger) as storage:
                storage.create(LAB, timeout_of(10))
                for method in METHODS.values():
                    try:
                        method(storage, timeout_of(0.1))
                    except LabStorageError:
                        pass

            after = [state_of(each) for each in parts]
            default_after = state_of(client.Configuration.get_default_copy())
        assert before == after
        assert pool_settings == manager.connection_pool_kw
        assert 0 == len(manager.pools)
        assert {**default, "logger": 0, "logger_formatter": 0} == {
            **default_after,
            "logger": 0,
            "logger_formatter": 0,
        }
        assert levels == [(name, logging.getLogger(name).level) for name, _ in levels]

    def test_what_is_done_to_its_client_does_not_reach_us(self, logger: Any) -> None:
        """``kubernetes.stream`` puts a function of its own in the place of its ``request``."""
        with Villain(Cluster()) as villain:
            api_client = villain.api_client()

            def request(*_: Any, **__: Any) -> None:
                raise AssertionError("this is the caller's")

            api_client.request = request
            api_client.call_api = request
            api_client.rest_client.request = request
            api_client.rest_client.pool_manager.clear()
            with LabStorage(api_client, logger) as storage:
                storage.create(LAB, timeout_of(10))
                labs = storage.list_namespaces("lab-", timeout_of(10))

        assert [NAMES.namespace] == labs

    def test_what_stands_in_for_its_pool_is_used(self, logger: Any) -> None:
        """A recorder or player is no urllib3, and is there to be asked."""
        asked = []

        class Player:
            def request(self, method: str, url: str, **options: Any) -> Any:
                asked.append((method, urllib.parse.urlsplit(url).path, options["preload_content"]))
                raise ConnectionError("it plays nothing")

        api_client = client.ApiClient(client.Configuration())
        api_client.rest_client.pool_manager = Player()
        with LabStorage(api_client, logger) as storage, pytest.raises(OperationTimeoutError):
            read_phase(storage, timeout_of(0.05))

        assert ("GET", POD_PATH, False) == asked[0]


def pods_and_events(request: Seen) -> Act:
    """A pod that runs at once, its event, and namespaces."""
    pod: dict[str, Any] = {**PENDING, "status": {"phase": "Running"}}
    event = {
        "metadata": {"uid": "e1", "name": "e1"},
        "involvedObject": {"uid": pod["metadata"]["uid"]},
        "message": "Pulling image",
    }
    if request.is_watch:
        return stream()
    if request.path == POD_PATH:
        return json_answer(pod)
    items = {"pods": pod, "events": event, "namespaces": {"metadata": {"name": "lab-a"}}}
    return json_answer(list_of(items[request.path.rsplit("/", 1)[1]]))


MODELS = (
    "CoreV1Event", "CoreV1EventList", "V1ListMeta", "V1Namespace", "V1NamespaceList",
    "V1ObjectMeta", "V1ObjectReference", "V1Pod", "V1PodList", "V1PodSpec", "V1PodStatus",
    "V1Status",
)  # fmt: skip


def test_the_methods_called_often_build_no_models(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Phase, start, events and list read JSON: not one object of the client's classes is made."""
    built: list[type] = []
    models = [getattr(client, name) for name in MODELS]

    def init(self: Any, *_: Any, **__: Any) -> None:
        built.append(type(self))

    def make(cls: type, *_: Any, **__: Any) -> None:
        built.append(cls)

    for model in models:
        monkeypatch.setattr(model, "__init__", init)
        for name in ("model_validate", "model_construct", "from_dict"):
            if hasattr(model, name):
                monkeypatch.setattr(model, name, classmethod(make))
    with Villain(pods_and_events) as villain:
        storage = storage_of(villain)
        results = (
            storage.read_pod_phase(NAMES, timeout_of(5)),
            storage.wait_for_pod_start(NAMES.pod, NAMES.namespace, timeout_of(5)),
            next(storage.watch_pod_events(NAMES.pod, NAMES.namespace, timeout_of(5))),
            storage.list_namespaces("lab", timeout_of(5)),
        )
    client.V1Pod()

    assert (PodPhase.RUNNING, PodPhase.RUNNING, "Pulling image", ["lab-a"]) == results
    assert [client.V1Pod] == built


def test_200_open_watches_are_in_nobodys_way(
    storage_of: StorageOf, caplog: pytest.LogCaptureFixture
) -> None:
    """A phase is read within a second, and nobody warns of a pool that is full."""
    caplog.set_level(logging.DEBUG, "urllib3")

    def script(request: Seen) -> Act:
        if request.is_watch:
            return stream()
        return json_answer(PENDING if request.path == POD_PATH else list_of(PENDING))

    with Villain(script, tls=True) as villain, ThreadPoolExecutor(200) as threads:
        storage, watching = storage_of(villain), timeout_of(60)
        waits = [
            threads.submit(storage.wait_for_pod_start, NAMES.pod, NAMES.namespace, watching)
            for _ in range(200)
        ]
        villain.wait_for_requests(400, 30)
        timeout = timeout_of(1)

        assert PodPhase.PENDING is read_phase(storage, timeout)
        assert timeout.elapsed() < 1
        watching.cancel()
        errors = {type(each.exception()) for each in waits}
        assert {OperationCancelledError} == errors
        villain.wait_until_left(201)
    assert [] == [each for each in caplog.messages if "pool is full" in each]
    assert villain.connections <= 401


def test_importing_opens_nothing_and_starts_nothing() -> None:
    """What patches sockets and threads later, as gevent does, finds none of ours."""
    program = """
import sys, threading
seen = []
sys.addaudithook(lambda event, _: event in ("socket.__new__", "_thread.start_new_thread",
                                            "os.register_at_fork") and seen.append(event))
import kubernetes.client, kubernetes.watch, structlog
seen.clear()
import lab_storage
print(seen, threading.enumerate())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )

    assert "" == done.stderr
    assert done.stdout.startswith("[] [<_MainThread(")
    assert 1 == done.stdout.count("Thread(")
