"""Checks of what callers pass, so that a mistake is an error where it is made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs


def check_duration(name: str, value: object) -> None:
    """Refuse what is not a time that can be waited.

    Raises
    ------
    TypeError
        It is not a timedelta: a number could be seconds or milliseconds.
    ValueError
        It is negative.
    """
    if not isinstance(value, timedelta):
        raise TypeError(f"{name} must be a datetime.timedelta, got {value!r}")
    if value < timedelta(0):
        raise ValueError(f"{name} must not be negative, got {value!r}")


def check_type(name: str, value: object, wanted: type[Any], noun: str) -> None:
    """Refuse a value of another type.

    Raises
    ------
    TypeError
        It is of another type; a bool does not count as a number.
    """
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is int):
        raise TypeError(f"{name} must be {noun}, got {value!r}")


def a_duration(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validate an attribute that is a time."""
    check_duration(attribute.name, value)


def an_optional_duration(
    _instance: object, attribute: attrs.Attribute[Any], value: object
) -> None:
    """Validate an attribute that is a time, or ``None``."""
    if value is not None:
        check_duration(attribute.name, value)


def a_boolean(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validate an attribute that is true or false."""
    check_type(attribute.name, value, bool, "a bool")
