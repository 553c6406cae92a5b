"""Where in an object something is wrong: the words of all errors about manifests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NoReturn, TypeGuard

import attrs

from lab_storage._manifests.schema import Format
from lab_storage.exceptions import ManifestError

__all__ = ["Place", "is_boolean", "is_list", "what_is"]


@attrs.frozen
class Place:
    """A position in an object, for the text of an error.

    Attributes
    ----------
    manifest
        The object, as in `ManifestError`.
    path
        The field, as there; empty for the whole object.
    """

    manifest: str
    path: str = ""

    def field(self, name: str) -> Place:
        """Go to a field, or to a key of a map.

        Parameters
        ----------
        name
            Its name.

        Returns
        -------
        Place
            The new position.
        """
        if re.fullmatch(r"[\w-]+", name, re.ASCII) is None:
            return Place(self.manifest, f"{self.path}[{json.dumps(name)}]")
        return Place(self.manifest, f"{self.path}.{name}" if self.path else name)

    def item(self, index: int) -> Place:
        """Go to an item of a list.

        Parameters
        ----------
        index
            Its index, from 0.

        Returns
        -------
        Place
            The new position.
        """
        return Place(self.manifest, f"{self.path}[{index}]")

    def fail(self, reason: str) -> NoReturn:
        """Report that the object is not valid.

        Parameters
        ----------
        reason
            What is wrong at this position.

        Raises
        ------
        ManifestError
            Always.
        """
        raise ManifestError(self.manifest, self.path or None, reason)

    def refuse(self, value: object, expected: Format | str) -> NoReturn:
        """Report a value of the wrong type.

        Parameters
        ----------
        value
            The value; only its type is shown.
        expected
            The type that is expected.

        Raises
        ------
        ManifestError
            Always.
        """
        wanted = expected.value if isinstance(expected, Format) else expected
        hint = ""
        if expected is Format.STRING and isinstance(value, (bool, int, float, date)):
            hint = " (in YAML: quote it)"
        self.fail(f"must be {wanted}, not {what_is(value)}{hint}")


def is_boolean(value: object) -> bool:
    """Whether a value is a boolean.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    bool
        Whether it is one of Python's or of ruamel.yaml's.
    """
    # bool cannot be subclassed: ruamel.yaml derives its class for one with an anchor from int.
    return isinstance(value, bool) or type(value).__name__ == "ScalarBoolean"


# The first that matches: a datetime is a date, text is a sequence.
_NAMES: Final[tuple[tuple[type[Any] | tuple[type[Any], ...], str], ...]] = (
    (type(None), "null"),
    (str, "a string"),
    (int, "an integer"),
    (float, "a number"),
    (datetime, "a timestamp"),
    (date, "a date"),
    ((bytes, bytearray), "binary data"),
    (Mapping, "a mapping"),
    (Sequence, "a list"),
)


def what_is(value: object) -> str:
    """Name the type of a value in the words of JSON and YAML.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    str
        Such as ``a mapping``.
    """
    if is_boolean(value):
        return "a boolean"
    for of_type, name in _NAMES:
        if isinstance(value, of_type):
            return name
    return f"an object of the class {type(value).__name__}"


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a list of JSON, by any class of Python.

    Parameters
    ----------
    value
        Anything.

    Returns
    -------
    bool
        Whether it is a sequence, and neither text nor binary data.
    """
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
