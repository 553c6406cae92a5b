"""The errors of the library.

.. code-block:: text

    LabStorageError
    ├── KubernetesError
    ├── ManifestError  (also the built-in ValueError)
    ├── MissingObjectError
    │   └── MissingSecretError
    ├── OperationCancelledError
    ├── OperationTimeoutError  (also the built-in TimeoutError)
    └── PodStartError

No exception of urllib3, of the official client or of a JSON parser reaches the
caller, except as a ``__cause__``. Bad arguments raise `ValueError` or `TypeError`
before anything is sent. All text that comes from outside is shown without control
characters.

Attributes, ``args`` and pickling come from attrs; the text is each class's own.
Every error can be pickled, and its ``args`` are its attributes in the order of
the constructor, all of them JSON's types: that is how Celery sends an exception
through a result backend and builds it again
(``celery.backends.base.Backend.prepare_exception``).
"""

from __future__ import annotations

from typing import Any

import attrs

from lab_storage._pod_data import PodDiagnosis, from_plain, to_plain

__all__ = [
    "KubernetesError",
    "LabStorageError",
    "ManifestError",
    "MissingObjectError",
    "MissingSecretError",
    "OperationCancelledError",
    "OperationTimeoutError",
    "PodStartError",
]


class LabStorageError(Exception):
    """Any error of this library."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


@attrs.define(auto_exc=True, slots=False, eq=False, repr=False)
class KubernetesError(LabStorageError):
    """The API server refused, or what it said cannot be used.

    Attributes
    ----------
    message
        What the server said, in its own words if it said anything. For a Secret,
        only what cannot show any of its values.
    user
        The user whose lab it is, according to the `Timeout` of the call.
    kind, namespace, name
        The object, if there is one.
    status
        The HTTP status, or `None` if there was no usable answer.
    reason
        Kubernetes' word for the status, such as ``AlreadyExists``.
    body
        The body of the answer, as text; always `None` for a Secret.
    operation
        What was being done, according to the `Timeout` of the call.
    """

    message: str
    user: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    status: int | None = None
    reason: str | None = None
    body: str | None = None
    operation: str | None = None

    def __str__(self) -> str:
        about = describe_object(self.kind, self.namespace, self.name)
        subject = ": ".join(part for part in (self.operation, about) if part)
        if self.user:
            subject += f" (user {self.user})" if subject else f"user {self.user}"
        said = " ".join(str(part) for part in (self.status, self.reason) if part is not None)
        return one_line(": ".join(part for part in (subject, said, self.message) if part))


@attrs.define(auto_exc=True, slots=False, eq=False, repr=False)
class ManifestError(LabStorageError, ValueError):
    """A manifest, or an object made by hand, is not valid in a lab.

    Attributes
    ----------
    manifest
        The manifest: ``Pod lab``. One without a usable name is described by its position,
        counted from 1: ``manifest 3 (Pod)``; an object made by hand by its attribute:
        ``secrets[0]``.
    path
        The field, such as ``spec.containers[0].image``; `None` if the error concerns the whole.
    reason
        What is wrong with it. It never shows a value.
    """

    manifest: str
    path: str | None
    reason: str

    def __str__(self) -> str:
        where = f"{self.manifest}: {self.path}" if self.path else self.manifest
        return one_line(f"{where} {self.reason}")


@attrs.define(auto_exc=True, slots=False, eq=False, repr=False)
class MissingObjectError(LabStorageError):
    """A required object does not exist.

    Attributes
    ----------
    kind, name, namespace
        The object.
    """

    kind: str
    name: str
    namespace: str

    def __str__(self) -> str:
        return one_line(f"{describe_object(self.kind, self.namespace, self.name)} does not exist")


@attrs.define(auto_exc=True, slots=False, eq=False, repr=False)
class MissingSecretError(MissingObjectError):
    """A required Secret does not exist.

    Attributes
    ----------
    kind, name, namespace
        The Secret.
    """


def _diagnosis(value: PodDiagnosis | dict[str, Any] | None) -> PodDiagnosis | None:
    return from_plain(value) if isinstance(value, dict) else value


@attrs.define(auto_exc=True, slots=False, eq=False, repr=False)
class PodStartError(LabStorageError):
    """A container waits for a reason in ``fail_fast``.

    Attributes
    ----------
    name, namespace
        The pod.
    container
        The container or init container, or `None` if the pod itself waits
        (``Unschedulable``).
    reason, message
        What Kubernetes says about it.
    diagnosis
        What is wrong with the pod, a `PodDiagnosis`, as far as it could be read.
    """

    name: str
    namespace: str
    container: str | None
    reason: str
    message: str | None = None
    diagnosis: PodDiagnosis | None = attrs.field(default=None, converter=_diagnosis)

    @property
    def args(self) -> tuple[Any, ...]:  # type: ignore[override]
        """What another one can be made of, in JSON's types: the diagnosis as a `dict`."""
        *others, diagnosis = attrs.astuple(self, recurse=False)
        return (*others, diagnosis and to_plain(diagnosis))

    def __str__(self) -> str:
        subject = describe_object("Pod", self.namespace, self.name)
        if self.container is not None:
            subject += f", container {self.container}"
        text = ": ".join(part for part in (subject, self.reason, self.message) if part)
        # A back-off does not say what lies behind it.
        known = self.diagnosis
        if known is not None and known.trouble is not None and known.reason != self.reason:
            text += f" ({known})"
        return one_line(text)


@attrs.define(auto_exc=True, slots=False, eq=False, repr=False)
class OperationTimeoutError(LabStorageError, TimeoutError):
    """The deadline of a call has passed.

    Attributes
    ----------
    operation
        What was being done.
    user
        The user whose lab it is, if the `Timeout` says so.
    elapsed
        Seconds since the `Timeout` was made; for a part of one, since the whole was made.
    last
        The last failure that was not over, or what the call was still waiting for;
        `None` if there was neither.
    """

    operation: str
    user: str | None
    elapsed: float
    last: str | None = None

    def __str__(self) -> str:
        of_user = f" (user {self.user})" if self.user else ""
        text = f"{self.operation}{of_user} timed out after {self.elapsed:.1f} s"
        return one_line(f"{text} (last: {self.last})" if self.last else text)


@attrs.define(auto_exc=True, slots=False, eq=False, repr=False)
class OperationCancelledError(LabStorageError):
    """The call was cancelled by `Timeout.cancel`.

    Attributes
    ----------
    operation
        What was being done.
    user
        The user whose lab it is, if the `Timeout` says so.
    """

    operation: str
    user: str | None = None

    def __str__(self) -> str:
        of_user = f" (user {self.user})" if self.user else ""
        return one_line(f"{self.operation}{of_user} was cancelled")


def describe_object(kind: str | None, namespace: str | None, name: str | None) -> str:
    """``Pod jovyan/lab``: an object in a message."""
    path = "/".join(part for part in (namespace, name) if part)
    return " ".join(part for part in (kind, path) if part)


def one_line(text: str) -> str:
    """Fold white space and escape control characters: an error is one line."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Escape what a terminal would obey, such as escape sequences and ends of lines."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
