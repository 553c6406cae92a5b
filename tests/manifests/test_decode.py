from __future__ import annotations

import copy
import datetime as dt
import inspect
import json
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes import client

from lab_storage._manifests.decode import decode
from lab_storage._manifests.kinds import (
    CONFIG_MAP,
    EVENT,
    KINDS,
    NAMESPACE,
    NETWORK_POLICY,
    POD,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE,
    Kind,
)

WORD_IN_BASE64 = "b3BlbnNlc2FtZQ=="

# As a kube-apiserver sends them.
OBJECTS: list[tuple[Kind, dict[str, Any]]] = [
    (
        POD,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "nb",
                "namespace": "lab-ada",
                "uid": "6b0ad0c3-4ab1-4a53-b7b6-1f5b7b2b4f0e",
                "resourceVersion": "4711",
                "creationTimestamp": "2026-05-17T09:30:00Z",
                "labels": {"app": "notebook"},
                "managedFields": [
                    {
                        "manager": "lab",
                        "operation": "Update",
                        "apiVersion": "v1",
                        "time": "2026-05-17T09:30:00Z",
                        "fieldsType": "FieldsV1",
                        "fieldsV1": {"f:spec": {"f:containers": {'k:{"name":"notebook"}': {}}}},
                    }
                ],
            },
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 30,
                "containers": [
                    {
                        "name": "notebook",
                        "image": "notebook:2026",
                        "resources": {"limits": {"cpu": "4", "memory": "16Gi"}},
                        "ports": [{"name": "http", "containerPort": 8888, "protocol": "TCP"}],
                        "livenessProbe": {"exec": {"command": ["true"]}, "timeoutSeconds": 1},
                        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
                    }
                ],
                "volumes": [
                    {"name": "tmp", "emptyDir": {}},
                    {
                        "name": "kube-api-access-x",
                        "projected": {
                            "defaultMode": 420,
                            "sources": [
                                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "t"}}
                            ],
                        },
                    },
                ],
                "tolerations": [
                    {
                        "key": "node.kubernetes.io/not-ready",
                        "operator": "Exists",
                        "effect": "NoExecute",
                        "tolerationSeconds": 300,
                    }
                ],
            },
            "status": {
                "phase": "Pending",
                "qosClass": "Guaranteed",
                "startTime": "2026-05-17T09:30:01Z",
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "False",
                        "reason": "ContainersNotReady",
                        "lastProbeTime": None,
                        "lastTransitionTime": "2026-05-17T09:30:01Z",
                    }
                ],
                "containerStatuses": [
                    {
                        "name": "notebook",
                        "image": "notebook:2026",
                        "imageID": "",
                        "ready": False,
                        "restartCount": 0,
                        "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}},
                        "lastState": {},
                    }
                ],
            },
        },
    ),
    (
        EVENT,
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "nb.17a", "namespace": "lab-ada", "resourceVersion": "4712"},
            "involvedObject": {"kind": "Pod", "name": "nb", "namespace": "lab-ada"},
            "reason": "Scheduled",
            "message": "Successfully assigned lab-ada/nb to node",
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "count": None,
            "type": "Normal",
            "eventTime": "2026-05-17T09:30:00.123456Z",
            "action": "Binding",
            "reportingComponent": "default-scheduler",
            "reportingInstance": "default-scheduler-0",
        },
    ),
    (
        SECRET,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "token", "namespace": "lab-ada"},
            "data": {"word": WORD_IN_BASE64, "empty": ""},
            "type": "Opaque",
        },
    ),
    (
        RESOURCE_QUOTA,
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "quota", "namespace": "lab-ada"},
            "spec": {"hard": {"limits.cpu": "4", "pods": "3"}},
            "status": {"hard": {"limits.cpu": "4", "pods": "3"}, "used": {"pods": "0"}},
        },
    ),
    (
        NETWORK_POLICY,
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "policy", "namespace": "lab-ada"},
            "spec": {
                "podSelector": {},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {
                        "from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
                        "ports": [{"protocol": "TCP", "port": 8888}],
                    }
                ],
            },
        },
    ),
    (
        SERVICE,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "nb", "namespace": "lab-ada"},
            "spec": {
                "clusterIP": "10.0.0.7",
                "clusterIPs": ["10.0.0.7"],
                "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}],
            },
            "status": {"loadBalancer": {}},
        },
    ),
    (
        CONFIG_MAP,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "env", "namespace": "lab-ada"},
            "data": {"LAB": "1"},
            "binaryData": {"blob": "YWRh"},
        },
    ),
    (
        NAMESPACE,
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "lab-ada", "deletionTimestamp": "2026-05-17T10:00:00Z"},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {
                "phase": "Terminating",
                "conditions": [
                    {
                        "type": "NamespaceContentRemaining",
                        "status": "True",
                        "lastTransitionTime": "2026-05-17T10:00:05Z",
                        "reason": "SomeResourcesRemain",
                        "message": "Some resources are remaining: pods. has 1 resource instances",
                    }
                ],
            },
        },
    ),
]
BODIES = {kind.name: body for kind, body in OBJECTS}


def body_of(kind: Kind) -> dict[str, Any]:
    """Give what the server sent for a kind anew."""
    return copy.deepcopy(BODIES[kind.name])


def by_the_client(kind: Kind, body: dict[str, Any]) -> Any:
    """Decode as the official client does."""
    text = json.dumps(body)
    with client.ApiClient() as api_client:
        if "content_type" in inspect.signature(api_client.deserialize).parameters:
            return api_client.deserialize(text, kind.model, "application/json")
        return api_client.deserialize(SimpleNamespace(data=text), kind.model)


@pytest.mark.parametrize(("kind", "body"), OBJECTS, ids=[kind.name for kind, _ in OBJECTS])
def test_an_ordinary_object_is_what_the_client_makes_of_it(
    kind: Kind, body: dict[str, Any]
) -> None:
    """Model for model it equals the official client's own decoding."""
    decoded = decode(kind, body)

    assert by_the_client(kind, body) == decoded
    assert type(decoded) is getattr(client, kind.model)


@pytest.mark.parametrize(("kind", "body"), OBJECTS, ids=[kind.name for kind, _ in OBJECTS])
def test_an_unknown_field_changes_nothing_else(kind: Kind, body: dict[str, Any]) -> None:
    """What a newer server says more, at any depth, is left out, and all the rest is there."""

    def add(value: Any) -> Any:
        if isinstance(value, dict):
            more = {"fieldOfTomorrow": {"x": [1]}} if "name" in value or "spec" in value else {}
            return {key: add(item) for key, item in value.items()} | more
        return [add(item) for item in value] if isinstance(value, list) else value

    assert decode(kind, body) == decode(kind, add(body))


def test_times_are_aware() -> None:
    """A timestamp becomes a datetime in UTC; microseconds are kept."""
    event = decode(EVENT, body_of(EVENT))

    assert dt.datetime(2026, 5, 17, 9, 30, 0, 123456, dt.timezone.utc) == event.event_time
    assert (None, None, None) == (event.count, event.first_timestamp, event.last_timestamp)


def test_a_null_where_a_list_belongs_is_an_empty_list() -> None:
    """A required list can be gone through; what stands beside it is kept."""
    body = body_of(POD)
    body["spec"]["containers"] = None
    body["spec"]["volumes"][1]["projected"]["sources"] = None
    body["status"]["containerStatuses"] = None

    pod = decode(POD, body)

    assert [] == pod.spec.containers
    assert "kube-api-access-x" == pod.spec.volumes[1].name
    assert not pod.spec.volumes[1].projected.sources
    assert pod.status.container_statuses is None
    assert "Pending" == pod.status.phase


def test_words_that_nobody_has_defined_are_kept() -> None:
    """An unknown phase, policy or condition is what the model says."""
    body = body_of(POD)
    body["status"]["phase"] = "Hibernating"
    body["spec"]["restartPolicy"] = "Sometimes"
    body["status"]["conditions"][0]["status"] = "Perhaps"

    pod = decode(POD, body)

    assert ("Hibernating", "Sometimes", "Perhaps") == (
        pod.status.phase,
        pod.spec.restart_policy,
        pod.status.conditions[0].status,
    )


def test_values_of_the_wrong_type_are_kept_as_they_are() -> None:
    """The model holds what was sent, and all else is decoded as ever."""
    body = body_of(POD)
    body["status"]["phase"] = 7
    body["status"]["startTime"] = "yesterday"
    body["status"]["conditions"] = {"type": "Ready"}
    body["spec"]["containers"][0]["ports"][0]["containerPort"] = "8888"
    body["spec"]["volumes"].append("tmp")
    body["metadata"]["labels"] = None

    pod = decode(POD, body)

    assert (7, "yesterday", {"type": "Ready"}) == (
        pod.status.phase,
        pod.status.start_time,
        pod.status.conditions,
    )
    assert "8888" == pod.spec.containers[0].ports[0].container_port
    assert "tmp" == pod.spec.volumes[2]
    assert pod.metadata.labels is None
    assert "ErrImagePull" == pod.status.container_statuses[0].state.waiting.reason
    assert dt.datetime(2026, 5, 17, 9, 30, tzinfo=dt.timezone.utc) == (
        pod.metadata.creation_timestamp
    )


def test_required_fields_that_are_missing_are_none() -> None:
    """Every attribute of the class can be read, whatever the server left out."""
    pod = decode(POD, {"metadata": {}, "spec": {"containers": [{}], "nodeName": "n"}})
    event = decode(EVENT, {"message": "hello"})

    assert (None, None) == (pod.spec.containers[0].name, pod.spec.containers[0].image)
    assert ("n", None, None) == (pod.spec.node_name, pod.status, pod.kind)
    assert ("hello", None, None) == (event.message, event.involved_object, event.metadata)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_empty_object_is_a_model_with_nothing_in_it(kind: Kind) -> None:
    """Each attribute of the class is there, and None."""
    model = decode(kind, {})

    assert {None} == {getattr(model, attribute) for attribute in model.openapi_types}


def test_a_secret_keeps_its_values_whatever_stands_beside_them() -> None:
    """One odd field does not cost the others."""
    body = body_of(SECRET)
    body["data"]["odd"] = None
    body["data"]["number"] = 7
    body["immutable"] = "perhaps"

    secret = decode(SECRET, body)

    assert {"word": WORD_IN_BASE64, "empty": "", "odd": None, "number": 7} == secret.data
    assert ("Opaque", "token") == (secret.type, secret.metadata.name)


def test_an_odd_model_is_as_good_as_any() -> None:
    """It can be compared, shown, written as a dict, copied and pickled."""
    body = body_of(POD)
    body["spec"]["containers"][0]["name"] = None
    body["spec"]["containers"][0]["livenessProbe"]["exec"] = 7

    pod = decode(POD, body)

    assert "notebook:2026" == pod.to_dict()["spec"]["containers"][0]["image"]
    assert 7 == pod.spec.containers[0].liveness_probe._exec
    assert "notebook:2026" in repr(pod)
    assert pod == copy.deepcopy(pod)
    assert pod == pickle.loads(pickle.dumps(pod))
    assert pod != decode(POD, body_of(POD))


def test_the_body_is_left_unchanged() -> None:
    """Decoding an odd object does not repair what it was given."""
    body = body_of(POD)
    body["spec"]["containers"] = None
    before = copy.deepcopy(body)

    decode(POD, body)

    assert before == body


@pytest.mark.parametrize("body", [None, [], "pod", b"{}", 7])
def test_anything_but_an_object_is_a_type_error(body: Any) -> None:
    """The error shows the class of what was given and nothing of it."""
    with pytest.raises(TypeError, match=rf"^a Pod must be a mapping, not {type(body).__name__}$"):
        decode(POD, body)


def test_decoding_makes_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's models make a Configuration each if none is given; ours do not."""
    body = body_of(POD)
    body["spec"]["containers"][0]["name"] = None

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a Configuration was made")

    monkeypatch.setattr(client.Configuration, "__init__", refuse)

    assert "nb" == decode(POD, body).metadata.name


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def odd_bodies(draw: st.DrawFn) -> tuple[Kind, dict[str, Any]]:
    """Put random JSON into a random place of an ordinary object."""
    kind, ordinary = draw(st.sampled_from(OBJECTS))
    body = copy.deepcopy(ordinary)
    place: Any = body
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if not (isinstance(inner, (dict, list)) and inner and draw(st.booleans())):
            place[key] = draw(JSON)
            return kind, body
        place = inner


@settings(deadline=None)
@given(odd=odd_bodies())
def test_no_json_object_whatever_fails(odd: tuple[Kind, dict[str, Any]]) -> None:
    """Random JSON anywhere in an object gives a model, all of whose attributes can be read."""
    kind, body = odd

    model = decode(kind, body)

    assert {*model.openapi_types} == {*model.to_dict()}
