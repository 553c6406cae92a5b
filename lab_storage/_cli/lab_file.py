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
from lab_storage.models import LabObjectNames, LabObjects

__all__ = ["ALL", "LabFile", "Named"]

Manifest = dict[str, Any]
# What of a lab a command has to know.
ALL = frozenset({"namespace", "env_config_map", "quota", "pod"})
# Labels and annotations by which spawners say whose a lab is, as hub.jupyter.org/username.
_USER = re.compile(r"(?:.*/)?user(?:name)?")


@attrs.frozen
class LabFile:
    """The manifests in a file.

    Attributes
    ----------
    path
        The file, for messages.
    manifests
        What is in it.
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
        # A date that is none is a ValueError of PyYAML, brackets without end a RecursionError.
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise FailedError(Exit.USAGE, f"{title}: invalid YAML: {error}") from error
        for number, document in enumerate(documents, start=1):
            if not isinstance(document, dict) or "kind" not in document:
                text = f"document {number} is no Kubernetes manifest: it has no kind"
                raise FailedError(Exit.USAGE, f"{title}: {text}")
        if not documents:
            raise FailedError(Exit.USAGE, f"{title}: no Kubernetes manifest is in it")
        return cls(title, documents)

    def lab(self, names: LabObjectNames) -> LabObjects:
        """Make the lab of it.

        Raises
        ------
        FailedError
            If it is none; the text has the manifest and the field.
        """
        try:
            return LabObjects.from_manifests(self.manifests, names)
        except ValueError as error:
            raise FailedError(Exit.USAGE, f"{self.path}: {error}") from error

    def names(self, kind: str) -> list[str]:
        """Give the names of the objects of a kind."""
        return [
            name
            for manifest in self.manifests
            if manifest["kind"] == kind
            for name in [_get(manifest, "metadata", "name")]
            if isinstance(name, str) and name
        ]

    def namespaces(self) -> list[str]:
        """Give the namespaces that are in it or, where none is, those that its objects name."""
        found = self.names("Namespace") or [
            name
            for manifest in self.manifests
            for name in [_get(manifest, "metadata", "namespace")]
            if isinstance(name, str) and name
        ]
        return _each_once(found)

    def env_config_maps(self) -> list[str]:
        """Give the config maps that can be the environment's.

        That is the only one; of several, those that a container takes its environment from.
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
        """Give whose lab it is, as far as a label or an annotation says it."""
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
    """What the options say of which lab, and a file that says the rest.

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
            The attributes that have to be true. Others are something that fits, if it
            cannot be known.

        Raises
        ------
        FailedError
            If one of them is in neither, could be several, or is no name.
        """
        namespace = self._find("namespace", "namespace", needed)
        pod = self._find("pod", "pod", needed)
        names = {
            "namespace": namespace,
            "env_config_map": self._find("env_config_map", "env config map", needed),
            "quota": self._find("quota", "quota", needed, otherwise=pod),
            "pod": pod,
        }
        # It is for messages alone.
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
            raise FailedError(Exit.USAGE, f"which {title}? Say {option}, or give its file by -f")
        if found:
            text = f"which {title}? Say {option}: {', '.join(found)}"
        elif otherwise is not None:
            # A lab without a quota: none of any name is found, which is true.
            return otherwise
        else:
            text = f"no {title} is in it, and none is named by {option}"
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
    """Go down in a manifest that may be of any shape."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _each_once(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))
