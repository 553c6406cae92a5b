"""Objects of kinds that not every lab has, and labs in a shared namespace."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import yaml

from lab_storage import LabObjectNames, LabObjects, ManifestError
from lab_storage._manifests.kinds import Kind
from lab_storage._manifests.lab import lab_manifests
from lab_storage._manifests.others import other_kind

NAMES = LabObjectNames("ada", "notebooks", "env", "quota", "nb")
BASE = """
{apiVersion: v1, kind: ConfigMap, metadata: {name: env}}
---
{apiVersion: v1, kind: Pod, metadata: {name: nb}, spec: {containers: [{name: nb, image: "nb:1"}]}}
"""
OTHERS = """
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
spec: {size: 3, parts: [a, null]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: "notebook:reader"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: notebook, namespace: notebooks}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: nb}
spec: {maxUnavailable: 0, selector: {matchLabels: {app: nb}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: notebook, namespace: notebooks}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: nb}
spec:
  defaultBackend: {service: {name: nb, port: {number: 8888}}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: nb}
"""


def manifests(text: str = OTHERS) -> list[dict[str, Any]]:
    """A lab with these objects beside what it has to have."""
    return [*yaml.safe_load_all(BASE), *yaml.safe_load_all(text)]


def lab(text: str = OTHERS, **options: Any) -> LabObjects:
    """The lab of `manifests`."""
    return LabObjects.from_manifests(manifests(text), NAMES, **options)


class TestOthers:
    """Objects in ``others``."""

    def test_they_survive_the_round_trip(self) -> None:
        """What is written is read again, to the same."""
        first = lab()
        second = LabObjects.from_manifests(first.to_manifests(), NAMES)
        assert first.to_manifests() == second.to_manifests()
        assert 7 == len(second.others)

    def test_they_are_written_in_the_order_of_creation(self) -> None:
        """What others refer to is first, and the pod is last."""
        kinds = [manifest["kind"] for manifest in lab().to_manifests()]
        assert ["Namespace", "ServiceAccount", "Role", "RoleBinding"] == kinds[:4]
        assert "Pod" == kinds[-1]

    def test_each_gets_the_namespace_of_the_lab(self) -> None:
        """As the rest does."""
        namespaces = {each["metadata"]["namespace"] for each in lab().others}
        assert {"notebooks"} == namespaces

    def test_manifests_are_left_unchanged(self) -> None:
        """The lab shares nothing with them."""
        given = manifests()
        made = LabObjects.from_manifests(given, NAMES)
        made.others[0]["metadata"]["labels"] = {"changed": "yes"}
        assert manifests() == given

    def test_custom_resource_keeps_all_its_fields(self) -> None:
        """Only the server knows what they mean."""
        widget = lab().others[0]
        assert {"size": 3, "parts": ["a", None]} == widget["spec"]

    def test_kind_of_another_group_is_not_the_one_of_a_lab(self) -> None:
        """Knative has a Service, too."""
        made = lab()
        assert made.service is None
        assert "serving.knative.dev/v1" == made.others[-1]["apiVersion"]

    @pytest.mark.parametrize(
        ("text", "manifest", "path", "reason"),
        [
            (
                "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}, secret: []}",
                "ServiceAccount a",
                "secret",
                "is not a field known to the installed client (is it secrets?)",
            ),
            (
                "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: a}}".replace(
                    "}}", "}, spec: {maxUnavailable: [1]}}"
                ),
                "PodDisruptionBudget a",
                "spec.maxUnavailable",
                "must be an integer or a string, not a list",
            ),
            (
                "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {}}",
                "manifest 3 (ClusterRole)",
                "kind",
                "is cluster-scoped: nobody would delete a ClusterRole of a lab",
            ),
            (
                "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a, namespace: b}}",
                "Widget a",
                "metadata.namespace",
                'must be "notebooks"',
            ),
            (
                "{apiVersion: example.com/v1, kind: Widget, metadata: {name: a, uid: b}}",
                "Widget a",
                "metadata.uid",
                "is set by the server only: leave it out",
            ),
            (
                "{apiVersion: example.com/v1, kind: Widget, metadata: {}}",
                "manifest 3 (Widget)",
                "metadata.name",
                "is required",
            ),
            (
                "{apiVersion: example.com/v1, kind: Widget, metadata: a}",
                "manifest 3 (Widget)",
                "metadata",
                "must be a mapping, not a string",
            ),
            (
                "\n---\n".join(["{apiVersion: e.com/v1, kind: W, metadata: {name: a}}"] * 2),
                "W a",
                None,
                "is defined more than once",
            ),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, text: str, manifest: str, path: str | None, reason: str
    ) -> None:
        """By the manifest and the path of the field."""
        with pytest.raises(ManifestError) as error:
            lab(text)
        assert (manifest, path, reason) == (
            error.value.manifest,
            error.value.path,
            error.value.reason,
        )

    @pytest.mark.parametrize(
        ("other", "expected"),
        [
            (7, "others[0] must be a mapping, not an integer"),
            ("Pod", "others[0] must be a mapping, not a string"),
        ],
    )
    def test_lab_made_by_hand_is_checked_before_it_is_sent(
        self, other: object, expected: str
    ) -> None:
        """With the same care."""
        others: Any = [other]
        made = attrs.evolve(lab(""), others=others)
        with pytest.raises(TypeError) as error:
            made.to_manifests()
        assert expected == str(error.value)

    def test_object_of_a_lab_is_not_given_twice(self) -> None:
        """Once by its attribute, and once among the others."""
        made = lab("")
        others: Any = [made.to_manifests()[1]]
        twice = attrs.evolve(made, others=others)
        with pytest.raises(ManifestError, match="ConfigMap env is defined more than once"):
            twice.to_manifests()


class TestKinds:
    """What the installed client knows of a kind."""

    @pytest.mark.parametrize(
        ("api_version", "name", "model", "namespaced"),
        [
            ("v1", "LimitRange", "V1LimitRange", True),
            ("v1", "PersistentVolume", "V1PersistentVolume", False),
            ("networking.k8s.io/v1", "Ingress", "V1Ingress", True),
            ("autoscaling/v2", "HorizontalPodAutoscaler", "V2HorizontalPodAutoscaler", True),
            ("storage.k8s.io/v1", "CSIStorageCapacity", "V1CSIStorageCapacity", True),
            ("events.k8s.io/v1", "Event", "EventsV1Event", True),
            ("apps/v1", "Deployment", "V1Deployment", True),
            ("traefik.io/v1", "Ingress", "", True),
            ("v1", "Widget", "", True),
        ],
    )
    def test_model_and_scope_are_found(
        self, api_version: str, name: str, model: str, namespaced: bool
    ) -> None:
        """By the classes of the API, in all supported clients."""
        kind = other_kind(api_version, name)
        assert (model, namespaced, "") == (kind.model, kind.namespaced, kind.plural)

    def test_plural_of_what_labs_often_have_is_known(self) -> None:
        """The server need not be asked."""
        kind = other_kind("rbac.authorization.k8s.io/v1", "RoleBinding")
        assert isinstance(kind, Kind)
        assert "rolebindings" == kind.plural


class TestSharedNamespace:
    """Labs in a namespace that is not theirs."""

    def test_no_namespace_is_made(self) -> None:
        """All objects are in it, and none is it."""
        made = lab(shared_namespace=True)
        assert made.namespace is None
        written = made.to_manifests()
        assert [] == [each for each in written if each["kind"] == "Namespace"]
        assert {"notebooks"} == {each["metadata"]["namespace"] for each in written}

    def test_it_survives_the_round_trip(self) -> None:
        """What is written is read again, to the same."""
        written = lab(shared_namespace=True).to_manifests()
        again = LabObjects.from_manifests(written, NAMES, shared_namespace=True)
        assert written == again.to_manifests()

    def test_namespace_among_the_manifests_is_refused(self) -> None:
        """It belongs to others."""
        text = "{apiVersion: v1, kind: Namespace, metadata: {name: notebooks}}"
        with pytest.raises(ManifestError, match="Namespace notebooks must be left out"):
            lab(text, shared_namespace=True)

    def test_lab_made_by_hand_says_where_it_is(self) -> None:
        """Its pod does; without a namespace nobody would know."""
        made = lab("", shared_namespace=True)
        assert ["notebooks"] * 2 == [
            manifest.open()["metadata"]["namespace"] for _, manifest in lab_manifests(made)
        ]
        made.pod.metadata.namespace = None
        with pytest.raises(ManifestError) as error:
            lab_manifests(made)
        assert ("Pod nb", "metadata.namespace") == (error.value.manifest, error.value.path)

    def test_all_objects_are_in_one_namespace(self) -> None:
        """One in another is refused."""
        made = lab("", shared_namespace=True)
        made.env_config_map.metadata.namespace = "elsewhere"
        with pytest.raises(ManifestError, match=r"ConfigMap env: metadata\.namespace must be"):
            lab_manifests(made)

    @pytest.mark.parametrize("value", [1, None, "yes"])
    def test_flag_is_a_bool(self, value: object) -> None:
        """Anything else is a mistake."""
        with pytest.raises(TypeError, match="shared_namespace must be a bool"):
            lab("", shared_namespace=value)
