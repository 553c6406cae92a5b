"""The logger that the library is given: it drives the bar, and speaks with ``--debug``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

from lab_storage.exceptions import describe_object

__all__ = ["logging_of_others", "make_logger", "object_of"]

Entry = MutableMapping[str, Any]


def make_logger(listener: Callable[[Entry], None], *, debug: bool) -> Any:
    """Make a logger of its own, whatever structlog is configured to.

    Parameters
    ----------
    listener
        Gets each entry, in the thread that makes it.
    debug
        Whether to print them too, on the standard error.
    """

    def listen(_logger: Any, _method: str, entry: Entry) -> Entry:
        listener(entry)
        if not debug:
            raise structlog.DropEvent
        return entry

    processors: list[Any] = [
        listen,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
    ]
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )


def object_of(entry: Entry) -> str:
    """Which object an entry is about: ``Pod lab-jovyan/lab``."""
    return describe_object(entry.get("kind"), entry.get("namespace"), entry.get("name"))


@contextmanager
def logging_of_others(*, debug: bool) -> Iterator[None]:
    """Have other libraries' log, and Python's warnings, on the standard error or nowhere.

    Without a handler, Python prints a log's warnings in the midst of the output. The official
    client is not set to debug: it would log the bodies of answers, Secrets among them.
    """
    root = logging.getLogger()
    level = root.level
    handler: logging.Handler = logging.NullHandler()
    if debug:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
        root.setLevel(logging.INFO)
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(level)
