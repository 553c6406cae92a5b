"""The logger of the library: it drives the bar, and is shown with ``--debug``."""

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
    """Make a logger that does not depend on how structlog is configured.

    Parameters
    ----------
    listener
        Gets each entry, in the thread that logs it.
    debug
        Whether to print them on the standard error, too.
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
    """The object that an entry concerns: ``Pod lab-jovyan/lab``."""
    return describe_object(entry.get("kind"), entry.get("namespace"), entry.get("name"))


@contextmanager
def logging_of_others(*, debug: bool) -> Iterator[None]:
    """Show other libraries' logs and Python's warnings with ``debug``; hide them otherwise.

    Without a handler, Python would print warnings amid the output. The official client is
    not set to debug: it would log the bodies of answers, including Secrets.
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
