"""Which objects of a file are which: found, selected, or asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab_storage import LabObjectNames
from lab_storage._cli.failures import FailedError
from lab_storage._cli.lab_file import LabFile, Named

from .program import EXAMPLE

Manifest = dict[str, Any]


def manifest(kind: str, name: str, **others: Any) -> Manifest:
    """A manifest; other arguments are its metadata."""
    return {"kind": kind, "metadata": {"name": name, **others}}


def lab(*more: Manifest, without: str = "") -> LabFile:
    """A small lab: one of each, and more."""
    objects = [
        manifest("Namespace", "lab"),
        manifest("ConfigMap", "env", namespace="lab"),
        manifest("ResourceQuota", "quota", namespace="lab"),
        manifest("Pod", "pod", namespace="lab"),
    ]
    return LabFile("lab.yaml", [each for each in objects if each["kind"] != without] + [*more])


def test_the_example_says_it_all() -> None:
    """Whose lab it is, too, from a label."""
    named = Named(LabFile.read(str(EXAMPLE)))

    assert LabObjectNames("jovyan", "lab-jovyan", "lab-env", "lab-quota", "lab") == named.resolve()


def test_the_only_one_of_its_kind_is_it() -> None:
    """If nothing says whose lab it is, the namespace does."""
    assert LabObjectNames("lab", "lab", "env", "quota", "pod") == Named(lab()).resolve()


def test_a_list_is_its_items(tmp_path: Path) -> None:
    """As ``kubectl get -o yaml`` writes it; blank documents are skipped."""
    items = list(yaml.safe_load_all(EXAMPLE.read_text()))
    path = tmp_path / "lab.yaml"
    path.write_text(
        yaml.safe_dump_all([None, {"apiVersion": "v1", "kind": "List", "items": items}, None])
    )

    file = LabFile.read(str(path))

    assert Named(LabFile.read(str(EXAMPLE))).resolve() == Named(file).resolve()
    assert items == file.manifests


def test_options_go_before_the_file() -> None:
    """All of them."""
    named = Named(lab(), namespace="n", env_config_map="e", quota="q", pod="p", user="somebody")

    assert LabObjectNames("somebody", "n", "e", "q", "p") == named.resolve()


def test_of_several_config_maps_it_is_the_one_the_pod_takes_its_environment_from() -> None:
    """Config maps that are mounted as files do not count."""
    pod = manifest("Pod", "pod")
    pod["spec"] = {"containers": [{"envFrom": [{"configMapRef": {"name": "second"}}]}]}
    file = lab(manifest("ConfigMap", "second"), pod, without="Pod")

    assert "second" == Named(file).resolve().env_config_map


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (
            manifest("ConfigMap", "other"),
            "lab.yaml: which env config map? Select one with --env-config-map: env, other",
        ),
        (manifest("Pod", "other"), "lab.yaml: which pod? Select one with --pod: pod, other"),
        (
            manifest("ResourceQuota", "other"),
            "lab.yaml: which quota? Select one with --quota: quota, other",
        ),
        (
            manifest("Namespace", "other"),
            "lab.yaml: which namespace? Select one with --namespace: lab, other",
        ),
    ],
)
def test_what_could_be_several_is_asked_for(more: Manifest, text: str) -> None:
    """With the option for it, and the candidates."""
    with pytest.raises(FailedError) as caught:
        Named(lab(more)).resolve()

    assert (2, text) == (caught.value.code, str(caught.value))


def test_what_a_command_does_not_need_is_not_asked_for() -> None:
    """A pod's phase can be read although its config maps are ambiguous."""
    file = lab(manifest("ConfigMap", "other"))

    names = Named(file).resolve(("namespace", "pod"))

    assert ("lab", "pod") == (names.namespace, names.pod)


def test_a_lab_without_a_quota_needs_none() -> None:
    """Any name will do: there is no quota at all."""
    assert "pod" == Named(lab(without="ResourceQuota")).resolve().quota


def test_the_namespace_is_known_by_its_objects_too() -> None:
    """As in a file for a namespace that exists already."""
    assert "lab" == Named(lab(without="Namespace")).resolve().namespace


@pytest.mark.parametrize("key", ["user", "hub.jupyter.org/username", "observatory.example/user"])
@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_whose_lab_it_is_is_known_by_a_label_or_an_annotation(key: str, field: str) -> None:
    """Spawners use different keys for it."""
    pod = manifest("Pod", "pod", **{field: {key: "jovyan", "superuser": "root"}})

    assert "jovyan" == Named(lab(pod, without="Pod")).resolve().username


@pytest.mark.parametrize(
    "metadata", [None, 7, [], {"name": 7}, {"name": None, "labels": 7, "annotations": []}]
)
def test_manifests_of_any_shape_do_no_harm(metadata: object) -> None:
    """The library says what is wrong with them."""
    odd: list[Manifest] = [
        {"kind": kind, "metadata": metadata, "spec": spec}
        for kind in ("Pod", "Namespace", "ConfigMap", "ResourceQuota", 7)
        for spec in (None, 7, {"containers": 7}, {"containers": [7, {"envFrom": 7}]})
    ]
    file = lab(*odd, manifest("ConfigMap", "other"))

    names = Named(file, env_config_map="env").resolve()

    assert LabObjectNames("lab", "lab", "env", "quota", "pod") == names
