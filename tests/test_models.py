from __future__ import annotations

import inspect
import pickle
from typing import Any

import attrs
import pytest
from kubernetes import client

from lab_storage._manifests.fields import LabField, fields_of
from lab_storage.models import LabObjectNames, LabObjects, LabStateObjects, PodPhase


def model(class_name: str, name: str, **fields: Any) -> Any:
    """Make a model of that class and name."""
    return getattr(client, class_name)(metadata=client.V1ObjectMeta(name=name), **fields)


def make_lab(**changes: Any) -> LabObjects:
    """Make a lab with one object of each kind."""
    parts = {
        "env_config_map": model("V1ConfigMap", "env", data={"TOKEN": "opensesame"}),
        "quota": model("V1ResourceQuota", "quota"),
        "pod": model("V1Pod", "nb"),
        "namespace": model("V1Namespace", "lab-ada"),
        "config_maps": [model("V1ConfigMap", "nss")],
        "network_policy": model("V1NetworkPolicy", "policy"),
        "pvcs": [model("V1PersistentVolumeClaim", "home")],
        "secrets": [model("V1Secret", "token", data={"key": "b3BlbnNlc2FtZQ=="})],
        "service": model("V1Service", "nb"),
    }
    return LabObjects(**(parts | changes))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Pending", PodPhase.PENDING),
        ("Running", PodPhase.RUNNING),
        ("Succeeded", PodPhase.SUCCEEDED),
        ("Failed", PodPhase.FAILED),
        ("Unknown", PodPhase.UNKNOWN),
        ("Hibernating", PodPhase.UNKNOWN),
        ("running", PodPhase.UNKNOWN),
        ("", PodPhase.UNKNOWN),
        (None, PodPhase.UNKNOWN),
        (3, PodPhase.UNKNOWN),
        ([], PodPhase.UNKNOWN),
        ({"phase": "Running"}, PodPhase.UNKNOWN),
    ],
)
def test_a_phase_is_what_kubernetes_defined_or_unknown(value: object, expected: PodPhase) -> None:
    """Each word that Kubernetes says is its phase; anything else a server sends is UNKNOWN."""
    assert expected is PodPhase.of(value)


def test_the_value_of_a_phase_is_what_kubernetes_says() -> None:
    """The five values are the words of the API."""
    assert ["Pending", "Running", "Succeeded", "Failed", "Unknown"] == [p.value for p in PodPhase]


def test_names_are_given_by_position_or_keyword() -> None:
    """The five names come in the documented order."""
    names = LabObjectNames("ada", "lab-ada", "env", "quota", "nb")

    assert names == LabObjectNames(
        username="ada", namespace="lab-ada", env_config_map="env", quota="quota", pod="nb"
    )


@pytest.mark.parametrize("field", ["username", "namespace", "env_config_map", "quota", "pod"])
@pytest.mark.parametrize(
    ("value", "error"), [(None, TypeError), (7, TypeError), (b"x", TypeError), ("", ValueError)]
)
def test_a_name_that_is_not_a_text_is_refused_by_its_field(
    field: str, value: object, error: type[Exception]
) -> None:
    """Anything but a str is a TypeError, an empty one a ValueError, and both name the field."""
    fields: dict[str, Any] = dict.fromkeys(
        ["username", "namespace", "env_config_map", "quota", "pod"], "fine"
    )

    with pytest.raises(error, match=rf"^{field} must"):
        LabObjectNames(**(fields | {field: value}))


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("namespace", "Lab", "a DNS label"),
        ("namespace", "lab.ada", "a DNS label"),
        ("namespace", "a" * 64, "a DNS label"),
        ("namespace", "lab/ada", "a DNS label"),
        ("env_config_map", "env_map", "a DNS subdomain name"),
        ("quota", "-quota", "a DNS subdomain name"),
        ("pod", "nb\n", "a DNS subdomain name"),
        ("pod", "a" * 254, "a DNS subdomain name"),
    ],
)
def test_a_name_that_the_server_would_refuse_is_a_value_error(
    field: str, value: str, rule: str
) -> None:
    """The error names the field and the rule."""
    fields = dict.fromkeys(["username", "namespace", "env_config_map", "quota", "pod"], "fine")

    with pytest.raises(ValueError, match=rf"^{field} must be {rule}, got "):
        LabObjectNames(**(fields | {field: value}))


def test_any_text_is_a_username() -> None:
    """A user is not an object of Kubernetes and may be called anything."""
    assert LabObjectNames("Ada Lovelace ♥", "n", "e", "q", "p").username == "Ada Lovelace ♥"


def test_labs_are_given_by_position_in_the_documented_order() -> None:
    """The state's three come first, then the others by the alphabet."""
    fields = [field.name for field in attrs.fields(LabObjects)]

    assert fields == [
        "env_config_map",
        "quota",
        "pod",
        "namespace",
        "config_maps",
        "network_policy",
        "pvcs",
        "secrets",
        "service",
        "others",
    ]
    assert fields[:3] == [field.name for field in attrs.fields(LabStateObjects)]


@pytest.mark.parametrize("field", fields_of(LabObjects), ids=lambda field: field.attribute)
def test_an_attribute_is_typed_as_the_model_of_its_kind(field: LabField) -> None:
    """What the table says of kind, number and need is what a type checker sees."""
    annotation = inspect.get_annotations(LabStateObjects) | inspect.get_annotations(LabObjects)

    expected = field.kind.model
    if field.is_many:
        expected = f"Sequence[{expected}]"
    elif not field.is_required:
        expected = f"{expected} | None"
    assert expected == annotation[field.attribute]


def test_objects_are_created_in_the_order_of_the_table() -> None:
    """The namespace is the first and the pod the last."""
    kinds = [field.kind.name for field in fields_of(LabObjects)]

    assert ("Namespace", "Pod", 9) == (kinds[0], kinds[-1], len(kinds))


def test_a_lab_cannot_be_changed() -> None:
    """Attributes are frozen, and the sequences are tuples whatever was given."""
    secrets = [model("V1Secret", "token")]
    lab = make_lab(secrets=secrets, pvcs=iter(secrets), config_maps=())
    secrets.append(model("V1Secret", "other"))

    assert (1, 1, 0) == (len(lab.secrets), len(lab.pvcs), len(lab.config_maps))
    assert isinstance(lab.secrets, tuple)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        lab.pod = None  # type: ignore[misc]


def test_sequences_may_be_any_iterables_for_a_type_checker_too() -> None:
    """Mypy checks this call, which is made by name and not from a mapping."""
    lab = LabObjects(
        env_config_map=model("V1ConfigMap", "env"),
        quota=None,
        pod=model("V1Pod", "nb"),
        namespace=model("V1Namespace", "lab-ada"),
        config_maps=[object()],
        network_policy=None,
        pvcs=(object() for _ in range(2)),
        secrets=(),
        service=None,
    )

    assert [1, 2, 0] == [len(lab.config_maps), len(lab.pvcs), len(lab.secrets)]


def test_the_repr_of_a_lab_shows_names_and_no_contents() -> None:
    """Neither a secret's value nor that of a config map is in the repr, nor in the str."""
    lab = make_lab(quota=None)

    assert repr(lab) == (
        "LabObjects(env_config_map=<V1ConfigMap 'env'>, quota=None, pod=<V1Pod 'nb'>, "
        "namespace=<V1Namespace 'lab-ada'>, config_maps=[<V1ConfigMap 'nss'>], "
        "network_policy=<V1NetworkPolicy 'policy'>, pvcs=[<V1PersistentVolumeClaim 'home'>], "
        "secrets=[<V1Secret 'token'>], service=<V1Service 'nb'>, others=[])"
    )
    assert str(lab) == repr(lab)


@pytest.mark.parametrize("odd", [object(), 7, client.V1Secret(data={"key": "b3BlbnNlc2FtZQ=="})])
def test_the_repr_of_odd_objects_shows_nothing(odd: object) -> None:
    """Anything but a named model is shown by its class."""
    lab = LabStateObjects(odd, None, odd)

    expected = f"<{type(odd).__name__} None>"
    assert f"LabStateObjects(env_config_map={expected}, quota=None, pod={expected})" == repr(lab)


def test_data_survives_pickling() -> None:
    """Names, phases and labs come back equal."""
    names = LabObjectNames("ada", "lab-ada", "env", "quota", "nb")
    lab = make_lab()

    assert (names, lab, PodPhase.FAILED) == pickle.loads(
        pickle.dumps((names, lab, PodPhase.FAILED))
    )
