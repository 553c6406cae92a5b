"""The caller's pool manager: its class and settings are taken over, or refused at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes import client
from urllib3.connectionpool import HTTPConnectionPool

from lab_storage import KubernetesError, LabStorage, OperationTimeoutError, PodPhase
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import PENDING, POD_PATH, read_phase
from tests.support.villain import (
    Authority,
    Villain,
    authority,
    black_hole,
    drip,
    json_answer,
    raw,
    tunnel,
)


def storage_with(manager: Any, villain: Villain, logger: Any, **settings: Any) -> LabStorage:
    """A storage whose client has another pool manager than it made."""
    api_client = villain.api_client(**settings)
    api_client.rest_client.pool_manager = manager
    return LabStorage(api_client, logger)


def test_proxy_that_is_put_in_place_is_used(logger: Any) -> None:
    """And not passed by in silence."""
    with Villain(json_answer(PENDING), tls=True) as villain, Villain(tunnel) as proxy:
        manager = urllib3.ProxyManager(proxy.url, ca_certs=str(authority().file))
        with storage_with(manager, villain, logger) as storage:
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
        assert ["CONNECT"] == [each.method for each in proxy.requests]
        assert 0 == len(manager.pools)


def test_proxy_headers_of_one_that_is_put_in_place_are_sent(logger: Any) -> None:
    """They say who may use the proxy."""
    with Villain(json_answer(PENDING)) as proxy, Villain() as villain:
        manager = urllib3.ProxyManager(proxy.url, proxy_headers={"Proxy-Authorization": "me"})
        with storage_with(manager, villain, logger) as storage:
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
        assert [villain.url + POD_PATH] == [each.target for each in proxy.requests]
        assert 0 == len(villain.requests)


def test_authorities_of_one_that_is_put_in_place_count(tmp_path: Path, logger: Any) -> None:
    """Whatever the configuration names."""
    other = Authority(tmp_path)
    with Villain(json_answer(PENDING), tls=True) as villain:
        manager = urllib3.PoolManager(ca_certs=str(authority().file))
        with storage_with(manager, villain, logger, ssl_ca_cert=str(other.file)) as storage:
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
        manager = urllib3.PoolManager(ca_certs=str(other.file))
        with (
            storage_with(manager, villain, logger) as storage,
            pytest.raises(KubernetesError, match="certificate verify failed"),
        ):
            read_phase(storage, timeout_of(5))


def test_one_that_is_put_in_place_later_counts_from_then_on(logger: Any) -> None:
    """Without a new storage."""
    with Villain(json_answer(PENDING)) as villain, Villain(json_answer(PENDING)) as proxy:
        api_client = villain.api_client()
        with LabStorage(api_client, logger) as storage:
            read_phase(storage, timeout_of(5))
            api_client.rest_client.pool_manager = urllib3.ProxyManager(proxy.url)
            read_phase(storage, timeout_of(5))
        assert (1, 1) == (len(villain.requests), len(proxy.requests))


class CountingManager(urllib3.PoolManager):
    """One that adds something to each request, and leaves the rest to urllib3."""

    counted = 0

    def urlopen(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        """Count, and send."""
        type(self).counted += 1
        return super().urlopen(method, url, *arguments, **options)


def test_deadlines_hold_with_a_class_of_the_callers(logger: Any) -> None:
    """Its own method is called, on connections that keep a deadline."""
    CountingManager.counted = 0
    with Villain(json_answer(PENDING), drip("body", PENDING)) as villain:
        manager = CountingManager(retries=5)
        with storage_with(manager, villain, logger) as storage:
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
            with pytest.raises(OperationTimeoutError):
                read_phase(storage, timeout_of(0.3))
        assert (2, 0) == (CountingManager.counted, len(manager.pools))


def test_pools_of_the_callers_are_refused_at_once(logger: Any) -> None:
    """On connections of another class no deadline could be kept."""

    class Pool(HTTPConnectionPool):
        pass

    api_client = client.ApiClient(client.Configuration())
    manager = urllib3.PoolManager()
    manager.pool_classes_by_scheme = {"http": Pool, "https": Pool}
    api_client.rest_client.pool_manager = manager
    with pytest.raises(TypeError, match=r"pools of the class .*Pool.* no deadline can be kept"):
        LabStorage(api_client, logger)


def test_connection_that_takes_too_long(
    storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the pair of arguments that urllib3's exception has."""
    monkeypatch.setattr("lab_storage._transport.connect.CONNECT_SECONDS", 0.05)
    with black_hole() as port, Villain() as villain:
        storage = storage_of(villain, host=f"http://127.0.0.1:{port}")
        with pytest.raises(OperationTimeoutError) as caught:
            read_phase(storage, timeout_of(0.3))
    assert str(caught.value).endswith("last: connecting to 127.0.0.1 took too long)")


def test_proxy_that_is_overloaded_is_tried_again(storage_of: StorageOf) -> None:
    """Its 503 may pass."""
    refusal = raw(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    with Villain(json_answer(PENDING), tls=True) as villain, Villain(refusal, tunnel) as proxy:
        storage = storage_of(villain, proxy=proxy.url)
        assert PodPhase.PENDING is read_phase(storage, timeout_of(10))
