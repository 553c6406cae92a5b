"""Each method of `LabStorage` as a call: one table, for all tests of what every method keeps."""

from __future__ import annotations

import pytest

from tests.support.states import LAB, NAMES, Call

METHODS: dict[str, Call] = {
    "create": lambda storage, timeout: storage.create(LAB, timeout),
    "delete_namespace": lambda storage, timeout: storage.delete_namespace("lab", timeout),
    "delete_objects": lambda storage, timeout: storage.delete_objects(LAB, timeout),
    "delete_pod": lambda storage, timeout: storage.delete_pod(NAMES, timeout),
    "list_labs": lambda storage, timeout: storage.list_labs("", timeout),
    "list_namespaces": lambda storage, timeout: storage.list_namespaces("", timeout),
    "read_lab_objects": lambda storage, timeout: storage.read_lab_objects(NAMES, timeout),
    "read_pod_diagnosis": lambda storage, timeout: storage.read_pod_diagnosis(NAMES, timeout),
    "read_pod_phase": lambda storage, timeout: storage.read_pod_phase(NAMES, timeout),
    "read_secret": lambda storage, timeout: storage.read_secret("token", "lab", timeout),
    "wait_for_pod_start": lambda storage, timeout: storage.wait_for_pod_start(
        "lab", "lab", timeout
    ),
    "watch_pod_events": lambda storage, timeout: next(
        storage.watch_pod_events("lab", "lab", timeout)
    ),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
