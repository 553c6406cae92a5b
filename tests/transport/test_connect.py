"""A name may stand for several addresses, of which some may be dead."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from structlog.testing import LogCapture

from lab_storage import (
    OperationTimeoutError,
    PodPhase,
)
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase
from tests.support.villain import (
    Villain,
    black_hole,
    json_answer,
)


def test_the_next_is_tried_after_one_that_refuses(
    names: dict[str, Any], storage_of: StorageOf, log: LogCapture
) -> None:
    """Without another try."""
    with Villain(json_answer(PENDING)) as villain, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        names["villain.example"] = [closed.getsockname()[1], villain.port]
        storage = storage_of(villain, host="http://villain.example")

        assert PodPhase.PENDING is read_phase(storage, timeout_of(5))
        assert [] == [entry for entry in log.entries if entry["log_level"] == "warning"]


def test_a_black_hole_leaves_time_for_the_next(
    names: dict[str, Any], storage_of: StorageOf
) -> None:
    """Half of what is left, where there are two."""
    with Villain(json_answer(PENDING)) as villain, black_hole() as port:
        names["villain.example"] = [port, villain.port]
        storage, timeout = storage_of(villain, host="http://villain.example"), timeout_of(0.8)

        assert PodPhase.PENDING is read_phase(storage, timeout)
        assert 0.3 < timeout.elapsed()


def test_the_error_of_the_last_is_told(names: dict[str, Any], storage_of: StorageOf) -> None:
    """If none answers."""
    with Villain() as villain, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        names["villain.example"] = [closed.getsockname()[1]]
        storage = storage_of(villain, host="http://villain.example")
        with pytest.raises(OperationTimeoutError, match="Connection refused"):
            read_phase(storage, timeout_of(0.1))


def test_a_name_without_any_is_an_error(names: dict[str, Any], storage_of: StorageOf) -> None:
    """That cannot be connected to."""
    names["villain.example"] = []
    with Villain() as villain:
        storage = storage_of(villain, host="http://villain.example")
        with pytest.raises(OperationTimeoutError, match=r"villain\.example"):
            read_phase(storage, timeout_of(0.1))
