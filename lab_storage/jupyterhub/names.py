"""Users and servers of a Hub as parts of Kubernetes names."""

from __future__ import annotations

import hashlib
import re
import unicodedata

# Two parts, joined by two hyphens, and a prefix fit into the 63 characters of a namespace.
LONGEST_PART = 26
_HASH_LENGTH = 8
_PLAIN = re.compile(r"[a-z][a-z0-9]*")


def slug(name: str, longest: int = LONGEST_PART) -> str:
    """Turn a name into a part of a Kubernetes name.

    A name of lower-case ASCII letters and digits stays as it is. Any other loses what does not
    fit and gets a hash of the whole, so that two names never give the same part. No part has two
    hyphens in a row: joined by two, several cannot be mistaken for others. The results are those
    of ``jupyterhub.slugs.safe_slug``, which JupyterHub has from version 6 on, so that labs keep
    their names across an upgrade.

    Parameters
    ----------
    name
        The name of a user or of a server.
    longest
        The most characters of the result.

    Returns
    -------
    str
        The part: lower-case ASCII letters, digits and single hyphens, a letter first.
    """
    if len(name) <= longest and _PLAIN.fullmatch(name):
        return name
    decomposed = unicodedata.normalize("NFKD", name)
    plain = "".join(char for char in decomposed if unicodedata.category(char) != "Mn").lower()
    room = longest - _HASH_LENGTH - 1
    readable = re.sub(r"[^a-z0-9]+", "-", plain).lstrip("-")[:room]
    if readable and readable[0].isdigit():
        readable = f"x-{readable[: room - 2]}"
    readable = readable.rstrip("-") or "x"
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]}"
