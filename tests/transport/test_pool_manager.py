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
    answer,
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


class TestTexts:
    """What goes wrong on the way is said without names of private classes."""

    def test_refused_connection(self, storage_of: StorageOf) -> None:
        """Which address, and the system's own words."""
        with Villain() as villain:
            storage = storage_of(villain, host="http://127.0.0.1:1")
            with pytest.raises(OperationTimeoutError) as caught:
                read_phase(storage, timeout_of(0.1))
        text = "last: 127.0.0.1:1: cannot connect: [Errno 111] Connection refused)"
        assert str(caught.value).endswith(text)

    def test_proxy_that_is_down(self, storage_of: StorageOf) -> None:
        """That it is the proxy, and what is wrong with it."""
        with Villain() as villain:
            storage = storage_of(villain, proxy="http://127.0.0.1:1")
            with pytest.raises(OperationTimeoutError) as caught:
                read_phase(storage, timeout_of(0.1))
        assert str(caught.value).endswith(
            "last: Unable to connect to proxy: 127.0.0.1:1: cannot connect: "
            "[Errno 111] Connection refused)"
        )

    def test_connection_that_takes_too_long(
        self, storage_of: StorageOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not the pair of arguments that urllib3's exception has."""
        monkeypatch.setattr("lab_storage._transport.connect.CONNECT_SECONDS", 0.05)
        with black_hole() as port, Villain() as villain:
            storage = storage_of(villain, host=f"http://127.0.0.1:{port}")
            with pytest.raises(OperationTimeoutError) as caught:
                read_phase(storage, timeout_of(0.3))
        assert str(caught.value).endswith("last: connecting to 127.0.0.1 took too long)")

    def test_proxy_that_refuses_a_tunnel(self, storage_of: StorageOf) -> None:
        """It is final at once: a proxy that wants a password goes on wanting it."""
        refusal = raw(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        with Villain(tls=True) as villain, Villain(refusal) as proxy:
            storage = storage_of(villain, proxy=proxy.url)
            with pytest.raises(KubernetesError) as caught:
                read_phase(storage, timeout_of(5))
        assert 1 == len(proxy.requests)
        assert str(caught.value).endswith(
            "Unable to connect to proxy: "
            "Tunnel connection failed: 407 Proxy Authentication Required"
        )

    def test_proxy_that_is_overloaded_is_tried_again(self, storage_of: StorageOf) -> None:
        """Its 503 may pass."""
        refusal = raw(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        with Villain(json_answer(PENDING), tls=True) as villain, Villain(refusal, tunnel) as proxy:
            storage = storage_of(villain, proxy=proxy.url)
            assert PodPhase.PENDING is read_phase(storage, timeout_of(10))

    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    def test_redirection(self, code: int, storage_of: StorageOf) -> None:
        """It is not followed, since a token would go with it; the error says where it leads."""
        moved = answer(code, b"<html>", {"Location": "https://login.example/\x1b[31m?next=/"})
        with Villain(moved) as villain:
            with pytest.raises(KubernetesError) as caught:
                read_phase(storage_of(villain), timeout_of(5))
            assert 1 == len(villain.requests)
        assert code == caught.value.status
        assert "Location: https://login.example/" in str(caught.value)
        assert "\x1b" not in str(caught.value)
