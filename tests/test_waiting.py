"""`Timeout.waiting_for`: what a call is waiting for, for whoever watches it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog

from lab_storage import LabStorage, Timeout
from lab_storage.testing import Delays, EmbeddedServer
from tests.support.cluster import eventually
from tests.support.labs import lab_of, timeout_of


def test_timeout_says_what_a_call_is_waiting_for() -> None:
    """Another thread reads it while the call blocks, of the whole and of a part."""
    delays = Delays(service_account=None)
    timeout = timeout_of(60)
    with (
        EmbeddedServer(delays=delays) as server,
        LabStorage(server.api_client(), structlog.get_logger()) as storage,
        ThreadPoolExecutor(1) as threads,
    ):
        assert timeout.waiting_for is None
        create = threads.submit(storage.create, lab_of(), timeout.partial(timedelta(seconds=60)))
        # Until the quota is known, that may be told instead.
        what = "ServiceAccount lab-jovyan/default does not exist yet"
        eventually(lambda: timeout.waiting_for == what)
        timeout.cancel()
        assert create.exception(10) is not None


def test_nothing_is_waited_for_once_the_call_is_over() -> None:
    """What was waited for has come."""
    delays = Delays(service_account=timedelta(seconds=0.2))
    timeout = Timeout("Testing", timedelta(seconds=60))
    with (
        EmbeddedServer(delays=delays) as server,
        LabStorage(server.api_client(), structlog.get_logger()) as storage,
    ):
        storage.create(lab_of(), timeout)
    assert timeout.waiting_for is None
