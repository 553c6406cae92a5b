"""Fixtures of the unit tests: a log that can be read, and storages that are closed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import structlog
from structlog.testing import LogCapture

from lab_storage import LabObjects, LabStorage
from lab_storage._transport import background as _background
from tests.support.labs import lab_of, shared_lab_of
from tests.support.villain import Villain

StorageOf = Callable[..., LabStorage]


@pytest.fixture(scope="session", autouse=True)
def _short_lived_resolver() -> Iterator[None]:
    """The thread that looks names up does not stay: some tests count threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_background, "IDLE_SECONDS", 0.05)
        yield


@pytest.fixture
def log() -> LogCapture:
    """What was logged: its ``entries``."""
    return LogCapture()


@pytest.fixture
def logger(log: LogCapture) -> Any:
    """A logger that writes into `log`."""
    return structlog.wrap_logger(
        None, processors=[log], wrapper_class=structlog.BoundLogger, context_class=dict
    )


@pytest.fixture(params=[lab_of, shared_lab_of], ids=["own namespace", "shared namespace"])
def lab(request: pytest.FixtureRequest) -> LabObjects:
    """The example lab, in a namespace of its own or in one that exists."""
    return cast("Callable[[], LabObjects]", request.param)()


@pytest.fixture
def storage_of(logger: Any) -> Iterator[StorageOf]:
    """Makes a storage for a villain; further arguments are its client's configuration."""
    storages: list[LabStorage] = []

    def make(villain: Villain, **settings: Any) -> LabStorage:
        storage = LabStorage(villain.api_client(**settings), logger)
        storages.append(storage)
        return storage

    yield make
    for storage in storages:
        storage.close()
