"""What a server takes of a pod and warns of: the ``Warning`` headers about its content.

Source: pkg/api/pod/warnings.go of Kubernetes; those that labs cause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .quantities import Quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .resources import Object


def warnings(pod: Object) -> Iterator[str]:
    """Give the texts, in the server's order."""
    spec = pod["spec"]
    for i, secret in enumerate(spec.get("imagePullSecrets", ())):
        if not secret.get("name"):
            yield f'spec.imagePullSecrets[{i}].name: invalid empty name ""'
    for place in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(place, ())):
            yield from _container(f"spec.{place}[{i}]", container)


def _container(field: str, container: dict[str, Any]) -> Iterator[str]:
    for place in ("limits", "requests"):
        amount = container["resources"].get(place, {}).get("memory", "0")
        value = (Quantity.parse(amount) or Quantity()).value
        if value != value.to_integral_value():
            text = f'fractional byte value "{amount}" is invalid, must be an integer'
            yield f"{field}.resources.{place}[memory]: {text}"
    names: set[str] = set()
    for i, variable in enumerate(container.get("env", ())):
        name = variable.get("name", "")
        if name in names:
            text = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{field}.env[{i}]: {text}"
        names.add(name)
    ports: dict[tuple[Any, ...], int] = {}
    for i, port in enumerate(container.get("ports", ())):
        key = tuple(port.get(part) for part in ("containerPort", "protocol", "hostPort", "hostIP"))
        if key in ports:
            yield f"{field}.ports[{i}]: duplicate port definition with {field}.ports[{ports[key]}]"
        ports.setdefault(key, i)
