"""What the caller has put in the place of its client's pool manager is used."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import urllib3

from lab_storage import LabStorage, PodPhase
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase
from tests.support.villain import Villain, authority, json_answer


def test_tls_context_of_the_callers_pool_is_used(logger: Any) -> None:
    """Whoever put a pool manager with a context in place meant that; it is left as it is."""
    with Villain(json_answer(PENDING), tls=True) as villain:
        context = ssl.create_default_context(cafile=authority().file)
        api_client = villain.api_client(ssl_ca_cert=None)
        api_client.rest_client.pool_manager = urllib3.PoolManager(ssl_context=context)
        with LabStorage(api_client, logger) as storage:
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
    assert ssl.SSLSocket is context.sslsocket_class


ANSWER = mock.Mock(status=200, headers={}, data=b'{"status":{"phase":"Failed"}}')


class Standing(urllib3.PoolManager):
    """A stand-in that is a pool manager by class."""

    def request(self, *_: Any, **__: Any) -> Any:
        """Answer."""
        return ANSWER


def patched() -> urllib3.PoolManager:
    """One of urllib3's own with another ``request``."""
    manager = urllib3.PoolManager()
    manager.request = lambda *_, **__: ANSWER  # type: ignore[method-assign]
    return manager


def specified() -> Any:
    """A mock that says it is one."""
    manager = mock.create_autospec(urllib3.PoolManager, instance=True)
    manager.request.return_value = ANSWER
    return manager


@pytest.mark.parametrize("make", [Standing, patched, specified])
def test_whatever_stands_in_for_the_pool_is_asked(make: Callable[[], Any], logger: Any) -> None:
    """Also where it looks like one of urllib3's, and where it comes after the first call."""
    with Villain(json_answer(PENDING)) as villain:
        api_client = villain.api_client()
        with LabStorage(api_client, logger) as storage:
            assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
            api_client.rest_client.pool_manager = make()
            assert PodPhase.FAILED is read_phase(storage, timeout_of(5))
    assert 1 == len(villain.requests)
