"""A lab in a YAML file, and which of its objects are which."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import attrs
import yaml

from lab_storage._cli.failures import Exit, FailedError
from lab_storage._manifests.documents import each_manifest
from lab_storage._manifests.fields import fields_of
from lab_storage._manifests.lab import check_fields
from lab_storage.exceptions import ManifestError
from lab_storage.models import LabObjectNames, LabObjects

__all__ = ["ALL", "LabFile", "Named"]

Manifest = dict[str, Any]
# The names that a command may need.
ALL = frozenset({"namespace", "env_config_map", "quota", "pod"})
# Labels and annotations by which spawners say whose lab it is, such as
# hub.jupyter.org/username.
_USER = re.compile(r"(?:.*/)?user(?:name)?")


@attrs.frozen
class LabFile:
    """The manifests in a file.

    Attributes
    ----------
    path
        The file, for messages.
    manifests
        Its content; the items of lists, and not the lists.
    """

    path: str
    manifests: list[Manifest]

    @classmethod
    def read(cls, path: str) -> LabFile:
        """Read a file, or the standard input where ``path`` is a dash.

        Raises
        ------
        FailedError
            If it cannot be read, is not YAML, or holds anything but manifests.
        """
        title = "standard input" if path == "-" else path
        try:
            content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
            documents = [each for each in yaml.safe_load_all(content) if each is not None]
        except OSError as error:
            raise FailedError(Exit.USAGE, f"{title}: {error.strerror or error}") from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            text = error.problem or error.context
            raise FailedError(Exit.USAGE, f"{title}{place}: invalid YAML: {text}") from error
        # An impossible date is a ValueError of PyYAML, endless brackets are a RecursionError.
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise FailedError(Exit.USAGE, f"{title}: invalid YAML: {error}") from error
        for number, document in enumerate(documents, start=1):
            if not isinstance(document, dict) or "kind" not in document:
                text = f"document {number} is not a Kubernetes manifest: it has no kind"
                raise FailedError(Exit.USAGE, f"{title}: {text}")
        try:
            manifests = [dict(manifest) for manifest, _ in each_manifest(documents)]
        except ManifestError as error:
            raise FailedError(Exit.USAGE, f"{title}: {error}") from error
        if not manifests:
            raise FailedError(Exit.USAGE, f"{title}: no Kubernetes manifest in it")
        return cls(title, manifests)

    def check(self) -> None:
        """Check the fields of all manifests, before asking which object is which.

        Raises
        ------
        FailedError
            If one is not valid; the text names the manifest and the field.
        """
        try:
            check_fields(self.manifests, fields_of(LabObjects))
        except ManifestError as error:
            raise FailedError(Exit.USAGE, f"{self.path}: {error}") from error

    def lab(self, names: LabObjectNames, *, shared_namespace: bool = False) -> LabObjects:
        """Make the lab.

        Parameters
        ----------
        names
            Its names.
        shared_namespace
            Whether its namespace exists already, and is not its own.

        Raises
        ------
        FailedError
            If it is not valid; the text names the manifest and the field.
        """
        try:
            return LabObjects.from_manifests(
                self.manifests, names, shared_namespace=shared_namespace
            )
        except ManifestError as error:
            raise FailedError(Exit.USAGE, f"{self.path}: {error}") from error

    def names(self, kind: str) -> list[str]:
        """List the names of the objects of a kind."""
        return [
            name
            for manifest in self.manifests
            if manifest["kind"] == kind
            for name in [_get(manifest, "metadata", "name")]
            if isinstance(name, str) and name
        ]

    def namespaces(self) -> list[str]:
        """List its namespaces or, if there are none, those that its objects name."""
        found = self.names("Namespace") or [
            name
            for manifest in self.manifests
            for name in [_get(manifest, "metadata", "namespace")]
            if isinstance(name, str) and name
        ]
        return _each_once(found)

    def env_config_maps(self) -> list[str]:
        """List the config maps that may be the environment's.

        That is the only one, or those that a container takes its environment from.
        """
        every = self.names("ConfigMap")
        if len(every) == 1:
            return every
        taken = {
            _get(source, "configMapRef", "name")
            for manifest in self.manifests
            if manifest["kind"] == "Pod"
            for container in _items(_get(manifest, "spec", "containers"))
            for source in _items(_get(container, "envFrom"))
        }
        return [name for name in every if name in taken] or every

    def users(self) -> list[str]:
        """List the users whose lab it may be, according to labels and annotations."""
        found = [
            value
            for kind in ("Namespace", "Pod")
            for manifest in self.manifests
            if manifest["kind"] == kind
            for field in ("labels", "annotations")
            for key, value in _mapping(_get(manifest, "metadata", field)).items()
            if isinstance(value, str) and value and _USER.fullmatch(str(key))
        ]
        return _each_once(found)


@attrs.frozen
class Named:
    """A lab that is selected by options, by its file, or both.

    Attributes
    ----------
    file
        The file, if one is given.
    namespace, env_config_map, quota, pod, user
        The options; `None` where one is not given.
    """

    file: LabFile | None = None
    namespace: str | None = None
    env_config_map: str | None = None
    quota: str | None = None
    pod: str | None = None
    user: str | None = None

    def resolve(self, needed: Collection[str] = ALL) -> LabObjectNames:
        """Find the names.

        Parameters
        ----------
        needed
            The attributes that must be right. Any others that cannot be found are filled in.

        Raises
        ------
        FailedError
            If one of them is in neither, is ambiguous, or is not a valid name.
        """
        namespace = self._find("namespace", "namespace", needed)
        pod = self._find("pod", "pod", needed)
        names = {
            "namespace": namespace,
            "env_config_map": self._find("env_config_map", "env config map", needed),
            "quota": self._find("quota", "quota", needed, otherwise=pod),
            "pod": pod,
        }
        # It is only for messages.
        username = self.user or next(iter(self._candidates("user")), None) or namespace
        try:
            return LabObjectNames(username=username, **names)
        except ValueError as error:
            where = f"{self.file.path}: " if self.file else ""
            raise FailedError(Exit.USAGE, f"{where}{error}") from error

    def _find(
        self, field: str, title: str, needed: Collection[str], otherwise: str | None = None
    ) -> str:
        given: str | None = getattr(self, field)
        if given is not None:
            return given
        found = self._candidates(field)
        if len(found) == 1:
            return found[0]
        if field not in needed:
            return "any"
        option = "--" + field.replace("_", "-")
        if self.file is None:
            raise FailedError(
                Exit.USAGE, f"which {title}? Select it with {option}, or its file with -f"
            )
        if found:
            text = f"which {title}? Select one with {option}: {', '.join(found)}"
        elif otherwise is not None:
            # A lab without a quota: no name is wrong.
            return otherwise
        else:
            text = f"no {title} in it, and none selected with {option}"
        raise FailedError(Exit.USAGE, f"{self.file.path}: {text}")

    def _candidates(self, field: str) -> list[str]:
        file = self.file
        if file is None:
            return []
        if field == "namespace":
            return file.namespaces()
        if field == "env_config_map":
            return file.env_config_maps()
        if field == "user":
            return file.users()
        return file.names("ResourceQuota" if field == "quota" else "Pod")


def _get(value: Any, *keys: str) -> Any:
    """Go down in a manifest of any shape."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _each_once(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))
