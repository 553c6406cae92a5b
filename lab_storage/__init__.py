"""Notebook labs in Kubernetes, for blocking Python."""

# First and from here, not from the depth of our own imports: where its stack of frames is about
# to grow, CPython 3.11 allocates and frees a part of it at each call, and compiling the patterns
# of urllib3 and http.cookies took four times as long there.
import kubernetes.client  # noqa: F401

from lab_storage._version import __version__ as __version__
from lab_storage.diagnosis import PodDiagnosis, PodTrouble
from lab_storage.exceptions import (
    KubernetesError,
    LabStorageError,
    ManifestError,
    MissingObjectError,
    MissingSecretError,
    OperationCancelledError,
    OperationTimeoutError,
    PodStartError,
)
from lab_storage.live import LiveLabStorage
from lab_storage.models import (
    FAIL_FAST,
    Freshness,
    LabObjectNames,
    LabObjects,
    LabStateObjects,
    LabSummary,
    PodChange,
    PodPhase,
    PodSummary,
    RequestRecord,
)
from lab_storage.storage import LabStorage
from lab_storage.timeout import Timeout

__all__ = [
    "FAIL_FAST",
    "Freshness",
    "KubernetesError",
    "LabObjectNames",
    "LabObjects",
    "LabStateObjects",
    "LabStorage",
    "LabStorageError",
    "LabSummary",
    "LiveLabStorage",
    "ManifestError",
    "MissingObjectError",
    "MissingSecretError",
    "OperationCancelledError",
    "OperationTimeoutError",
    "PodChange",
    "PodDiagnosis",
    "PodPhase",
    "PodStartError",
    "PodSummary",
    "PodTrouble",
    "RequestRecord",
    "Timeout",
]
