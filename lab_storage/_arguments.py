"""Checks of what a caller passes, before anything is sent."""

from __future__ import annotations

import difflib
import inspect
import logging
import math
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

import kubernetes.client

from lab_storage._manifests.kinds import LAB_KINDS

if TYPE_CHECKING:
    from lab_storage._manifests.kinds import Kind, NameRule

__all__ = [
    "Logger",
    "check_api_client",
    "check_count",
    "check_instance",
    "check_kinds",
    "check_logger",
    "check_name",
    "check_observer",
    "check_uid",
    "whole_seconds",
    "words",
]


class Logger(Protocol):
    """What the library needs of a structlog logger, for type checkers."""

    def bind(self, **new_values: Any) -> Any:
        """Make a logger with more fields."""

    # The parameters have structlog's names: otherwise none of its loggers would match.
    def debug(self, event: str, *args: Any, **kw: Any) -> Any:
        """Log a line of level debug."""

    def warning(self, event: str, *args: Any, **kw: Any) -> Any:
        """Log a line of level warning."""


# What every bound logger of structlog has. Loggers of other libraries lack some of it.
_LOGGER_METHODS: Final = ("bind", "unbind", "new", "debug", "info", "warning", "error")


def check_instance(field: str, value: object, expected: type) -> None:
    """Raise a `TypeError` unless a value is of that class."""
    if not isinstance(value, expected):
        raise TypeError(f"{field} must be {expected.__name__}, not {type(value).__name__}")


def check_name(field: str, value: object, rule: NameRule) -> None:
    """Raise a `TypeError` or `ValueError` unless a value is the name of an object."""
    check_instance(field, value, str)
    if not rule.allows(str(value)):
        raise ValueError(f"{field} must be {rule.title}, got {str(value)[:300]!r}")


def check_count(field: str, value: object) -> None:
    """Raise a `TypeError` or `ValueError` unless a value is an integer from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{field} must be int, not {type(value).__name__}")
    if value < 0:
        raise ValueError(f"{field} must not be negative, got {value}")


def check_uid(value: object) -> None:
    """Raise a `TypeError` or `ValueError` unless a value is a UID, or `None`."""
    if value is not None:
        check_instance("uid", value, str)
        if not value:
            # What a missing UID reads as must not mean "whichever there is".
            raise ValueError("uid must not be empty; leave it out for whichever object exists")


def whole_seconds(field: str, value: object) -> int:
    """Read a duration, its fraction of a second rounded up; a negative one is a `ValueError`."""
    if not isinstance(value, timedelta):
        raise TypeError(f"{field} must be a datetime.timedelta, not {type(value).__name__}")
    if value < timedelta(0):
        raise ValueError(f"{field} must not be negative: {value!r}")
    return math.ceil(value / timedelta(seconds=1))


def words(field: str, value: object) -> frozenset[str]:
    """Read a collection of words; raise a `TypeError` for anything else, a `str` included."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{field} must be a collection of str, not a {type(value).__name__}")
    found = list(value)
    for word in found:
        if not isinstance(word, str):
            raise TypeError(f"{field} must be a collection of str, not of {type(word).__name__}")
    return frozenset(found)


def check_kinds(
    field: str, value: object, manifests: Iterable[tuple[Kind, object]]
) -> frozenset[str]:
    """Read a collection of kinds of a lab; a word that is not one must not cost a volume."""
    kinds = words(field, value)
    known = {kind.name for kind in LAB_KINDS} | {kind.name for kind, _ in manifests}
    for word in sorted(kinds - known):
        near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
        hint = f" (is it {near[0]}?)" if near else ""
        raise ValueError(f"{field} has {word[:100]!r}, which is not a kind of this lab{hint}")
    return kinds


def check_api_client(value: object) -> None:
    """Raise a `TypeError`, which says what to pass, for anything but the official client."""
    if isinstance(value, kubernetes.client.ApiClient):
        return
    # A client of kubernetes.aio or kubernetes_asyncio, or an API object of theirs.
    inner = getattr(value, "api_client", value)
    if inspect.iscoroutinefunction(getattr(inner, "call_api", None)):
        advice = "this library is synchronous; pass a kubernetes.client.ApiClient"
    elif isinstance(inner, kubernetes.client.ApiClient):
        advice = "pass its attribute api_client"
    elif isinstance(value, kubernetes.client.Configuration):
        advice = "pass kubernetes.client.ApiClient(configuration)"
    else:
        advice = "pass one such as kubernetes.config.new_client_from_config() returns"
    shown = _shown(value)
    if shown == "ApiClient":
        # Others have a class of the same name.
        shown += f" of {type(value).__module__}"
    raise TypeError(f"api_client must be a kubernetes.client.ApiClient, not {shown}: {advice}")


def check_observer(value: object) -> None:
    """Raise a `TypeError` for anything but a function that can be called, or `None`."""
    if value is None:
        return
    if not callable(value):
        raise TypeError(f"observer must be callable or None, not {_shown(value)}")
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(
        getattr(value, "__call__", None)  # noqa: B004 - whether it is asynchronous
    ):
        raise TypeError("observer must be a function that is not asynchronous: nobody awaits it")


def check_logger(value: object) -> None:
    """Raise a `TypeError`, which says what to pass, for anything but a logger of structlog."""
    if isinstance(value, (logging.Logger, logging.LoggerAdapter)):
        advice = "pass structlog.stdlib.get_logger(), or structlog.wrap_logger() of it"
    elif isinstance(value, type) or not all(
        callable(getattr(value, method, None)) for method in _LOGGER_METHODS
    ):
        advice = "pass one such as structlog.get_logger() returns"
    elif inspect.iscoroutinefunction(getattr(value, "debug", None)):
        advice = "this library is synchronous; pass one whose methods are, too"
    else:
        return
    raise TypeError(f"logger must be a structlog logger, not {_shown(value)}: {advice}")


def _shown(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else type(value).__name__
