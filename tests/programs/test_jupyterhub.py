"""`lab_storage.jupyterhub` in a real JupyterHub, behind its real proxy.

The Hub is a process of its own, and is told of the API server by a kubeconfig. No
container runs in the pods of these servers, so that there is no notebook either: the
spawner's ``lab_url`` is that of a stand-in (`tests.programs.hub.Notebooks`), which
answers the Hub and the proxy in the place of all of them.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import pytest
import requests
import yaml
from kubernetes import client

from lab_storage import PodTrouble
from lab_storage.testing import Answer, EmbeddedServer, Silence
from tests.plane.remote import Cluster
from tests.support.labs import without_scheduler

from .hub import EXAMPLES, Hub, UnavailableError, install_proxy

pytest.importorskip("jupyterhub", reason="JupyterHub is not installed (extra `jupyterhub`)")

import jupyterhub.spawner

from lab_storage.jupyterhub.names import slug

SECONDS = 60.0
POLL_SECONDS = 0.05
START = "lab-storage.test/start"
#: Names that a namespace can have, and such that it cannot.
TEN_USERS = ["ada", "émilie", "grace.hopper", "hedy@example.org", "katherine-johnson"] + [
    f"user{number}" for number in range(5)
]
#: What the kubelet tells of the example lab while it starts, up to how long it took.
STARTED = [
    message
    for image in ("registry.example/provisioner:1.4.0", "registry.example/sciplat-lab:w_2026_46")
    for message in (
        f'Pulling image "{image}"',
        f'Successfully pulled image "{image}"',
        "Container created",
        "Container started",
    )
]
#: Of what the Hub tells the notebook of "ada", and of what the lab file does.
ENVIRONMENT = {
    "CONTAINER_SIZE": "small",
    "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/",
    "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/",
    "JUPYTERHUB_USER": "ada",
}


def eventually(condition: Callable[[], Any]) -> None:
    """Return once a condition holds that another process brings about."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {SECONDS:.0f} s"
        time.sleep(POLL_SECONDS)


@attrs.frozen
class Server:
    """An API server, and what the tests do to it.

    Attributes
    ----------
    core
        Its core API, for an administrator.
    kubeconfig
        A file for the Hub.
    stuck
        For the length of a ``with``, no lab is made to its end.
    away
        For the length of a ``with``, it answers nothing that can be used.
    """

    core: client.CoreV1Api
    kubeconfig: Path
    stuck: Callable[[], AbstractContextManager[None]]
    away: Callable[[], AbstractContextManager[None]]
    prefix: str = attrs.field(factory=lambda: f"hub{secrets.token_hex(2)}-")

    def namespaces(self, *slugs: str) -> list[str]:
        """Give the namespaces of labs of this run, of all users or of some."""
        names = [each.metadata.name for each in self.core.list_namespace().items]
        ours = [name for name in names if name.startswith(self.prefix)]
        return [
            name
            for name in ours
            if not slugs or name.removeprefix(self.prefix).split("--")[0] in slugs
        ]

    def pod(self, slug: str) -> client.V1Pod | None:
        """Give the pod of a lab, if it is there."""
        return self._read(self.core.read_namespaced_pod, "lab", slug)

    def running_pod(self, slug: str) -> client.V1Pod:
        """Give the pod of a lab, which is there."""
        pod = self.pod(slug)
        assert pod is not None
        return pod

    def environment(self, slug: str) -> dict[str, str] | None:
        """Give the environment of a lab, if it is there."""
        found = self._read(self.core.read_namespaced_config_map, "lab-env", slug)
        return None if found is None else found.data

    def leave_pod(self, slug: str, image: str) -> None:
        """Have a namespace of that name be there, with a pod that runs."""
        name = self.prefix + slug
        self.core.create_namespace({"metadata": {"name": name}})
        spec = {"containers": [{"name": "notebook", "image": image}]}
        pod = {"metadata": {"name": "lab"}, "spec": spec}

        def is_created() -> bool:
            # Refused until the ServiceAccount is there.
            with contextlib.suppress(client.ApiException):
                self.core.create_namespaced_pod(name, pod)
                return True
            return False

        eventually(is_created)
        eventually(lambda: self.core.read_namespaced_pod("lab", name).status.phase == "Running")

    def fail_pod(self, slug: str) -> None:
        """Have a pod end, as one does whose node is short of memory."""
        status = {"status": {"phase": "Failed"}}
        self.core.patch_namespaced_pod_status("lab", self.prefix + slug, status)

    def kill_pod(self, slug: str) -> None:
        """Delete a pod at once."""
        namespace = self.prefix + slug
        self.core.delete_namespaced_pod("lab", namespace, grace_period_seconds=0)

    def _read(self, read: Callable[[str, str], Any], name: str, slug: str) -> Any:
        try:
            return read(name, self.prefix + slug)
        except client.ApiException as error:
            if error.status != 404:
                raise
            return None


class HubTests:
    """What holds on each API server."""

    @pytest.fixture(scope="class")
    @classmethod
    def any_hub(cls, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
        """A Hub; its labs are going after."""
        try:
            proxy = install_proxy()
        except UnavailableError as error:
            pytest.skip(str(error))
        folder = tmp_path_factory.mktemp("hub")
        with Hub(folder, server.kubeconfig, proxy, server.prefix) as hub:
            yield hub
        log = hub.log_file.read_text()
        if hasattr(jupyterhub.spawner, "SpawnException"):  # JupyterHub 5 logs each failed start so
            assert "lab_storage/jupyterhub" not in log, "a traceback through the spawner"
        assert "never retrieved" not in log
        for name in server.namespaces():
            # One that is going already is a conflict.
            with contextlib.suppress(client.ApiException):
                server.core.delete_namespace(name)

    @pytest.fixture
    def hub(self, any_hub: Hub) -> Hub:
        """A Hub that runs."""
        if not any_hub.runs:
            any_hub.start()
        return any_hub

    def test_ten_users_start_at_once(self, hub: Hub, server: Server) -> None:
        """Each gets a lab, hears its events as they happen, and stops it; then all is gone."""
        hub.add_users(*TEN_USERS)

        def start(user: str) -> list[str]:
            assert 202 == hub.start_server(user)
            told = []
            for event in hub.progress(user):
                told.append(event["message"])
                # No sooner than the last event is told the notebook answers, and the start ends.
                if told.count("Container started") == 2:
                    hub.notebooks.open(user)
            return told

        with ThreadPoolExecutor(len(TEN_USERS)) as threads:
            told = dict(zip(TEN_USERS, threads.map(start, TEN_USERS), strict=True))

            for user, messages in told.items():
                others = [each.split(" in ")[0] for each in without_scheduler(messages)]
                ready = f"Server ready at /user/{quote(user, safe='@')}/"
                assert ["Server requested", *STARTED, ready] == others
                assert hub.lets_in(user)
                assert {"": True} == hub.servers(user)
            assert len(TEN_USERS) == len(server.namespaces())
            assert (server.environment("ada") or {}).items() >= ENVIRONMENT.items()

            assert [204] * len(TEN_USERS) == list(threads.map(hub.stop_server, TEN_USERS))
        assert [{}] * len(TEN_USERS) == [hub.servers(user) for user in TEN_USERS]
        assert [] == server.namespaces()

    def test_failed_start_is_told_and_removed(self, hub: Hub, server: Server) -> None:
        """What keeps a pod from its start is told where a person waits; the lab is removed."""
        failures = {
            "image-pull-back-off": "Pod {}/lab, container notebook: ErrImagePull: "
            "rpc error: code = NotFound desc = failed to",
            "fail": "the pod {}/lab is Failed: Crash in container notebook: Error (exit code 1",
        }
        hints = {"image-pull-back-off": PodTrouble.IMAGE.hint, "fail": PodTrouble.CRASH.hint}
        labs = {start: slug(start) for start in failures}
        hub.add_users(*failures)

        def last_event(start: str) -> dict[str, Any]:
            hub.start_server(start, **{START: start})
            return list(hub.progress(start))[-1]

        with ThreadPoolExecutor() as threads:
            for start, event in zip(failures, threads.map(last_event, failures), strict=True):
                assert event["failed"]
                assert failures[start].format(server.prefix + labs[start]) in event["message"]
                assert event["message"].endswith(hints[start])
                assert {} == hub.servers(start)
        assert [] == server.namespaces(*labs.values())

    def test_broken_lab_file_is_shown(self, hub: Hub) -> None:
        """The user reads which file it is and what is wrong, and no lab is made."""
        hub.add_users("reader")
        hub.start_server("reader", lab_file="/nowhere/lab.yaml")
        events: list[dict[str, Any]] = []

        def is_shown() -> bool:
            # A start that fails at once is over for a moment before the Hub has noted its error.
            with contextlib.suppress(requests.HTTPError):
                events.extend(hub.progress("reader"))
            return bool(events)

        eventually(is_shown)
        event = events[-1]
        assert event["failed"]
        assert "/nowhere/lab.yaml: No such file or directory" in event["message"]
        assert {} == hub.servers("reader")

    def test_pod_that_died_is_noticed(self, hub: Hub, server: Server) -> None:
        """The Hub's poll finds it, be it Failed or gone, and the rest of the lab is removed."""
        deaths = {"failed": server.fail_pod, "deleted": server.kill_pod}
        hub.add_users(*deaths)
        for user in deaths:
            self.start(hub, user)

        for user, die in deaths.items():
            die(user)

        eventually(lambda: [{}, {}] == [hub.servers(user) for user in deaths])
        assert [] == server.namespaces("failed", "deleted")

    def test_named_servers_are_labs_of_their_own(self, hub: Hub, server: Server) -> None:
        """A user may have several."""
        hub.add_users("maryam")
        self.start(hub, "maryam")
        self.start(hub, "maryam", "night")

        assert {"": True, "night": True} == hub.servers("maryam")
        namespaces = [f"{server.prefix}maryam", f"{server.prefix}maryam--night"]
        assert namespaces == server.namespaces("maryam")

    def test_lab_that_no_hub_knows_is_replaced(self, hub: Hub, server: Server) -> None:
        """A start removes what is in its place, and tells the events of its own pod alone."""
        hub.add_users("heir")
        server.leave_pod("heir", image="old:1")
        hub.notebooks.open("heir")

        hub.start_server("heir")

        told = [event["message"] for event in hub.progress("heir")]
        assert "Server ready at /user/heir/" == told[-1]
        assert [] == [message for message in told if "old:1" in message]
        assert "old:1" != server.running_pod("heir").spec.containers[0].image

    def test_cancelled_start_leaves_nothing(self, hub: Hub, server: Server) -> None:
        """Be it cancelled while objects are made or while the pod is waited for."""
        hub.add_users("making", "waiting")
        with ThreadPoolExecutor() as threads:
            with server.stuck():
                hub.start_server("making")
                eventually(lambda: server.environment("making"))
                stops = [self.cancel(hub, "making", threads)]
            hub.start_server("waiting", **{START: "pending"})
            eventually(lambda: server.pod("waiting"))
            stops.append(self.cancel(hub, "waiting", threads))
            assert [204, 204] == [stop.result() for stop in stops]

        assert [{}, {}] == [hub.servers("making"), hub.servers("waiting")]
        assert [] == server.namespaces("making", "waiting")
        # The next one is as any.
        self.start(hub, "waiting")

    def test_killed_hub_finds_its_labs_again(self, hub: Hub, server: Server) -> None:
        """Labs that run or start are kept; what died meanwhile, or was half made, is removed."""
        hub.add_users("alive", "dead", "half", "slow")
        for user in ("alive", "dead"):
            self.start(hub, user)
        uid = server.running_pod("alive").metadata.uid
        hub.start_server("slow", **{START: "pending"})
        eventually(lambda: server.pod("slow"))
        with server.stuck():
            hub.start_server("half")
            eventually(lambda: server.environment("half"))
            hub.kill()
        server.kill_pod("dead")
        hub.notebooks.open("slow")

        hub.start()

        # Of the slow one, the Hub that was killed did not know yet where it would be.
        eventually(lambda: hub.lets_in("alive") and hub.lets_in("slow"))
        assert [{"": True}, {"": True}] == [hub.servers("alive"), hub.servers("slow")]
        assert uid == server.running_pod("alive").metadata.uid
        eventually(lambda: [{}, {}] == [hub.servers("dead"), hub.servers("half")])
        assert [] == server.namespaces("dead", "half")
        # The new Hub was told no token. That of a lab which is no more is revoked all the same.
        assert ["Server at /user/alive/"] == hub.server_tokens("alive")
        assert [] == hub.server_tokens("dead")

    def test_hub_keeps_labs_that_it_cannot_ask_about(self, hub: Hub, server: Server) -> None:
        """Started while the API server does not answer, it takes the labs for alive."""
        hub.add_users("late", "patient")
        self.start(hub, "patient")
        hub.start_server("late", **{START: "pending"})
        next(hub.progress("late"))
        # It does not wait for the deadline of that start.
        hub.stop(within_seconds=20)
        hub.notebooks.open("late")

        with server.away():
            hub.start()
            eventually(lambda: {"": True} == hub.servers("patient"))

        eventually(lambda: hub.lets_in("patient"))
        assert server.pod("patient")

    def test_hub_shuts_down_with_its_servers(self, hub: Hub, server: Server) -> None:
        """It stops what runs and what starts, of all users, and does not wait for deadlines."""
        hub.add_users("running", "starting")
        self.start(hub, "running")
        hub.start_server("starting", **{START: "pending"})
        eventually(lambda: server.pod("starting"))

        hub.shut_down(within_seconds=40)

        assert [] == server.namespaces("running", "starting")

    @staticmethod
    def cancel(hub: Hub, user: str, threads: ThreadPoolExecutor) -> Future[int]:
        """Cancel a start. Returns when that has ended; the result is that of the stop."""
        progress = hub.progress(user)
        assert "Server requested" == next(progress)["message"]
        stop = threads.submit(hub.stop_server, user)
        # Nothing but the end of the start ends it: the notebook does not answer. (The Hub says
        # "ready" then, of a server that it has not stopped yet.)
        for _ in progress:
            pass
        return stop

    @staticmethod
    def start(hub: Hub, user: str, server: str = "") -> None:
        """Have a server run."""
        hub.notebooks.open(user)
        # Said, since the Hub starts a server the way it was started last.
        hub.start_server(user, server, **{START: "run"})
        url = f"/user/{user}/{server}/" if server else f"/user/{user}/"
        assert f"Server ready at {url}" == list(hub.progress(user, server))[-1]["message"]


@contextlib.contextmanager
def hub_on(embedded: EmbeddedServer, folder: Path, prefix: str, **options: Any) -> Iterator[Hub]:
    """Run a Hub on an embedded server."""
    try:
        proxy = install_proxy()
    except UnavailableError as error:
        pytest.skip(str(error))
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(embedded.kubeconfig()))
    with Hub(folder, kubeconfig, proxy, prefix, **options) as hub:
        hub.start()
        yield hub


class TestLive:
    """Polls and waits through one watch for all labs."""

    @pytest.fixture(scope="class")
    @classmethod
    def embedded(cls) -> Iterator[EmbeddedServer]:
        """The embedded server."""
        with EmbeddedServer() as embedded:
            yield embedded

    @pytest.fixture(scope="class")
    @classmethod
    def hub(
        cls, embedded: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Hub]:
        """A Hub whose spawners are switched to it by one line of configuration."""
        folder = tmp_path_factory.mktemp("live")
        with hub_on(embedded, folder, "live-", traits={"live": True}) as hub:
            yield hub

    def test_polls_of_many_labs_ask_for_nothing(self, hub: Hub, embedded: EmbeddedServer) -> None:
        """While the Hub polls each server once a second, no pod is asked for."""
        users = ["ada", "grace", "hedy"]
        hub.add_users(*users)
        for user in users:
            HubTests.start(hub, user)
        before = len(embedded.requests)
        time.sleep(4)
        asked = [
            each.path
            for each in embedded.requests[before:]
            if each.resource == "pods" and each.name is not None
        ]
        assert [] == asked

    def test_pod_that_died_is_noticed(self, hub: Hub, embedded: EmbeddedServer) -> None:
        """By the watch, at the next poll."""
        hub.add_users("katherine")
        HubTests.start(hub, "katherine")
        core = client.CoreV1Api(embedded.api_client())
        core.delete_namespaced_pod("lab", "live-katherine", grace_period_seconds=0)
        eventually(lambda: {} == hub.servers("katherine"))


class TestSharedNamespace:
    """One namespace for all users, and claims that outlive a stop: as kubespawner's defaults."""

    @pytest.fixture(scope="class")
    @classmethod
    def core(cls, embedded: EmbeddedServer) -> client.CoreV1Api:
        """What an administrator does."""
        return client.CoreV1Api(embedded.api_client())

    @pytest.fixture(scope="class")
    @classmethod
    def embedded(cls) -> Iterator[EmbeddedServer]:
        """The embedded server."""
        with EmbeddedServer() as embedded:
            yield embedded

    @pytest.fixture(scope="class")
    @classmethod
    def hub(
        cls,
        embedded: EmbeddedServer,
        core: client.CoreV1Api,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Iterator[Hub]:
        """A Hub with the documentation's shared lab."""
        core.create_namespace({"metadata": {"name": "notebooks"}})
        traits = {
            "namespace": "notebooks",
            "keep": ["PersistentVolumeClaim"],
            "env_config_map": "env-jovyan",
            "pod": "lab-jovyan",
            "token_secret": "tokens-jovyan",
        }
        lab = list(yaml.safe_load_all((EXAMPLES / "lab-shared.yaml").read_text()))
        folder = tmp_path_factory.mktemp("shared")
        with hub_on(embedded, folder, "", lab=lab, traits=traits) as hub:
            yield hub

    def test_labs_of_several_users_live_side_by_side(
        self, hub: Hub, core: client.CoreV1Api
    ) -> None:
        """Each has objects of its own; the others stay when one stops, and so does the claim."""
        hub.add_users("ada", "grace")
        for user in ("ada", "grace"):
            HubTests.start(hub, user)
        claims = core.list_namespaced_persistent_volume_claim
        before = {each.metadata.name: each.metadata.uid for each in claims("notebooks").items}
        assert {"claim-ada", "claim-grace"} == set(before)

        assert 204 == hub.stop_server("ada")

        pods = [each.metadata.name for each in core.list_namespaced_pod("notebooks").items]
        assert ["lab-grace"] == pods
        assert {"": True} == hub.servers("grace")
        HubTests.start(hub, "ada")
        after = {each.metadata.name: each.metadata.uid for each in claims("notebooks").items}
        assert before == after

    def test_restarted_hub_finds_its_labs(self, hub: Hub) -> None:
        """By the names that the lab file and the user make."""
        hub.add_users("hedy")
        HubTests.start(hub, "hedy")
        hub.kill()
        hub.start()
        eventually(lambda: {"": True} == hub.servers("hedy"))
        assert 204 == hub.stop_server("hedy")


class TestOnEmbeddedServer(HubTests):
    """In every run."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
        """The embedded server."""
        with EmbeddedServer() as embedded, embedded.api_client() as api_client:
            kubeconfig = tmp_path_factory.mktemp("embedded") / "kubeconfig"
            kubeconfig.write_text(json.dumps(embedded.kubeconfig("lab")))

            @contextlib.contextmanager
            def fault(effect: Silence | Answer, **requests: str) -> Iterator[None]:
                added = embedded.add_fault(effect, user="lab", times=None, **requests)
                try:
                    yield
                finally:
                    added.remove()

            yield Server(
                client.CoreV1Api(api_client),
                kubeconfig,
                stuck=lambda: fault(Silence(), verb="create", resource="pods"),
                away=lambda: fault(Answer(503)),
            )


class TestOnControlPlane(HubTests):
    """Where there is one."""

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, control_plane: Cluster, lab_role: str) -> Iterator[Server]:
        """A real control plane; the Hub may do what the documented role says."""
        assert lab_role
        with control_plane.api_client() as api_client:
            yield Server(
                client.CoreV1Api(api_client),
                control_plane.kubeconfig("lab"),
                # Without its ServiceAccount no pod is made.
                stuck=control_plane.pause_controller_manager,
                away=control_plane.pause_apiserver,
            )
