"""Kinds beyond those that every lab has: what the installed client knows of them.

The client's API classes say which kinds there are, and which of them live in a namespace:
``RbacAuthorizationV1Api.create_namespaced_role``. What they do not know, such as a custom
resource, is checked by the server alone. Plurals are not in them: those that
`lab_storage._manifests.kinds` does not have are asked of the server.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from kubernetes import client

from lab_storage._manifests.kinds import KINDS, Kind

__all__ = ["other_kind"]

_KNOWN: Final = {(kind.api_version, kind.name): kind for kind in KINDS}
# Where a word of a name in camel case begins, also after an acronym: CSIStorageCapacity.
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


# Bounded: words come from manifests.
@functools.lru_cache(maxsize=512)
def other_kind(api_version: str, name: str) -> Kind:
    """Describe a kind by its words in a manifest.

    Parameters
    ----------
    api_version, name
        What ``apiVersion`` and ``kind`` say.

    Returns
    -------
    Kind
        With an empty ``plural`` if that has to be asked of the server, and an empty ``model`` if
        the installed client does not know the kind.
    """
    if (api_version, name) in _KNOWN:
        return _KNOWN[api_version, name]
    group, _, version = api_version.rpartition("/")
    words = group.removesuffix(".k8s.io").split(".") if group else ["core"]
    prefix = "".join(word.capitalize() for word in words)
    api = getattr(client, f"{prefix}{version.capitalize()}Api", None)
    verb = "_".join(_WORDS.split(name)).lower()
    namespaced = hasattr(api, f"create_namespaced_{verb}")
    if not namespaced and not hasattr(api, f"create_{verb}"):
        return Kind(name, api_version, plural="", model="")
    # Kinds of one name in several groups have the group's name too: CoreV1Event.
    for model in (f"{version.capitalize()}{name}", f"{prefix}{version.capitalize()}{name}"):
        if hasattr(client, model):
            return Kind(name, api_version, plural="", model=model, namespaced=namespaced)
    return Kind(name, api_version, plural="", model="", namespaced=namespaced)
