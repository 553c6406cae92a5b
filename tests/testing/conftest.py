"""An embedded server, and plain HTTP to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab_storage.testing import EmbeddedServer

from .plain import Plain

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def embedded_server(caplog: pytest.LogCaptureFixture) -> Iterator[EmbeddedServer]:
    """A running server; the test fails if one of its controllers does."""
    with EmbeddedServer() as server:
        yield server
    assert [] == [each for each in caplog.records if each.name == "lab_storage.testing"]


@pytest.fixture
def plain(embedded_server: EmbeddedServer) -> Iterator[Plain]:
    """Asks that server; its namespace ``lab`` is there."""
    plain = Plain(embedded_server)
    plain.make_namespace()
    yield plain
    plain.pool.clear()
