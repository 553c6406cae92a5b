"""A lab file, filled with what the Hub knows of a user and a server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

Manifest = dict[str, Any]


class LabFileError(ValueError):
    """A lab file that cannot be used; the text names the file and what is wrong with it."""


def read_lab_file(path: str) -> list[Manifest]:
    """Read the manifests of a lab.

    Parameters
    ----------
    path
        A YAML file.

    Returns
    -------
    list of dict
        Its manifests; blank documents are left out, and a ``List`` counts as its items.

    Raises
    ------
    LabFileError
        If it cannot be read, is not YAML, or holds something else.
    """
    try:
        documents = list(yaml.safe_load_all(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise LabFileError(f"{path}: {error.strerror or error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Not the error's own text: it quotes lines, and a Secret may be in them.
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise LabFileError(f"{path}{place}: invalid YAML") from None
    manifests: list[Manifest] = []
    for number, document in enumerate(documents, start=1):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise LabFileError(f"{path}: document {number} is not a mapping")
        items = document.get("items")
        is_list = document.get("kind") == "List" and isinstance(items, list)
        found = items if is_list and items is not None else [document]
        if not all(isinstance(item, dict) for item in found):
            raise LabFileError(f"{path}: an item of document {number} is not a mapping")
        manifests += found
    return manifests


def replace_text(value: Any, words: Mapping[str, str]) -> Any:
    """Replace words in all texts of a manifest, those of keys left alone.

    Parameters
    ----------
    value
        Any JSON.
    words
        What to replace, longest and most special first. What has been put in is not searched
        again: a user's name may contain a word.

    Returns
    -------
    Any
        A copy.
    """
    if isinstance(value, dict):
        return {key: replace_text(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_text(item, words) for item in value]
    if isinstance(value, str) and words:
        return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], value)
    return value


@attrs.frozen
class Settings:
    """What is set on a spawner, for the container that is the notebook.

    Attributes
    ----------
    image
        Replaces the image of the file.
    command, args
        Replace those of the file.
    limits, requests
        Added to its resources, as ``{"cpu": "2"}``.
    """

    image: str | None = None
    command: list[str] | None = None
    args: list[str] | None = None
    limits: Mapping[str, str] = attrs.field(factory=dict)
    requests: Mapping[str, str] = attrs.field(factory=dict)

    def apply(self, container: Manifest) -> None:
        """Change a container in place."""
        if self.image:
            container["image"] = self.image
        if self.command is not None:
            container["command"] = self.command
        if self.args is not None:
            container["args"] = self.args
        for field, values in (("limits", self.limits), ("requests", self.requests)):
            if values:
                resources = container["resources"] = container.get("resources") or {}
                resources[field] = {**(resources.get(field) or {}), **values}


def find(manifests: list[Manifest], kind: str, name: str, setting: str) -> Manifest:
    """Find one object of a lab.

    Parameters
    ----------
    manifests
        The lab.
    kind, name
        Of the object.
    setting
        The setting of the spawner that has the name, for the error.

    Returns
    -------
    dict
        Its manifest.

    Raises
    ------
    LabFileError
        If it is not among the manifests.
    """
    for manifest in manifests:
        metadata = manifest.get("metadata")
        found = metadata.get("name") if isinstance(metadata, dict) else None
        if manifest.get("kind") == kind and found == name:
            return manifest
    raise LabFileError(f"the lab file has no {kind} {name!r}, which c.LabSpawner.{setting} names")


def notebook_of(pod: Manifest, name: str) -> Manifest:
    """Find the container that is the notebook: the one of that name, or without one the first.

    Raises
    ------
    LabFileError
        If there is none.
    """
    spec = pod.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    for container in containers if isinstance(containers, list) else []:
        if isinstance(container, dict) and name in ("", container.get("name")):
            return container
    which = f"container {name!r}, which c.LabSpawner.container names" if name else "containers"
    raise LabFileError(f"the pod in the lab file has no {which}")
