"""Notebook labs in Kubernetes, for blocking Python.

The names of the contract are in ``__all__``; `FAIL_FAST` is a convenience.
"""

from lab_storage._version import __version__ as __version__
from lab_storage.exceptions import (
    KubernetesError,
    LabStorageError,
    MissingObjectError,
    MissingSecretError,
    OperationCancelledError,
    OperationTimeoutError,
    PodStartError,
)
from lab_storage.models import (
    FAIL_FAST as FAIL_FAST,
)
from lab_storage.models import (
    LabObjectNames,
    LabObjects,
    LabStateObjects,
    PodPhase,
)
from lab_storage.storage import LabStorage
from lab_storage.timeout import Timeout

__all__ = [
    "KubernetesError",
    "LabObjectNames",
    "LabObjects",
    "LabStateObjects",
    "LabStorage",
    "LabStorageError",
    "MissingObjectError",
    "MissingSecretError",
    "OperationCancelledError",
    "OperationTimeoutError",
    "PodPhase",
    "PodStartError",
    "Timeout",
]
