"""A lab that another tool made, on a real control plane."""

from __future__ import annotations

import secrets

import pytest
import structlog

from lab_storage import LabStorage
from tests.plane.remote import Cluster
from tests.support.adoption import check_lab_of_others


@pytest.mark.usefixtures("lab_role")
def test_lab_of_others_is_read_and_deleted_but_never_changed(control_plane: Cluster) -> None:
    """The documented role is enough for that."""
    with (
        control_plane.api_client() as admin,
        control_plane.api_client("lab") as api_client,
        LabStorage(api_client, structlog.get_logger()) as storage,
    ):
        check_lab_of_others(storage, admin, f"adopted-{secrets.token_hex(4)}")
