"""What the library writes to the caller's log, and that the log's own habits end no call."""

from __future__ import annotations

import logging

import pytest
import structlog

from lab_storage import LabStorage, PodPhase
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase
from tests.support.villain import Villain, json_answer, status

RENDERERS = ("render_to_log_kwargs", "render_to_log_args_and_kwargs")


# structlog has the second from version 25.1 on.
@pytest.mark.parametrize("render", [each for each in RENDERERS if hasattr(structlog.stdlib, each)])
def test_log_that_keeps_the_name_for_itself_ends_no_call(
    render: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`logging` has a ``name`` of its own, and refuses another."""
    logger = structlog.wrap_logger(
        logging.getLogger("labs"),
        processors=[getattr(structlog.stdlib, render)],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
    )
    caplog.set_level(logging.DEBUG, "labs")
    with (
        Villain(status(503, "ServiceUnavailable"), json_answer(PENDING)) as villain,
        LabStorage(villain.api_client(), logger) as storage,
    ):
        assert PodPhase.PENDING is read_phase(storage, timeout_of(10))
    said = [(record.levelname, vars(record)["object_name"]) for record in caplog.records]
    assert [("WARNING", "lab"), ("DEBUG", "lab")] == said
