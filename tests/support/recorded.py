"""Tests that play back what a real API server said, and by which it is recorded.

A test that uses the fixture ``stage`` runs on ``tests/recordings/<its name>.yaml``. With
``--record``, those tests alone run, on the control plane, and each writes its file.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
from kubernetes import client

from lab_storage import LabStorage
from lab_storage.testing.recording import Player, Recorder
from tests.support.labs import lab_of, names_of, timeout_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.plane.remote import Cluster

RECORDINGS = Path(__file__).parent.parent / "recordings"
NAMES = names_of()
OPERATION = "first"
#: What a pod of the example says while it starts: that it has a node, and four
#: events for each of its two containers.
EVENTS = 9
SECONDS = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer to make the recordings anew."""
    parser.addoption(
        "--record",
        action="store_true",
        help="make tests/recordings anew, on the control plane, by the tests that use them",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let it be known before the tests that a control plane is needed."""
    if "stage" in metafunc.fixturenames and metafunc.config.getoption("record"):
        metafunc.fixturenames[:0] = ["control_plane", "lab_role"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, when recording, what records nothing."""
    if not config.getoption("record"):
        return
    recording = [item for item in items if "stage" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in recording])
    items[:] = recording


def recording_of(test: str) -> Path:
    """The file of the test of that name, its parameters included."""
    return RECORDINGS / f"{re.sub('[^a-z0-9_]+', '-', test.removeprefix('test_')).strip('-')}.yaml"


@pytest.fixture
def stage(request: pytest.FixtureRequest, logger: Any) -> Iterator[Stage]:
    """Where a test plays, and what the scene is before it does."""
    recording = recording_of(request.node.name)
    if not request.config.getoption("record"):
        yield Stage(recording, logger)
        return
    real = RealStage(recording, logger, request.getfixturevalue("control_plane"))
    try:
        yield real
    finally:
        real.clear()


class Stage:
    """Of a test that plays a recording: the scene is what the recording says."""

    def __init__(self, recording: Path, logger: Any) -> None:
        self.recording = recording
        self.logger = logger

    @contextmanager
    def storage(self, user: str = "lab") -> Iterator[LabStorage]:
        """The storage that the test is about, for what is recorded."""
        del user
        configuration = client.Configuration(host="https://kubernetes.invalid")
        with (
            client.ApiClient(configuration) as api_client,
            Player(api_client, self.recording),
            LabStorage(api_client, self.logger) as storage,
        ):
            yield storage

    def has_lab(
        self,
        *,
        annotations: dict[str, str] | None = None,
        started: bool = True,
        quota: bool = True,
    ) -> None:
        """There is the example lab, made by the operation `OPERATION`.

        Parameters
        ----------
        annotations
            Of the pod: what becomes of it.
        started
            Whether the pod has started. Else it has a node, and that is all.
        quota
            Whether the lab has its quota.
        """

    def has_namespace(self) -> None:
        """There is the lab's namespace, and nothing that takes time to go."""

    def held(self, program: str, watches: int) -> AbstractContextManager[None]:
        """Let a program do nothing until so many watches are there to be told of it.

        What a controller or kubelet does would otherwise be in the list at one
        recording, and in the watch at the next.
        """
        del program, watches
        return contextlib.nullcontext()


class RealStage(Stage):
    """Of a test that records: the scene is made, on the control plane, by its admin."""

    def __init__(self, recording: Path, logger: Any, plane: Cluster) -> None:
        super().__init__(recording, logger)
        self._plane = plane
        self._admin = plane.api_client()
        self._hands = LabStorage(self._admin, structlog.get_logger())
        self._watches: Callable[[], None] = lambda: None

    @contextmanager
    def storage(self, user: str = "lab") -> Iterator[LabStorage]:
        """As in a replay, but on the control plane."""
        with self._plane.api_client(user) as api_client:
            rest_client = api_client.rest_client
            rest_client.pool_manager = _Watching(rest_client.pool_manager, self)
            with (
                # Those of the example open nothing.
                Recorder(api_client, self.recording, keep_secrets=True),
                LabStorage(api_client, self.logger) as storage,
            ):
                yield storage

    def has_lab(
        self,
        *,
        annotations: dict[str, str] | None = None,
        started: bool = True,
        quota: bool = True,
    ) -> None:
        """Make it, and return once nothing more happens to it."""
        self._hands.create(lab_of(annotations=annotations), self._time(), operation_id=OPERATION)
        if not quota:
            core = client.CoreV1Api(self._admin)
            core.delete_namespaced_resource_quota(NAMES.quota, NAMES.namespace)
        if started:
            self._hands.wait_for_pod_start(NAMES.pod, NAMES.namespace, self._time())
        told = self._hands.watch_pod_events(NAMES.pod, NAMES.namespace, self._time())
        with contextlib.closing(told):
            for _ in itertools.islice(told, EVENTS if started else 1):
                pass

    def has_namespace(self) -> None:
        """Make it."""
        client.CoreV1Api(self._admin).create_namespace({"metadata": {"name": NAMES.namespace}})

    @contextmanager
    def held(self, program: str, watches: int) -> Iterator[None]:
        """Pause it, and have it go on when the recorded client has opened the watches."""
        with ExitStack() as pause:
            pause.enter_context(getattr(self._plane, f"pause_{program}")())
            numbers = itertools.count(1)
            self._watches = lambda: pause.close() if next(numbers) == watches else None
            yield

    def watch_is_open(self) -> None:
        """Note one watch of the recorded client."""
        self._watches()

    def clear(self) -> None:
        """Leave nothing of the scene."""
        self._hands.delete_pod(NAMES, self._time())
        self._hands.delete_namespace(NAMES.namespace, self._time())
        self._hands.close()
        self._admin.close()

    def _time(self) -> Any:
        return timeout_of(SECONDS)


class _Watching:
    """A pool manager that tells of watches, once their answers have begun."""

    def __init__(self, pool_manager: Any, stage: RealStage) -> None:
        self._pool_manager = pool_manager
        self._stage = stage

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Send a request on."""
        answer = self._pool_manager.request(method, url, **options)
        if "watch" in parse_qs(urlsplit(url).query):
            self._stage.watch_is_open()
        return answer

    def clear(self) -> None:
        """Close the connections."""
        self._pool_manager.clear()
