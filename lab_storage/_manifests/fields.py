"""The table of a lab's fields: attribute, kind, one or many.

The table is the class `lab_storage.models.LabObjects` itself: it says `one` or `many` of a kind
at each attribute. Whatever reads, writes or creates a lab goes through `fields_of` that class.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import attrs

from lab_storage._manifests.kinds import KINDS

if TYPE_CHECKING:
    from lab_storage._manifests.kinds import Kind

__all__ = ["LabField", "fields_of", "many", "one"]

_KEY: Final = "lab_storage.field"


@attrs.frozen
class LabField:
    """One attribute of a lab.

    Attributes
    ----------
    attribute
        Its name. Where `lab_storage.models.LabObjectNames` has one of the same name, that is
        the name of the object.
    kind
        The kind of its objects.
    is_many
        Whether it is a sequence of objects.
    is_required
        Whether a lab cannot be without it.
    """

    attribute: str
    kind: Kind
    is_many: bool = False
    is_required: bool = False

    def objects(self, lab: object) -> Iterator[tuple[str, Any]]:
        """List the objects that a lab has in this attribute.

        Parameters
        ----------
        lab
            The lab.

        Yields
        ------
        tuple
            Where each is, such as ``secrets[0]``, and the object; a required one that is
            missing is `None`.
        """
        value = getattr(lab, self.attribute)
        if self.is_many:
            for index, item in enumerate(value):
                yield f"{self.attribute}[{index}]", item
        elif value is not None or self.is_required:
            yield self.attribute, value


def one(kind: Kind, *, required: bool = False) -> dict[str, Any]:
    """Describe an attribute that holds one object, for the ``metadata`` of `attrs.field`.

    Parameters
    ----------
    kind
        Its kind.
    required
        Whether a lab cannot be without it; otherwise it may be `None`.
    """
    return {_KEY: (kind, False, required)}


def many(kind: Kind) -> dict[str, Any]:
    """Describe an attribute that holds any number of objects, as `one` does.

    Parameters
    ----------
    kind
        Their kind.
    """
    return {_KEY: (kind, True, False)}


def fields_of(lab: type[Any]) -> list[LabField]:
    """Read the table of a class.

    Parameters
    ----------
    lab
        A class that says `one` or `many` at each attribute that holds objects of one kind.

    Returns
    -------
    list of LabField
        In the order in which the objects are created, which is that of `KINDS`.
    """
    fields = [
        LabField(each.name, *each.metadata[_KEY])
        for each in attrs.fields(lab)
        if _KEY in each.metadata
    ]
    return sorted(fields, key=lambda field: KINDS.index(field.kind))
