"""A lab that another tool made: what may be done with it, and that it stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client, utils

from lab_storage import KubernetesError, LabStorage, PodPhase
from tests.support.cluster import eventually
from tests.support.labs import brief_lab_of, names_of, timeout_of

SECONDS = 60.0


def make_as_others_do(api_client: client.ApiClient, user: str) -> None:
    """Make the example lab by the plain client."""
    *manifests, pod = brief_lab_of(user).to_manifests()
    assert "Pod" == pod["kind"]
    for manifest in manifests:
        utils.create_from_dict(api_client, manifest)

    def is_made() -> bool:
        try:
            utils.create_from_dict(api_client, pod)
        except utils.FailToCreateError as error:
            # Until its ServiceAccount exists and the quota is in force.
            if [403] != [each.status for each in error.api_exceptions]:
                raise
            return False
        return True

    eventually(is_made)


def contents(api_client: client.ApiClient, namespace: str) -> dict[str, Any]:
    """All of a lab by kind and name, without what the server's controllers write."""
    core, networking = client.CoreV1Api(api_client), client.NetworkingV1Api(api_client)
    lists = {
        "ConfigMap": core.list_namespaced_config_map,
        "NetworkPolicy": networking.list_namespaced_network_policy,
        "PersistentVolumeClaim": core.list_namespaced_persistent_volume_claim,
        "Pod": core.list_namespaced_pod,
        "ResourceQuota": core.list_namespaced_resource_quota,
        "Secret": core.list_namespaced_secret,
        "Service": core.list_namespaced_service,
    }
    found = {}
    for kind, list_ in lists.items():
        for each in json.loads(list_(namespace, _preload_content=False).data)["items"]:
            each.pop("status", None)
            del each["metadata"]["resourceVersion"]
            fields = each["metadata"].pop("managedFields")
            found[f"{kind} {each['metadata']['name']}"] = each
            assert [] == [each for each in fields if each["manager"].startswith("lab_storage")]
    found.pop("ConfigMap kube-root-ca.crt", None)
    return found


def check_lab_of_others(storage: LabStorage, api_client: client.ApiClient, user: str) -> None:
    """Assert what holds of a lab that another tool made."""
    make_as_others_do(api_client, user)
    names, lab = names_of(user), brief_lab_of(user)
    namespace = names.namespace

    # Read, listed and diagnosed.
    phase = storage.wait_for_pod_start(names.pod, namespace, timeout_of(SECONDS))
    assert PodPhase.RUNNING == phase
    before = contents(api_client, namespace)
    assert len(lab.to_manifests()) - 1 == len(before)
    assert PodPhase.RUNNING == storage.read_pod_phase(names, timeout_of(SECONDS))
    state = storage.read_lab_objects(names, timeout_of(SECONDS))
    assert state is not None
    assert state.quota is not None
    assert "small" == state.env_config_map.data["CONTAINER_SIZE"]
    assert [namespace] == storage.list_namespaces(namespace, timeout_of(SECONDS))
    (summary,) = storage.list_labs(namespace, timeout_of(SECONDS))
    assert [(names.pod, PodPhase.RUNNING)] == [(each.name, each.phase) for each in summary.pods]
    diagnosis = storage.read_pod_diagnosis(names, timeout_of(SECONDS))
    assert diagnosis is not None
    assert (PodPhase.RUNNING, None) == (diagnosis.phase, diagnosis.trouble)

    # Never changed.
    for options in {}, {"operation_id": user}, {"keep_existing": ["PersistentVolumeClaim"]}:
        with pytest.raises(KubernetesError) as refusal:
            storage.create(lab, timeout_of(SECONDS), **options)
        assert (409, "Namespace", namespace) == (
            refusal.value.status,
            refusal.value.kind,
            refusal.value.name,
        )
    with pytest.raises(KubernetesError) as left:
        storage.delete_objects(lab, timeout_of(SECONDS))
    assert 409 == left.value.status
    named = f"Namespace {namespace}", *(each.replace(" ", f" {namespace}/") for each in before)
    assert [] == [each for each in named if each not in str(left.value)]
    assert before == contents(api_client, namespace)

    # Deleted by its namespace.
    storage.delete_namespace(namespace, timeout_of(SECONDS), uid=summary.uid)
    assert [] == storage.list_namespaces(namespace, timeout_of(SECONDS))
