"""The verbs that users of kubectl type, in terms of this program's commands."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["HINTS", "translate"]

_NAMESPACE = ("namespace", "namespaces", "ns")
_POD = ("pod", "pods", "po")
# What is typed, the command, and the option for a name that follows.
_VERBS: dict[tuple[str, ...], tuple[str, str | None]] = {
    ("apply",): ("create", None),
    **{("delete", word): ("delete-namespace", "--namespace") for word in _NAMESPACE},
    **{("delete", word): ("delete-pod", "--pod") for word in _POD},
    **{("describe", word): ("why", "--pod") for word in _POD},
    ("describe",): ("show", None),
    **{("get", word): ("list", None) for word in _NAMESPACE},
    **{("get", word): ("phase", "--pod") for word in _POD},
    ("get",): ("show", None),
}


# What to type instead of a verb that has no single command.
HINTS: dict[str, str] = {
    "delete": 'delete what? Say "delete pod" or "delete namespace"',
    "exec": "this program does not run commands in a pod; use kubectl exec",
    "logs": 'to see the log of a pod in trouble, say "why --logs 100"; otherwise use kubectl logs',
}


def translate(arguments: Sequence[str]) -> list[str]:
    """Replace a verb of kubectl by the command that does it; ``pod/lab`` is a pod and its name.

    Parameters
    ----------
    arguments
        The command line, without the program's name.

    Returns
    -------
    list of str
        The command line with one of this program's commands, or as it was.
    """
    words = list(arguments)
    if len(words) > 1 and words[1].count("/") == 1:
        words[1:2] = words[1].split("/")
    for length in (2, 1):
        command, option = _VERBS.get(tuple(words[:length]), (None, None))
        if command is None:
            continue
        rest = words[length:]
        if option is not None and rest and not rest[0].startswith("-"):
            rest.insert(0, option)
        return [command, *rest]
    return list(arguments)
