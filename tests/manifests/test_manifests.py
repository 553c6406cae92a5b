from __future__ import annotations

import collections
import copy
import datetime as dt
import enum
import json
import pickle
import re
import traceback
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import ruamel.yaml
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client

from lab_storage._manifests.convert import read_model, to_json
from lab_storage._manifests.kinds import KINDS
from lab_storage._manifests.place import Place
from lab_storage._manifests.schema import (
    _BASE64,
    _INT_OR_STRING,
    _QUANTITIES,
    Format,
    build_unchecked,
    model_of,
    schema_of,
)
from lab_storage.exceptions import ManifestError
from lab_storage.models import LabObjectNames, LabObjects

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = LabObjectNames("ada", "lab-ada", "env", "quota", "nb")
WORD = "opensesame"
WORD_IN_BASE64 = "b3BlbnNlc2FtZQ=="

LAB = f"""
apiVersion: v1
kind: Pod
metadata:
  name: nb
  labels: {{app: notebook, example.com/user: ada}}
spec:
  restartPolicy: Never
  initContainers:
    - {{name: init, image: "init:1", command: [chown, "1000", /home/ada]}}
  containers:
    - name: notebook
      image: "notebook:2026"
      args: []
      env:
        - {{name: WORD, valueFrom: {{secretKeyRef: {{name: token, key: word}}}}}}
        - name: CPUS
          valueFrom: {{resourceFieldRef: {{resource: limits.cpu, divisor: 1}}}}
      envFrom: [{{configMapRef: {{name: env}}}}]
      livenessProbe: {{exec: {{command: ["true"]}}}}
      readinessProbe: {{httpGet: {{path: /, port: http}}, timeoutSeconds: 3}}
      ports: [{{name: http, containerPort: 8888}}]
      resources: {{limits: {{cpu: 4, memory: 16Gi}}, requests: {{cpu: 0.5}}}}
      volumeMounts: [{{name: home, mountPath: /home/ada, readOnly: false}}]
  volumes:
    - {{name: home, persistentVolumeClaim: {{claimName: home}}}}
    - {{name: tmp, emptyDir: {{}}}}
    - {{name: cache, emptyDir: {{medium: Memory, sizeLimit: 1073741824}}}}
status: null
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: nss}}
data: {{passwd: "ada:x:1000:1000::/home/ada:/bin/sh"}}
binaryData: {{group: YWRh}}
---
apiVersion: v1
kind: Secret
metadata: {{name: token, namespace: lab-ada}}
type: Opaque
data: {{word: {WORD_IN_BASE64}}}
stringData: {{word2: {WORD}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: lab-ada, creationTimestamp: null}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: env, namespace: ""}}
data: {{LAB: "1", EMPTY: ""}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: home}}
spec:
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 5368709120}}}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {{name: quota}}
spec: {{hard: {{limits.cpu: 4, limits.memory: 16Gi, pods: 3}}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: policy}}
spec:
  podSelector: {{}}
  policyTypes: [Ingress, Egress]
  ingress:
    - from: [{{ipBlock: {{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}}}]
      ports: [{{port: 8888}}, {{port: http, protocol: TCP}}]
  egress: []
---
apiVersion: v1
kind: Service
metadata: {{name: nb}}
spec:
  selector: {{app: notebook}}
  ports: [{{port: 80, targetPort: http}}, {{name: raw, port: 81, targetPort: 8888}}]
"""
PARSED = list(yaml.safe_load_all(LAB))


def lab() -> list[dict[str, Any]]:
    """Give the manifests of the lab anew."""
    return copy.deepcopy(PARSED)


def find(manifests: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    """Find the manifest of a kind, the first or the one of that name."""
    return next(
        manifest
        for manifest in manifests
        if manifest["kind"] == kind and name in (None, manifest["metadata"]["name"])
    )


def put(manifest: dict[str, Any], path: str, value: object) -> None:
    """Set what stands under a path such as ``spec/containers/0/image``."""
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    place: Any = manifest
    for step in steps:
        place = place[step] if isinstance(step, int) else place.setdefault(step, {})
    place[last] = value


def error_of(manifests: list[Any]) -> ManifestError:
    """Give the error that these manifests raise."""
    with pytest.raises(ManifestError) as caught:
        LabObjects.from_manifests(manifests, NAMES)
    return caught.value


# What is read ------------------------------------------------------------------------------------


def test_the_objects_of_a_lab_are_found_by_kind_and_name() -> None:
    """Each manifest becomes a model of its class in the place that names and kind say."""
    objects = LabObjects.from_manifests(lab(), NAMES)

    found = {
        field.name: getattr(objects, field.name)
        for field in attrs.fields(LabObjects)
        if not isinstance(getattr(objects, field.name), tuple)
    }
    assert {
        "env_config_map": ("V1ConfigMap", "env"),
        "quota": ("V1ResourceQuota", "quota"),
        "pod": ("V1Pod", "nb"),
        "namespace": ("V1Namespace", "lab-ada"),
        "network_policy": ("V1NetworkPolicy", "policy"),
        "service": ("V1Service", "nb"),
    } == {field: (type(m).__name__, m.metadata.name) for field, m in found.items()}
    assert ["nss"] == [m.metadata.name for m in objects.config_maps]
    assert ["home"] == [m.metadata.name for m in objects.pvcs]
    assert ["token"] == [m.metadata.name for m in objects.secrets]


def test_a_lab_needs_no_more_than_namespace_config_map_and_pod() -> None:
    """What a lab may lack is None or empty."""
    wanted = {("Namespace", "lab-ada"), ("ConfigMap", "env"), ("Pod", "nb")}
    manifests = [m for m in lab() if (m["kind"], m["metadata"]["name"]) in wanted]

    objects = LabObjects.from_manifests(manifests, NAMES)

    assert (None, None, None) == (objects.quota, objects.network_policy, objects.service)
    assert ((), (), ()) == (objects.config_maps, objects.pvcs, objects.secrets)


@pytest.mark.parametrize(
    "wrap",
    [
        iter,
        tuple,
        lambda manifests: (manifest for manifest in manifests),
        lambda manifests: [MappingProxyType(manifest) for manifest in manifests],
        lambda manifests: dict(enumerate(manifests)).values(),
        lambda manifests: collections.deque(reversed(manifests)),
    ],
    ids=["iterator", "tuple", "generator", "mappings", "view", "reversed"],
)
def test_any_iterable_of_mappings_is_taken_in_any_order(
    wrap: Callable[[list[dict[str, Any]]], Any],
) -> None:
    """Neither the container, nor the class of the mappings, nor the order makes a difference."""
    assert LabObjects.from_manifests(lab(), NAMES) == LabObjects.from_manifests(wrap(lab()), NAMES)


def test_sequences_keep_the_order_of_the_manifests() -> None:
    """Several objects of a kind come as they were given, but for the environment's."""
    manifests = lab()
    for kind in ("ConfigMap", "Secret", "PersistentVolumeClaim"):
        for name in ("z", "a", "m"):
            manifests.insert(
                0,
                {"apiVersion": "v1", "kind": kind, "metadata": {"name": f"{name}-{kind.lower()}"}},
            )

    objects = LabObjects.from_manifests(manifests, NAMES)

    for models, rest in (
        (objects.config_maps, "nss"),
        (objects.secrets, "token"),
        (objects.pvcs, "home"),
    ):
        assert ["m", "a", "z"] == [m.metadata.name[0] for m in models[:3]]
        assert rest == models[3].metadata.name


def test_manifests_are_left_unchanged_and_not_shared() -> None:
    """What is done to the models later is not seen in the manifests, and the other way."""
    manifests = lab()
    objects = LabObjects.from_manifests(manifests, NAMES)
    assert lab() == manifests

    objects.pod.metadata.labels["app"] = "changed"
    objects.pod.spec.containers[0].args.append("changed")
    objects.env_config_map.data.clear()
    assert lab() == manifests

    before = objects.to_manifests()
    for manifest in manifests:
        manifest["metadata"].clear()
        manifest.get("spec", {}).clear()
    assert before == objects.to_manifests()


def test_one_yaml_alias_makes_two_objects() -> None:
    """What stands in two manifests by an alias is not shared by their models."""
    labels = {"app": "notebook"}
    manifests = lab()
    for manifest in manifests:
        manifest["metadata"]["labels"] = labels

    objects = LabObjects.from_manifests(manifests, NAMES)
    objects.pod.metadata.labels["app"] = "changed"

    assert objects.namespace is not None
    assert {"app": "notebook"} == objects.namespace.metadata.labels


def test_a_namespace_without_a_manifest_is_made_of_its_name() -> None:
    """Nothing but its name is needed of a namespace, and that is known."""
    manifests = [manifest for manifest in lab() if manifest["kind"] != "Namespace"]
    objects = LabObjects.from_manifests(manifests, NAMES)
    expected = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab-ada"}}
    assert expected == objects.to_manifests()[0]


def test_the_namespace_is_filled_in_where_there_is_none() -> None:
    """Every object of the lab is in the namespace of names; the namespace itself is in none."""
    *others, pod = LabObjects.from_manifests(lab(), NAMES).to_manifests()

    namespaces = [manifest["metadata"].get("namespace") for manifest in (*others, pod)]
    assert [None] + ["lab-ada"] * 8 == namespaces


def test_an_empty_object_or_list_is_not_the_same_as_none() -> None:
    """An empty selector selects all and an empty list forbids all: neither gets lost."""
    manifests = LabObjects.from_manifests(lab(), NAMES).to_manifests()

    policy = find(manifests, "NetworkPolicy")["spec"]
    assert {} == policy["podSelector"]
    assert [] == policy["egress"]
    pod = find(manifests, "Pod")["spec"]
    assert {} == pod["volumes"][1]["emptyDir"]
    assert [] == pod["containers"][0]["args"]
    assert "" == find(manifests, "ConfigMap", "env")["data"]["EMPTY"]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Pod", "spec/containers/0/resources/limits/cpu"),
        ("Pod", "spec/containers/0/resources/requests/memory"),
        ("Pod", "spec/overhead/cpu"),
        ("Pod", "spec/volumes/1/emptyDir/sizeLimit"),
        ("Pod", "spec/containers/0/env/1/valueFrom/resourceFieldRef/divisor"),
        ("ResourceQuota", "spec/hard/pods"),
        ("PersistentVolumeClaim", "spec/resources/requests/storage"),
        ("PersistentVolumeClaim", "spec/resources/limits/storage"),
    ],
)
@pytest.mark.parametrize(
    ("number", "text"),
    [(4, "4"), (0, "0"), (0.5, "0.5"), (-1, "-1"), (2.0, "2.0"), (1e21, "1e+21"), ("4Gi", "4Gi")],
)
def test_a_number_is_taken_for_a_quantity(kind: str, path: str, number: object, text: str) -> None:
    """Wherever Kubernetes takes a quantity, a number becomes the text that the models hold."""
    manifests = lab()
    put(find(manifests, kind), path, number)

    written = find(LabObjects.from_manifests(manifests, NAMES).to_manifests(), kind)

    expected = copy.deepcopy(written)
    put(expected, path, text)
    assert expected == written


@pytest.mark.parametrize("port", [8888, "http"])
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Service", "spec/ports/0/targetPort"),
        ("NetworkPolicy", "spec/ingress/0/ports/0/port"),
        ("Pod", "spec/containers/0/readinessProbe/httpGet/port"),
    ],
)
def test_a_port_is_a_number_or_a_name(kind: str, path: str, port: int | str) -> None:
    """Where Kubernetes takes either, either stays what it is."""
    manifests = lab()
    put(find(manifests, kind), path, port)

    written = find(LabObjects.from_manifests(manifests, NAMES).to_manifests(), kind)

    expected = copy.deepcopy(written)
    put(expected, path, port)
    assert expected == written


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-05-17T11:30:00.250+02:00", "2026-05-17T09:30:00.250000Z"),
        (dt.datetime(2026, 5, 17, 9), "2026-05-17T09:00:00Z"),  # noqa: DTZ001
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    ],
)
def test_times_are_read_and_written_in_utc(time: object, expected: str) -> None:
    """A timestamp of JSON, and one of YAML without an offset, are written as RFC 3339."""
    place = Place("Pod nb")
    metadata = read_model(client.V1ObjectMeta, {"creationTimestamp": time}, place)

    assert {"creationTimestamp": expected} == to_json(metadata, place)


BEFORE_ALL_TIME = "0001-01-01T00:00:00+02:00"
TIMES = {
    "yesterday": "must be a timestamp (RFC 3339)",
    "2026-13-45T00:00:00Z": "must be a timestamp (RFC 3339)",
    dt.date(2026, 5, 17): "must be a timestamp (RFC 3339), not a date",
    BEFORE_ALL_TIME: "is out of range",
    "9999-12-31T23:59:59-02:00": "is out of range",
    dt.datetime.fromisoformat(BEFORE_ALL_TIME): "is out of range",
}


@pytest.mark.parametrize(("time", "reason"), TIMES.items())
def test_a_time_that_cannot_be_read_or_written_is_refused(time: object, reason: str) -> None:
    """One with an offset can be before the first year of UTC, or after the last."""
    place = Place("Pod nb")
    with pytest.raises(ManifestError) as caught:
        to_json(read_model(client.V1ObjectMeta, {"creationTimestamp": time}, place), place)

    assert f"Pod nb: creationTimestamp {reason}" == str(caught.value)


@pytest.mark.parametrize(("kind", "field"), [("Secret", "data"), ("ConfigMap", "binaryData")])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"ada\xff", "YWRh/w=="),
        (bytearray(b"ada"), "YWRh"),
        (b"", ""),
        ("", ""),
        ("YWRh\nYWRh\r\n", "YWRh\nYWRh\r\n"),
    ],
    ids=repr,
)
def test_binary_data_becomes_base64(kind: str, field: str, value: object, expected: str) -> None:
    """What YAML's !!binary gives is encoded again; text that is base64 stays as it is."""
    manifests = lab()
    find(manifests, kind)[field] = {"key": value}

    written = LabObjects.from_manifests(manifests, NAMES).to_manifests()

    assert {"key": expected} == find(written, kind, {"Secret": "token"}.get(kind, "nss"))[field]


def test_scalars_of_a_yaml_library_become_plain() -> None:
    """Subclasses of str, int and float do not get into the models."""

    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "changed"

    class Port(enum.IntEnum):
        HTTP = 8888

    class Number(float):
        def __repr__(self) -> str:
            return "changed"

    manifests = lab()
    pod = find(manifests, "Pod")
    put(pod, "spec/containers/0/image", Text("notebook:2026"))
    put(pod, "spec/containers/0/ports/0/containerPort", Port.HTTP)
    put(pod, "spec/containers/0/readinessProbe/httpGet/port", Port.HTTP)
    put(pod, "spec/containers/0/resources/limits", {Text("cpu"): Number(4.5)})

    container = LabObjects.from_manifests(manifests, NAMES).pod.spec.containers[0]

    values = [
        container.image,
        container.ports[0].container_port,
        container.readiness_probe.http_get.port,
        *container.resources.limits,
        container.resources.limits["cpu"],
    ]
    assert ["notebook:2026", 8888, 8888, "cpu", "4.5"] == values
    assert [str, int, int, str, str] == [type(value) for value in values]


SET_BY_SERVER = {
    "metadata/creationTimestamp": "2026-05-17T09:30:00Z",
    "metadata/deletionGracePeriodSeconds": 1,
    "metadata/deletionTimestamp": "2026-05-17T09:30:00Z",
    "metadata/generation": 1,
    "metadata/managedFields": [{"manager": "x"}],
    "metadata/resourceVersion": "12",
    "metadata/selfLink": "/api/v1/pods/nb",
    "metadata/uid": "0f8fad5b",
    "status": {"phase": "Pending"},
}


@pytest.mark.parametrize(("path", "value"), SET_BY_SERVER.items())
def test_what_only_a_server_sets_is_refused(path: str, value: object) -> None:
    """A manifest that was exported from a server would be answered by a status of 500."""
    manifests = lab()
    put(find(manifests, "Pod"), path, value)

    error = error_of(manifests)

    assert ("Pod nb", path.replace("/", ".")) == (error.manifest, error.path)
    assert "is set by the server only: leave it out" == error.reason


@pytest.mark.parametrize("path", SET_BY_SERVER)
@pytest.mark.parametrize("value", [None, "", {}, [], 0, {"loadBalancer": {}}], ids=repr)
def test_what_only_a_server_sets_may_be_empty(path: str, value: object) -> None:
    """``kubectl create --dry-run`` writes such fields; they count as absent for every kind."""
    manifests = lab()
    for manifest in manifests:
        put(manifest, path, value)

    objects = LabObjects.from_manifests(manifests, NAMES)

    assert LabObjects.from_manifests(lab(), NAMES) == objects


def test_blank_documents_are_skipped() -> None:
    """A line of three dashes at the end of a file makes one, and so does a comment alone."""
    text = f"---\n# The lab of ada.\n---\n{LAB}---\n"

    objects = LabObjects.from_manifests(yaml.safe_load_all(text), NAMES)

    assert LabObjects.from_manifests(lab(), NAMES) == objects


@pytest.mark.parametrize(
    "wrap",
    [
        lambda items: [{"apiVersion": "v1", "kind": "List", "items": items}],
        lambda items: [{"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [
            {"apiVersion": "v1", "kind": "List", "items": items}]}],
        lambda items: [*items, {"apiVersion": "v1", "kind": "List", "items": None}],
        lambda items: [*items[1:], {"apiVersion": "v1", "kind": "PodList", "items": items[:1]}],
        lambda items: [*items[1:], {"apiVersion": "v1", "kind": "PodList", "items": [
            {key: items[0][key] for key in items[0] if key not in ("apiVersion", "kind")}]}],
    ],
    ids=["list", "nested", "empty", "of-one-kind", "of-one-kind-as-a-server-sends-it"],
)  # fmt: skip
def test_a_list_counts_as_its_items(wrap: Callable[[list[Any]], list[Any]]) -> None:
    """``kubectl get -o yaml`` writes a List, and an API server a PodList."""
    objects = LabObjects.from_manifests(wrap(lab()), NAMES)

    assert LabObjects.from_manifests(lab(), NAMES) == objects


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ({}, "manifest 1 (List): items must be a list, not a mapping"),
        ([None], "manifest 1 (List): items[0] must be a mapping, not null"),
        ([{"kind": "Pod"}], "manifest 1, item 1 (Pod): apiVersion is required"),
        ([{}, {}], "manifest 1, item 1: apiVersion is required"),
    ],
)
def test_a_list_that_does_not_fit_is_named_with_the_item(items: object, text: str) -> None:
    """Its items are counted from 1, as manifests are."""
    assert text == str(error_of([{"apiVersion": "v1", "kind": "List", "items": items}]))


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("ConfigMap", "data"),
        ("ConfigMap", "binaryData"),
        ("Secret", "data"),
        ("Secret", "stringData"),
    ],
)
def test_null_in_data_is_an_empty_text(kind: str, field: str) -> None:
    """``FOO:`` in YAML is what the server takes it for."""
    manifests = lab()
    find(manifests, kind)[field] = yaml.safe_load("FOO:")

    written = LabObjects.from_manifests(manifests, NAMES).to_manifests()

    assert {"FOO": ""} == find(written, kind, {"Secret": "token"}.get(kind, "nss"))[field]


def test_an_integer_is_a_key_of_a_map_of_strings() -> None:
    """As for kubectl, which makes JSON of YAML; two that become the same key are refused."""
    manifests = lab()
    find(manifests, "ConfigMap", "env")["data"] = {8080: "http", 0: "", -1: "x"}

    objects = LabObjects.from_manifests(manifests, NAMES)

    assert {"8080": "http", "0": "", "-1": "x"} == objects.env_config_map.data
    find(manifests, "ConfigMap", "env")["data"] = {8080: "http", "8080": "x"}
    assert "ConfigMap env: data.8080 is defined more than once" == str(error_of(manifests))


def test_what_ruamel_reads_is_read_alike() -> None:
    """Its round-trip classes of mappings, lists and scalars do not get into the models."""
    text = LAB.replace("readOnly: false", "readOnly: &no false").replace(
        "containerPort: 8888", "containerPort: &port 8888"
    )
    documents = list(ruamel.yaml.YAML().load_all(text))
    pod = documents[0]["spec"]["containers"][0]
    assert "ScalarBoolean" == type(pod["volumeMounts"][0]["readOnly"]).__name__

    objects = LabObjects.from_manifests(documents, NAMES)

    assert LabObjects.from_manifests(lab(), NAMES) == objects
    assert objects.pod.spec.containers[0].volume_mounts[0].read_only is False
    assert objects == pickle.loads(pickle.dumps(objects))
    pod["resources"]["limits"]["cpu"] = pod["volumeMounts"][0]["readOnly"]
    assert str(error_of(documents)).endswith("(a string or a number), not a boolean")


# What is written ---------------------------------------------------------------------------------


def test_manifests_are_written_namespace_first_and_pod_last() -> None:
    """They come complete and in the order of their creation."""
    manifests = LabObjects.from_manifests(lab(), NAMES).to_manifests()

    assert [
        ("v1", "Namespace", "lab-ada"),
        ("v1", "ConfigMap", "env"),
        ("v1", "ConfigMap", "nss"),
        ("v1", "Secret", "token"),
        ("v1", "PersistentVolumeClaim", "home"),
        ("v1", "ResourceQuota", "quota"),
        ("networking.k8s.io/v1", "NetworkPolicy", "policy"),
        ("v1", "Service", "nb"),
        ("v1", "Pod", "nb"),
    ] == [(m["apiVersion"], m["kind"], m["metadata"]["name"]) for m in manifests]


def test_what_is_written_is_json_and_reads_back_equal() -> None:
    """Through JSON or YAML and back a lab is the same, and so are its manifests."""
    objects = LabObjects.from_manifests(lab(), NAMES)
    manifests = objects.to_manifests()

    for copied in (json.loads(json.dumps(manifests)), yaml.safe_load(yaml.safe_dump(manifests))):
        assert manifests == copied
        again = LabObjects.from_manifests(copied, NAMES)
        assert objects == again
        assert manifests == again.to_manifests()


def test_nothing_of_a_manifest_gets_lost() -> None:
    """What is written says all that was read, with quantities as text."""
    expected = lab()
    for manifest in expected:
        if manifest["kind"] != "Namespace":
            manifest["metadata"]["namespace"] = "lab-ada"
    pod = find(expected, "Pod")
    del pod["status"], find(expected, "Namespace")["metadata"]["creationTimestamp"]
    put(pod, "spec/containers/0/resources/limits/cpu", "4")
    put(pod, "spec/containers/0/resources/requests/cpu", "0.5")
    put(pod, "spec/containers/0/env/1/valueFrom/resourceFieldRef/divisor", "1")
    put(pod, "spec/volumes/2/emptyDir/sizeLimit", "1073741824")
    put(find(expected, "ResourceQuota"), "spec/hard/limits.cpu", "4")
    put(find(expected, "ResourceQuota"), "spec/hard/pods", "3")
    put(find(expected, "PersistentVolumeClaim"), "spec/resources/requests/storage", "5368709120")

    written = LabObjects.from_manifests(lab(), NAMES).to_manifests()

    def key(manifest: dict[str, Any]) -> tuple[str, str]:
        return manifest["kind"], manifest["metadata"]["name"]

    assert sorted(expected, key=key) == sorted(written, key=key)


def test_the_client_sends_what_is_written() -> None:
    """The official client's own serialisation of the models gives the same JSON."""
    objects = LabObjects.from_manifests(lab(), NAMES)
    with client.ApiClient() as api_client:
        sent = [
            api_client.sanitize_for_serialization(model)
            for model in (objects.pod, objects.network_policy, objects.secrets[0], objects.service)
        ]

    written = objects.to_manifests()

    kinds = ("Pod", "NetworkPolicy", "Secret", "Service")
    assert [find(written, kind) for kind in kinds] == sent


def test_a_lab_survives_pickling_and_copying() -> None:
    """The models carry nothing that cannot be pickled."""
    objects = LabObjects.from_manifests(lab(), NAMES)

    assert objects == pickle.loads(pickle.dumps(objects))
    assert objects == copy.deepcopy(objects)


# What does not fit -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifests", "said"),
    [
        (None, "manifests must be an iterable of mappings, not null"),
        (7, "manifests must be an iterable of mappings, not an integer"),
        ("kind: Pod", "manifests must be an iterable of mappings, not a string"),
        (b"kind: Pod", "manifests must be an iterable of mappings, not binary data"),
        ({"kind": "Pod"}, "manifests must be an iterable of mappings, not a mapping"),
        ([None, 7], "manifest 2 must be a mapping, not an integer"),
        ([["kind", "Pod"]], "manifest 1 must be a mapping, not a list"),
        (["kind: Pod"], "manifest 1 must be a mapping, not a string"),
        ([client.V1Pod()], "manifest 1 must be a mapping, not an object of the class V1Pod"),
    ],
)
def test_what_is_not_an_iterable_of_mappings_is_a_type_error(manifests: Any, said: str) -> None:
    """The error says what it is, and which one."""
    with pytest.raises(TypeError, match=rf"^{said}$"):
        LabObjects.from_manifests(manifests, NAMES)


def test_names_of_another_class_are_a_type_error() -> None:
    """A tuple of five names does not do."""
    with pytest.raises(TypeError, match=r"^names must be LabObjectNames, not tuple$"):
        LabObjects.from_manifests(lab(), ("ada", "lab-ada", "env", "quota", "nb"))  # type: ignore[arg-type]


def test_an_error_in_the_iterable_is_passed_on() -> None:
    """What a generator of manifests raises reaches the caller as it is."""

    def broken() -> Any:
        yield lab()[0]
        raise OSError("no such file")

    with pytest.raises(OSError, match=r"^no such file$"):
        LabObjects.from_manifests(broken(), NAMES)


WRONG = [
    # Which kind, where, what is put there, and the text of the error.
    ("Pod", "apiVersion", None, "Pod nb: apiVersion is required"),
    ("Pod", "apiVersion", 1, "Pod nb: apiVersion must be a string, not an integer"),
    ("Pod", "apiVersion", "apps/v1", "Pod nb: apiVersion must be v1 for a Pod"),
    (
        "NetworkPolicy",
        "apiVersion",
        "v1",
        "NetworkPolicy policy: apiVersion must be networking.k8s.io/v1 for a NetworkPolicy",
    ),
    ("Pod", "kind", None, "manifest 1: kind is required"),
    ("Pod", "kind", ["Pod"], "manifest 1: kind must be a string, not a list"),
    ("Pod", "kind", "", "manifest 1: kind is not valid in Kubernetes"),
    ("Pod", "kind", "pod", "pod nb: kind is not valid (is it Pod?)"),
    (
        "Pod",
        "kind",
        "Node",
        "Node nb: kind is cluster-scoped",
    ),
    ("Pod", "kind", "a\nb", "manifest 1: kind is not valid in Kubernetes"),
    ("Pod", "apiVersion", "a b", "Pod nb: apiVersion is not valid in Kubernetes"),
    ("Pod", "metadata", None, "manifest 1 (Pod): metadata.name is required"),
    ("Pod", "metadata", {}, "manifest 1 (Pod): metadata.name is required"),
    ("Pod", "metadata", "nb", "manifest 1 (Pod): metadata must be a mapping, not a string"),
    ("Pod", "metadata/name", None, "manifest 1 (Pod): metadata.name is required"),
    ("Pod", "metadata/name", "", "manifest 1 (Pod): metadata.name is required"),
    (
        "Pod",
        "metadata/name",
        7,
        "manifest 1 (Pod): metadata.name must be a string, not an integer (in YAML: quote it)",
    ),
    ("Secret", "metadata/name", "a_b", "Secret a_b: metadata.name must be a DNS subdomain name"),
    ("Secret", "metadata/name", "a\n", "Secret a\\n: metadata.name must be a DNS subdomain name"),
    (
        "Secret",
        "metadata/name",
        "a" * 254,
        "manifest 3 (Secret): metadata.name must be a DNS subdomain name",
    ),
    ("Service", "metadata/name", "a.b", "Service a.b: metadata.name must be a DNS label"),
    ("Namespace", "metadata/name", "a.b", "Namespace a.b: metadata.name must be a DNS label"),
    ("Pod", "metadata/generateName", "nb-", None),
    ("Pod", "metadata/namespace", "lab-eve", 'Pod nb: metadata.namespace must be "lab-ada"'),
    (
        "Namespace",
        "metadata/namespace",
        "lab-ada",
        "Namespace lab-ada: metadata.namespace must be left out: a Namespace is in no namespace",
    ),
    (
        "Pod",
        "metadata/labels/version",
        2,
        "Pod nb: metadata.labels.version must be a string, not an integer (in YAML: quote it)",
    ),
    (
        "Pod",
        "metadata/annotations",
        {"example.com/when": dt.date(2026, 5, 17)},
        (
            'Pod nb: metadata.annotations["example.com/when"] must be a string, not a date '
            "(in YAML: quote it)"
        ),
    ),
    (
        "Pod",
        "metadata/labels",
        {True: "x"},
        "Pod nb: metadata.labels has a key that is a boolean, not a string (in YAML: quote it)",
    ),
    ("Pod", "metadata/labels/x", None, "Pod nb: metadata.labels.x must be a string, not null"),
    ("Pod", "metadata/labels", [], "Pod nb: metadata.labels must be a mapping, not a list"),
    ("Pod", "spec", "x", "Pod nb: spec must be a mapping, not a string"),
    ("Pod", "spec", {}, "Pod nb: spec.containers is required"),
    ("Pod", "spec/containers", None, "Pod nb: spec.containers is required"),
    ("Pod", "spec/containers", {}, "Pod nb: spec.containers must be a list, not a mapping"),
    ("Pod", "spec/containers", "x", "Pod nb: spec.containers must be a list, not a string"),
    ("Pod", "spec/containers", [None], "Pod nb: spec.containers[0] must be a mapping, not null"),
    ("Pod", "spec/containers", [{}], "Pod nb: spec.containers[0].name is required"),
    (
        "Pod",
        "spec/containers/0/image",
        True,
        "Pod nb: spec.containers[0].image must be a string, not a boolean (in YAML: quote it)",
    ),
    (
        "Pod",
        "spec/containers/0/imagee",
        "x",
        (
            "Pod nb: spec.containers[0].imagee is not a field known to the installed client "
            "(is it image?)"
        ),
    ),
    (
        "Pod",
        "spec/restart_policy",
        "Never",
        (
            "Pod nb: spec.restart_policy is not a field known to the installed client "
            "(is it restartPolicy?)"
        ),
    ),
    (
        "Pod",
        "zzzzzzz",
        None,
        "Pod nb: zzzzzzz is not a field known to the installed client",
    ),
    ("Pod", "spec/volumes/0/name", None, "Pod nb: spec.volumes[0].name is required"),
    (
        "Pod",
        "spec/containers/0/args",
        ["x", 1],
        "Pod nb: spec.containers[0].args[1] must be a string, not an integer (in YAML: quote it)",
    ),
    (
        "Pod",
        "spec/containers/0/ports/0/containerPort",
        "8888",
        "Pod nb: spec.containers[0].ports[0].containerPort must be an integer, not a string",
    ),
    (
        "Pod",
        "spec/containers/0/ports/0/containerPort",
        8888.0,
        "Pod nb: spec.containers[0].ports[0].containerPort must be an integer, not a number",
    ),
    (
        "Pod",
        "spec/containers/0/ports/0/containerPort",
        True,
        "Pod nb: spec.containers[0].ports[0].containerPort must be an integer, not a boolean",
    ),
    (
        "Pod",
        "spec/containers/0/ports/0/containerPort",
        2**64,
        "Pod nb: spec.containers[0].ports[0].containerPort is out of range",
    ),
    (
        "Pod",
        "spec/containers/0/volumeMounts/0/readOnly",
        "false",
        "Pod nb: spec.containers[0].volumeMounts[0].readOnly must be a boolean, not a string",
    ),
    (
        "Pod",
        "spec/containers/0/resources/limits/cpu",
        True,
        (
            "Pod nb: spec.containers[0].resources.limits.cpu must be a quantity "
            "(a string or a number), not a boolean"
        ),
    ),
    (
        "Pod",
        "spec/containers/0/resources/limits/cpu",
        {"cores": 4},
        (
            "Pod nb: spec.containers[0].resources.limits.cpu must be a quantity "
            "(a string or a number), not a mapping"
        ),
    ),
    (
        "Pod",
        "spec/containers/0/resources/limits/nvidia.com~gpu",
        float("nan"),
        'Pod nb: spec.containers[0].resources.limits["nvidia.com~gpu"] must be finite',
    ),
    (
        "Pod",
        "spec/containers/0/resources/limits/cpu",
        2**64,
        "Pod nb: spec.containers[0].resources.limits.cpu is out of range",
    ),
    (
        "Pod",
        "spec/containers/0/image",
        object(),
        "Pod nb: spec.containers[0].image must be a string, not an object of the class object",
    ),
    (
        "Pod",
        "spec/containers/0/image",
        "\ud800",
        "Pod nb: spec.containers[0].image must not contain half of a surrogate pair",
    ),
    (
        "Service",
        "spec/ports/0/targetPort",
        True,
        "Service nb: spec.ports[0].targetPort must be an integer or a string, not a boolean",
    ),
    (
        "Service",
        "spec/ports/0/targetPort",
        80.5,
        "Service nb: spec.ports[0].targetPort must be an integer or a string, not a number",
    ),
    (
        "ConfigMap",
        "data/port",
        80,
        "data.port must be a string, not an integer (in YAML: quote it)",
    ),
    ("ConfigMap", "data/blob", b"x", "data.blob must be a string, not binary data"),
    ("ConfigMap", "binaryData/group", "ada!", "binaryData.group must be base64 text"),
    ("Secret", "data", WORD, "Secret token: data must be a mapping, not a string"),
    ("Secret", "data", [WORD], "Secret token: data must be a mapping, not a list"),
    ("Secret", "data/word", WORD + "!", "Secret token: data.word must be base64 text"),
    ("Secret", "data/word", "YQ", "Secret token: data.word must be base64 text"),
    ("Secret", "data/word", "YWI==", "Secret token: data.word must be base64 text"),
    ("Secret", "data/word", 7, "Secret token: data.word must be base64 text, not an integer"),
    ("Secret", "data/word", {"x": WORD}, "data.word must be base64 text, not a mapping"),
    ("Secret", "stringData/word", b"x", "stringData.word must be a string, not binary data"),
    ("Secret", "stringData", WORD, "Secret token: stringData must be a mapping, not a string"),
    ("Secret", "password", WORD, "Secret token: password is not a field"),
    (
        "ResourceQuota",
        "metadata/name",
        "other",
        'ResourceQuota other: metadata.name must be "quo',
    ),
    ("Pod", "metadata/name", "other", 'Pod other: metadata.name must be "nb"'),
    ("Namespace", "metadata/name", "other", 'Namespace other: metadata.name must be "lab-ada"'),
]


@pytest.mark.parametrize(("kind", "path", "value", "text"), [w for w in WRONG if w[3]])
def test_a_manifest_that_does_not_fit_is_named_with_the_path(
    kind: str, path: str, value: object, text: str
) -> None:
    """The error names manifest and field on every client alike, and never a Secret's value."""
    manifests = lab()
    put(find(manifests, kind), path, value)

    error = error_of(manifests)

    assert text in str(error)
    shown = "".join(traceback.format_exception(error)) + repr(error.args) + repr(error)
    assert WORD not in shown
    assert WORD_IN_BASE64 not in shown
    assert (None, None) == (error.__cause__, error.__context__)


@pytest.mark.parametrize("kind", ["Pod", "ResourceQuota", "Namespace", "ConfigMap", "Secret"])
def test_the_same_object_twice_does_not_fit(kind: str) -> None:
    """A second manifest of the same kind and name is named."""
    manifests = lab()
    twin = copy.deepcopy(find(manifests, kind))

    error = error_of([*manifests, twin])

    assert f"{kind} {twin['metadata']['name']} is defined more than once" == str(error)


@pytest.mark.parametrize("kind", ["NetworkPolicy", "Service"])
def test_a_second_policy_or_service_does_not_fit(kind: str) -> None:
    """A lab has one of these at most, however they are called."""
    manifests = lab()
    second = copy.deepcopy(find(manifests, kind))
    second["metadata"]["name"] = "second"

    error = error_of([*manifests, second])

    assert f"{kind} second is a second {kind}; a lab has at most one" == str(error)


@pytest.mark.parametrize(("kind", "name"), [("ConfigMap", "env"), ("Pod", "nb")])
def test_an_object_that_a_lab_has_to_have_is_missed_by_name(kind: str, name: str) -> None:
    """Without its environment or its pod a lab does not fit."""
    manifests = lab()
    manifests.remove(find(manifests, kind, name))

    assert f"{kind} {name} is not among the manifests" == str(error_of(manifests))


@pytest.mark.parametrize(("kind", "name"), [("ConfigMap", "env"), ("Pod", "nb")])
def test_a_misspelled_name_gets_a_hint(kind: str, name: str) -> None:
    """It names the object of that kind whose name is nearest; a pod of another name is refused."""
    manifests = lab()
    find(manifests, kind, name)["metadata"]["name"] = f"{name}s"

    error = str(error_of(manifests))

    expected = {
        "ConfigMap": "ConfigMap env is not among the manifests (is it envs?)",
        "Pod": 'Pod nbs: metadata.name must be "nb"',
    }
    assert expected[kind] == error


def test_no_manifests_at_all_do_not_fit() -> None:
    """An empty iterable lacks what a lab has to have."""
    assert "ConfigMap env is not among the manifests" == str(error_of([]))


def test_yaml_that_contains_itself_is_refused() -> None:
    """An alias to what it stands in ends in an error and not in a recursion."""
    fields: dict[str, Any] = {}
    fields["f:self"] = fields
    container: dict[str, Any] = {"name": "notebook"}
    container["env"] = [container]
    manifests = lab()
    put(find(manifests, "Pod"), "spec/containers/0", container)
    items: dict[str, Any] = {"apiVersion": "v1", "kind": "List"}
    items["items"] = [items]

    with pytest.raises(ManifestError, match=r"^Pod nb is nested too deeply$"):
        read_model(client.V1ManagedFieldsEntry, {"fieldsV1": fields}, Place("Pod nb"))
    assert "Pod nb: spec.containers[0].env[0].env" == str(error_of(manifests)).split(" is not")[0]
    assert "is nested too deeply" == error_of([items]).reason


def test_a_value_that_json_has_no_type_for_is_refused() -> None:
    """Where any JSON may stand, a set may not."""
    fields = {"fieldsV1": {"f": {1, 2}}}

    with pytest.raises(
        ManifestError, match=r"^Pod nb: fieldsV1\.f must be a JSON value, not an object of the"
    ):
        read_model(client.V1ManagedFieldsEntry, fields, Place("Pod nb"))


def test_an_error_survives_pickling_with_its_attributes() -> None:
    """Manifest, path and reason come back, and so does the text."""
    manifests = lab()
    put(find(manifests, "Pod"), "spec/containers", None)
    error = error_of(manifests)

    again = pickle.loads(pickle.dumps(error))

    assert ("Pod nb", "spec.containers", "is required") == (
        again.manifest,
        again.path,
        again.reason,
    )
    assert str(error) == str(again)


def test_a_check_of_a_newer_client_names_the_object_and_shows_no_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the class refuses for a reason that we do not know is an error of ours."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise ValueError(f"bad value {WORD}")

    monkeypatch.setattr("lab_storage._manifests.convert.build", refuse)

    error = error_of([find(lab(), "ConfigMap", "env")])

    assert "ConfigMap env: metadata is not accepted by the installed client" == str(error)
    assert (None, None) == (error.__cause__, error.__context__)


class Odd:
    """An object of no type that JSON or YAML has."""


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.text(),
    st.text(alphabet="\ud800\x1b\n~/", min_size=1),
    st.binary(),
    st.dates(),
    st.datetimes(timezones=st.sampled_from([None, dt.timezone(dt.timedelta(hours=14))])),
    st.sampled_from([2**64, -(2**64), 10**400, "v1", "Pod", "List", "PodList", "nb", "env"]),
    st.builds(ruamel.yaml.scalarbool.ScalarBoolean, st.integers(0, 1)),
    st.builds(ruamel.yaml.scalarfloat.ScalarFloat, st.floats(), m_sign=st.none(), prec=st.just(1)),
    st.builds(Odd),
)
WORDS = st.sampled_from(
    ["apiVersion", "kind", "items", "metadata", "name", "labels", "uid", "spec", "data", "status"]
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(
            st.one_of(
                WORDS, st.text(), st.integers(), st.booleans(), st.none(), st.floats(), st.binary()
            ),
            inner,
            max_size=3,
        ),
        st.dictionaries(WORDS, inner, max_size=6).map(ruamel.yaml.comments.CommentedMap),
    ),
    max_leaves=8,
)


def places(value: object) -> list[tuple[Any, Any]]:
    """List every place in a manifest: a mapping or list, and a key or index of it."""
    if not isinstance(value, (dict, list)):
        return []
    keys = list(value if isinstance(value, dict) else range(len(value)))
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


@st.composite
def odd_labs(draw: st.DrawFn) -> list[Any]:
    """Put anything into any place of a lab, an unknown one included."""
    manifests = lab()
    for _ in range(draw(st.integers(1, 2))):
        container, key = draw(st.sampled_from(places(manifests)))
        if isinstance(container, dict) and draw(st.booleans()):
            key = draw(st.one_of(st.text(), st.integers(), st.booleans()))
        container[key] = draw(ANYTHING)
    return manifests


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(manifests=st.one_of(odd_labs(), ANYTHING, st.lists(ANYTHING)))
def test_whatever_stands_in_manifests_no_other_error_is_raised(manifests: Any) -> None:
    """Anything is read, and can then be written as JSON, or is one of the two errors."""
    error: Exception | None = None
    try:
        objects = LabObjects.from_manifests(manifests, NAMES)
    except (ManifestError, TypeError) as raised:
        error = raised
    if error is None:
        assert objects.to_manifests() == json.loads(json.dumps(objects.to_manifests()))
    elif isinstance(error, ManifestError):
        assert str(error).isprintable()
        assert pickle.loads(pickle.dumps(error)).args == error.args
    else:
        assert re.match(r"manifests? (\d+ )?must be ", str(error))


# Objects made by hand ----------------------------------------------------------------------------


def hand_made(**changes: Any) -> LabObjects:
    """Make a lab of models that say no more than they have to."""

    def meta(name: str, **more: Any) -> client.V1ObjectMeta:
        return client.V1ObjectMeta(name=name, **more)

    pod_spec = client.V1PodSpec(
        restart_policy="Never",
        containers=[
            client.V1Container(
                name="notebook",
                image="notebook:2026",
                env_from=[
                    client.V1EnvFromSource(config_map_ref=client.V1ConfigMapEnvSource(name="env"))
                ],
            )
        ],
    )
    parts = {
        "env_config_map": client.V1ConfigMap(metadata=meta("env"), data={"LAB": "1"}),
        "quota": None,
        "pod": client.V1Pod(metadata=meta("nb", labels={"app": "notebook"}), spec=pod_spec),
        "namespace": client.V1Namespace(metadata=meta("lab-ada")),
        "config_maps": [],
        "network_policy": None,
        "pvcs": [],
        "secrets": [client.V1Secret(metadata=meta("token"), data={"word": WORD_IN_BASE64})],
        "service": client.V1Service(
            metadata=meta("nb", namespace="lab-ada"),
            spec=client.V1ServiceSpec(ports=[client.V1ServicePort(port=80, target_port="http")]),
        ),
    }
    return LabObjects(**(parts | changes))


def test_models_made_by_hand_are_written_complete() -> None:
    """Kind, API version and namespace are put in; the models are left as they are."""
    objects = hand_made()

    manifests = objects.to_manifests()

    assert {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "nb", "namespace": "lab-ada", "labels": {"app": "notebook"}},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "notebook",
                    "image": "notebook:2026",
                    "envFrom": [{"configMapRef": {"name": "env"}}],
                }
            ],
        },
    } == manifests[-1]
    assert ["Namespace", "ConfigMap", "Secret", "Service", "Pod"] == [m["kind"] for m in manifests]
    assert hand_made() == objects
    assert manifests == LabObjects.from_manifests(manifests, NAMES).to_manifests()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"namespace": 1}, "namespace must be a V1Namespace, not an integer"),
        ({"pod": None}, "pod must be a V1Pod, not null"),
        ({"env_config_map": None}, "env_config_map must be a V1ConfigMap, not null"),
        (
            {"quota": client.V1Pod()},
            "quota must be a V1ResourceQuota, not an object of the class V1Pod",
        ),
        ({"pod": {"kind": "Pod"}}, "pod must be a V1Pod, not a mapping"),
        ({"secrets": [client.V1ConfigMap()]}, "must be a V1Secret"),
        ({"pvcs": ["home"]}, r"pvcs\[0\] must be a V1PersistentVolumeClaim, not a string"),
    ],
)
def test_an_object_of_another_class_is_a_type_error(changes: Any, text: str) -> None:
    """The error names the attribute and what belongs there."""
    with pytest.raises(TypeError, match=text):
        hand_made(**changes).to_manifests()


def secret(name: str | None, **more: Any) -> client.V1Secret:
    """Make a Secret of that name."""
    return client.V1Secret(metadata=client.V1ObjectMeta(name=name, **more))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"namespace": client.V1Namespace()}, "namespace: metadata.name is required"),
        ({"secrets": [client.V1Secret()]}, "secrets[0]: metadata.name is required"),
        ({"secrets": [secret("a"), secret(None)]}, "secrets[1]: metadata.name is required"),
        ({"secrets": [secret("")]}, "secrets[0]: metadata.name is required"),
        ({"secrets": [secret("A")]}, "Secret A: metadata.name must be a DNS subdomain name"),
        (
            {"secrets": [secret("a", namespace="lab-eve")]},
            'Secret a: metadata.namespace must be "lab-ada"',
        ),
        ({"secrets": [secret("a"), secret("a")]}, "Secret a is defined more than once"),
        (
            {"config_maps": [client.V1ConfigMap(metadata=client.V1ObjectMeta(name="env"))]},
            "ConfigMap env is defined more than once",
        ),
        (
            {
                "namespace": client.V1Namespace(
                    metadata=client.V1ObjectMeta(name="lab-ada", namespace="lab-ada")
                )
            },
            (
                "Namespace lab-ada: metadata.namespace must be left out: "
                "a Namespace is in no namespace"
            ),
        ),
        (
            {"secrets": [client.V1Secret(kind="ConfigMap", metadata=secret("a").metadata)]},
            "Secret a: kind must be Secret",
        ),
        (
            {"secrets": [client.V1Secret(api_version="v2", metadata=secret("a").metadata)]},
            "Secret a: apiVersion must be v1",
        ),
    ],
)
def test_an_object_made_by_hand_that_does_not_fit_is_named(changes: Any, text: str) -> None:
    """What the server would refuse half-way is found before anything is sent."""
    objects = hand_made(**changes)

    with pytest.raises(ManifestError) as caught:
        objects.to_manifests()

    assert text == str(caught.value)


def test_bytes_in_a_secret_made_by_hand_are_refused_without_showing_them() -> None:
    """They may be the value or base64 of it, and a guess could be wrong."""
    objects = hand_made(secrets=[secret("token")])
    objects.secrets[0].data = {"word": WORD.encode()}

    with pytest.raises(ManifestError) as caught:
        objects.to_manifests()

    assert "Secret token: data.word must be base64 text, not binary data" == str(caught.value)


def unchecked_secret(metadata: object) -> Any:
    """Make a Secret that its class would not, as some clients let a caller do."""
    return build_unchecked(client.V1Secret, {"metadata": metadata})


def test_a_mapping_in_the_place_of_a_model_is_written_as_it_stands() -> None:
    """Clients before 37 send such a model, and so do we."""
    objects = hand_made(secrets=[unchecked_secret({"name": "token", "labels": {"app": "x"}})])

    assert {"name": "token", "labels": {"app": "x"}, "namespace": "lab-ada"} == find(
        objects.to_manifests(), "Secret"
    )["metadata"]


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ("token", "secrets[0]: metadata must be a mapping, not a string"),
        (
            {"name": 7},
            "secrets[0]: metadata.name must be a string, not an integer (in YAML: quote it)",
        ),
        (
            {"name": "token", "labels": {7.5: "x"}},
            (
                "Secret token: metadata.labels has a key that is a number, not a string "
                "(in YAML: quote it)"
            ),
        ),
    ],
)
def test_metadata_of_the_wrong_type_is_named(metadata: object, text: str) -> None:
    """What the classes of some clients let pass is found before it is sent."""
    with pytest.raises(ManifestError) as caught:
        hand_made(secrets=[unchecked_secret(metadata)]).to_manifests()

    assert text == str(caught.value)


def test_what_only_a_server_sets_is_refused_in_a_model_too() -> None:
    """Objects that were read from a server are not sent to create others."""
    objects = hand_made()
    objects.pod.metadata.resource_version = "12"

    with pytest.raises(ManifestError) as caught:
        objects.to_manifests()

    assert ("Pod nb", "metadata.resourceVersion") == (caught.value.manifest, caught.value.path)


def test_what_json_cannot_hold_is_named() -> None:
    """An object in an untyped field is an error that shows the path."""
    objects = hand_made()
    entry = client.V1ManagedFieldsEntry(manager="x", fields_v1={"f:x": object()})
    objects.pod.metadata.managed_fields = [entry]

    with pytest.raises(
        ManifestError, match=r'metadata.managedFields\[0\].fieldsV1\["f:x"\] must be'
    ):
        objects.to_manifests()


# The classes -------------------------------------------------------------------------------------


def all_fields() -> dict[tuple[str, str], Format | None]:
    """List the fields of all classes that a lab's objects are made of, with their formats."""
    fields: dict[tuple[str, str], Format | None] = {}
    waiting = [model_of(kind) for kind in KINDS]
    seen = set(waiting)
    while waiting:
        model = waiting.pop()
        for name, field in schema_of(model).items():
            inner = field.type
            while inner.items or inner.values:
                inner = inner.items or inner.values  # type: ignore[assignment]
            fields[model.__name__, name] = inner.format
            if inner.model and inner.model not in seen:
                seen.add(inner.model)
                waiting.append(inner.model)
    return fields


def test_the_fields_that_we_know_more_of_are_the_clients() -> None:
    """Quantities and the like are fields of this client, but for those of other versions."""
    of_some_versions = {
        ("V1NodeAllocatableMappedResources", "quantity"),
        ("V1NodeAllocatableOverheadResources", "perContainer"),
        ("V1NodeAllocatableOverheadResources", "perPod"),
        ("V1NodeAllocatableResourceClaimStatus", "resources"),
        ("V1PodStatus", "allocatedResources"),
    }
    fields = all_fields()
    known = (_QUANTITIES | _BASE64 | _INT_OR_STRING) - of_some_versions

    assert [] == [
        (model, name) for model, name in known if name not in schema_of(getattr(client, model))
    ]
    assert [("V1ManagedFieldsEntry", "fieldsV1")] == [
        place for place, found in fields.items() if found is Format.ANY
    ]


def test_a_field_of_a_newer_client_is_checked_by_its_type() -> None:
    """Numbers, of which no class of today has a field, are read as any other type is."""

    class Model:
        openapi_types = {"ratio": "float"}  # noqa: RUF012
        attribute_map = {"ratio": "ratio"}  # noqa: RUF012
        ratio = None

        def __init__(self, ratio: float, local_vars_configuration: object) -> None:
            self.ratio = ratio
            self.local_vars_configuration = local_vars_configuration

    place = Place("Model")

    assert [0.5, 2.0] == [read_model(Model, {"ratio": n}, place).ratio for n in (0.5, 2)]
    for wrong in ("x", True, float("inf"), 10**400):
        with pytest.raises(ManifestError, match=r"^Model: ratio "):
            read_model(Model, {"ratio": wrong}, place)


def test_building_models_leaves_loggers_and_the_default_configuration_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client's models make a Configuration each if none is given; ours do not."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a Configuration was made")

    monkeypatch.setattr(client.Configuration, "__init__", refuse)

    LabObjects.from_manifests(lab(), NAMES).to_manifests()
