"""A lab that another tool made, on the embedded server."""

from __future__ import annotations

import structlog

from lab_storage import LabStorage
from lab_storage.testing import EmbeddedServer
from tests.support.adoption import check_lab_of_others


def test_lab_of_others_is_read_and_deleted_but_never_changed() -> None:
    """It is a lab to all calls that do not write to it."""
    with (
        EmbeddedServer() as server,
        LabStorage(server.api_client(), structlog.get_logger()) as storage,
    ):
        check_lab_of_others(storage, server.api_client(), "jovyan")
