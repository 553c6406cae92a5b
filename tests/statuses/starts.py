"""Pods that do not start: images, references, volumes, commands."""

from __future__ import annotations

from typing import Any

from .case import FOREVER, Case, Json, Step, container, mounting, spec
from .conditions import all_of, has_condition, has_phase, told, waits

HOST_FILE = "/etc/hostname"


def _image(name: str, description: str, image: str, *reasons: str, **fields: Any) -> Case:
    return Case(
        name,
        description,
        spec(container(image=image, **fields)),
        all_of(waits(reasons[-1]), told("Failed")),
        tuple(Step(waits(reason), reason) for reason in reasons[:-1]),
    )


def _configuration(name: str, description: str, **fields: Any) -> Case:
    return Case(
        name,
        description,
        spec(container(FOREVER, **fields)),
        all_of(waits("CreateContainerConfigError"), told("Failed")),
        objects=(
            {"kind": "ConfigMap", "metadata": {"name": "present"}, "data": {"key": "value"}},
            {"kind": "Secret", "metadata": {"name": "present"}, "stringData": {"key": "value"}},
        ),
    )


def _volume(name: str, description: str, volume: Json, **fields: Any) -> Case:
    return Case(
        name,
        description,
        mounting(volume),
        all_of(waits("ContainerCreating"), told("FailedMount")),
        **fields,
    )


def _reference(kind: str, name: str, key: str) -> list[Json]:
    return [{"name": "VALUE", "valueFrom": {kind: {"name": name, "key": key}}}]


IMAGES = (
    _image(
        "image-missing",
        "The registry has no such image.",
        "registry.example/lab:missing",
        "ErrImagePull",
        "ImagePullBackOff",
    ),
    _image(
        "image-private",
        "The registry gives the image to nobody without credentials.",
        "registry.example/private/lab:1",
        "ErrImagePull",
        "ImagePullBackOff",
    ),
    _image(
        "image-registry-unreachable",
        "Nobody listens where the registry should be.",
        "127.0.0.1:1/lab:1",
        "ErrImagePull",
        "ImagePullBackOff",
    ),
    _image(
        "image-name-impossible", "No image can have such a name.", "Lab::1", "InvalidImageName"
    ),
    _image(
        "image-never-pulled",
        "The node does not have the image, and may not pull it.",
        "registry.example/lab:absent",
        "ErrImageNeverPull",
        imagePullPolicy="Never",
    ),
    Case(
        "init-image-missing",
        "The registry has no such image as its init container needs.",
        spec(
            container(FOREVER),
            initContainers=[container(image="registry.example/lab:missing", name="home")],
        ),
        all_of(waits("ImagePullBackOff"), told("BackOff")),
    ),
    Case(
        "image-being-pulled",
        "Nothing is wrong: the registry is slow.",
        spec(container(image="registry.example/slow/lab:1")),
        all_of(
            waits("ContainerCreating"),
            has_condition("PodReadyToStartContainers"),
            told("Pulling"),
        ),
    ),
)

REFERENCES = (
    _configuration(
        "config-map-missing",
        "Its environment is to come from a config map that does not exist.",
        envFrom=[{"configMapRef": {"name": "missing"}}],
    ),
    _configuration(
        "config-map-key-missing",
        "Its environment is to come from a key that the config map does not have.",
        env=_reference("configMapKeyRef", "present", "missing"),
    ),
    _configuration(
        "secret-missing",
        "Its environment is to come from a secret that does not exist.",
        env=_reference("secretKeyRef", "missing", "key"),
    ),
    _configuration(
        "secret-key-missing",
        "Its environment is to come from a key that the secret does not have.",
        env=_reference("secretKeyRef", "present", "missing"),
    ),
    _configuration(
        "root-refused",
        "It must not run as root, and its image does.",
        securityContext={"runAsNonRoot": True},
    ),
)

VOLUMES = (
    _volume(
        "volume-secret-missing",
        "It mounts a secret that does not exist.",
        {"secret": {"secretName": "missing"}},
    ),
    _volume(
        "volume-secret-key-missing",
        "It mounts a key that the secret does not have.",
        {"secret": {"secretName": "present", "items": [{"key": "missing", "path": "a"}]}},
        objects=({"kind": "Secret", "metadata": {"name": "present"}},),
    ),
    _volume(
        "volume-config-map-missing",
        "It mounts a config map that does not exist.",
        {"configMap": {"name": "missing"}},
    ),
    _volume(
        "volume-host-path-missing",
        "It mounts a folder of the host that does not exist.",
        {"hostPath": {"path": "/nowhere", "type": "Directory"}},
    ),
    _volume(
        "volume-host-path-wrong-type",
        "It mounts a folder of the host that is a file.",
        {"hostPath": {"path": HOST_FILE, "type": "Directory"}},
    ),
    _volume(
        "volume-nfs-unmountable",
        "It mounts a file system that the node has no program for.",
        {"nfs": {"server": "nfs.example", "path": "/home"}},
    ),
    Case(
        "volume-local-missing",
        "Its claim is bound to a local volume whose folder is not there.",
        mounting({"persistentVolumeClaim": {"claimName": "home"}}),
        all_of(waits("ContainerCreating"), told("FailedMount")),
        objects=(
            {
                "kind": "PersistentVolume",
                "metadata": {"name": "statuses-missing"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "capacity": {"storage": "1Gi"},
                    "local": {"path": "/nowhere"},
                    "storageClassName": "statuses-missing",
                    "nodeAffinity": {
                        "required": {
                            "nodeSelectorTerms": [
                                {
                                    "matchExpressions": [
                                        {"key": "kubernetes.io/os", "operator": "Exists"}
                                    ]
                                }
                            ]
                        }
                    },
                },
            },
            {
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "home"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                    "storageClassName": "statuses-missing",
                },
            },
        ),
    ),
    Case(
        "volume-mounted-late",
        "Nothing is wrong any more: the secret it mounts was missing at first.",
        mounting({"secret": {"secretName": "late"}}),
        has_phase("Running"),
        (
            Step(
                told("FailedMount"),
                "while the secret is missing",
                lambda stage: stage.core.create_namespaced_secret(
                    stage.namespace, {"metadata": {"name": "late"}}
                ),
            ),
        ),
    ),
    Case(
        "mount-path-impossible",
        "A volume is to be mounted on a path through a file.",
        mounting({"emptyDir": {}}, mount={"mountPath": "/etc/passwd/data"}),
        all_of(told("Failed"), told("BackOff")),
    ),
    Case(
        "sub-path-impossible",
        "A path within its volume is one through a file.",
        mounting({"hostPath": {"path": HOST_FILE}}, mount={"subPath": "a/b"}),
        all_of(waits("CreateContainerConfigError"), told("Failed")),
    ),
)

COMMANDS = (
    Case(
        "command-missing",
        "Its command does not exist in the image, and is not to be tried again.",
        spec(
            container(command=None, args=["/nowhere"]) | {"command": ["/nowhere"]}, restart="Never"
        ),
        all_of(has_phase("Failed"), told("Failed")),
    ),
    Case(
        "command-missing-loop",
        "Its command does not exist in the image.",
        spec(container() | {"command": ["/nowhere"]}),
        all_of(waits("CrashLoopBackOff"), told("Failed", "BackOff")),
        (Step(waits("RunContainerError"), "after the first try"),),
    ),
    Case(
        "command-not-executable",
        "Its command is a file that cannot be executed.",
        spec(container() | {"command": ["/etc/passwd"]}, restart="Never"),
        all_of(has_phase("Failed"), told("Failed")),
    ),
    Case(
        "working-directory-is-a-file",
        "Its working directory is a file.",
        spec(container(FOREVER, workingDir="/etc/passwd")),
        all_of(told("Failed"), told("BackOff")),
    ),
    Case(
        "init-command-missing",
        "The command of its init container does not exist in the image.",
        spec(
            container(FOREVER),
            initContainers=[container(name="home") | {"command": ["/nowhere"]}],
        ),
        all_of(waits("CrashLoopBackOff"), told("Failed", "BackOff")),
    ),
)

CASES = (*IMAGES, *REFERENCES, *VOLUMES, *COMMANDS)
