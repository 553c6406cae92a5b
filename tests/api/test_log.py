"""What the library writes to the caller's log, and that the log's own habits end no call."""

from __future__ import annotations

import logging

import pytest
import structlog

from lab_storage import LabStorage, PodPhase
from tests.support.labs import timeout_of
from tests.support.states import PENDING, read_phase
from tests.support.villain import Villain, json_answer, status


@pytest.mark.parametrize("render", ["render_to_log_kwargs", "render_to_log_args_and_kwargs"])
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
