"""The embedded server says what a real one says.

One set of requests, asked of both. What the real one (kube-apiserver 1.37 with
its controllers) answered is kept (see `tests.testing.contract`), so that the embedded server is
held to it where there is no control plane, and the real one shows, where there is
one, that the recordings are still true.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from lab_storage.testing import Delays, EmbeddedServer

from .contract import SCENARIOS, play
from .contract.api import Api
from .contract.real import RealServer, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plane.remote import Cluster


class Embedded:
    """An embedded server in the place of a control plane."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self.host = server.host
        self.token = server.token
        self.expire_versions = server.compact

    @contextmanager
    def paused_kubelet(self) -> Iterator[None]:
        """Pods neither start nor go."""
        self._server.pause_kubelet()
        yield
        self._server.resume_kubelet()

    @contextmanager
    def custom_resource(
        self, plural: str, kind: str, group: str, schema: dict[str, Any]
    ) -> Iterator[None]:
        """Define a custom resource with a status."""
        self._server.add_custom_resource(plural, kind, group, status=True, schema=schema)
        yield

    @contextmanager
    def paused_controllers(self) -> Iterator[None]:
        """Neither ServiceAccounts are made nor quotas counted."""
        delays = self._server.delays
        delays.service_account = delays.quota = None
        yield
        delays.service_account = delays.quota = timedelta(0)


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    """Plain connections: no client library stands between the test and the answers."""
    with urllib3.PoolManager(retries=False) as pool:
        yield pool


@pytest.fixture
def embedded(pool: urllib3.PoolManager) -> Iterator[Api]:
    """Asks an embedded server, whose namespaces take long enough to go to be asked about."""
    with EmbeddedServer(delays=Delays(namespace=timedelta(seconds=1.5))) as server:
        server.forbid(user="nobody")
        yield Api(Embedded(server), pool)


@pytest.fixture
def real(control_plane: Cluster, pool: urllib3.PoolManager) -> Api:
    """Asks a real control plane."""
    server = RealServer(control_plane)
    pool.connection_pool_kw["ca_certs"] = server.ca_file
    return Api(server, pool)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_embedded_server_says_what_was_recorded(embedded: Api, scenario: str) -> None:
    """Statuses, headers, bodies and watch events are those of kube-apiserver 1.37."""
    play(scenario, embedded)

    assert recorded(scenario) == embedded.log


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_real_server_says_what_was_recorded(real: Api, scenario: str) -> None:
    """The recordings that the embedded server is held to are true."""
    play(scenario, real)

    assert recorded(scenario) == real.log
