"""The options that commands share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import click

from lab_storage._cli.completion import complete_contexts
from lab_storage._cli.lab_file import LabFile, Named
from lab_storage._cli.session import Session

__all__ = ["duration", "examples", "with_session"]

Command = Callable[..., None]
Option = Callable[[Command], Command]


_DURATION = re.compile(
    r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d*)?)(?:s|$))?(?:(\d+)ms)?", re.ASCII
)


def duration(text: str) -> timedelta:
    """Read a duration: ``90``, ``2.5s``, ``500ms``, ``5m`` or ``1h30m``.

    Raises
    ------
    click.BadParameter
        If it is not a duration.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise click.BadParameter(f"{text!r} is not a duration (try 90, 2.5s or 5m).")
    hours, minutes, seconds, milliseconds = (float(group or 0) for group in match.groups())
    try:
        return timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)
    except OverflowError:
        raise click.BadParameter(f"{text!r} is too long.") from None


def examples(*commands: str) -> str:
    """Write the examples at the end of a command's help, a line each."""
    title = "Example" if len(commands) == 1 else "Examples"
    # \b keeps click from joining the lines.
    lines = "\n".join(f"  lab-storage {command}" for command in commands)
    return f"\b\n{title}:\n{lines}"


_OF_A_LAB: dict[str, Option] = {
    "file": click.option(
        "-f",
        "--file",
        type=click.Path(allow_dash=True),
        metavar="FILE",
        help="The lab's manifests in YAML; - for stdin.",
    ),
    "namespace": click.option("-n", "--namespace", metavar="NAME", help="The lab's namespace."),
    "pod": click.option("--pod", metavar="NAME", help="The lab's pod."),
    "env_config_map": click.option(
        "--env-config-map", metavar="NAME", help="The config map with the environment."
    ),
    "quota": click.option("--quota", metavar="NAME", help="The lab's quota."),
    "user": click.option("--user", metavar="NAME", help="The user whose lab it is, for messages."),
}


_KUBECONFIG = "Default: KUBECONFIG, ~/.kube/config, or the ServiceAccount of the pod."


def _of_all(timeout: str, kubeconfig: str) -> list[Option]:
    return [
        click.option(
            "--timeout",
            type=duration,
            default=timeout,
            show_default=True,
            help="How long it may take: 90, 2.5s, 500ms, 5m, 1h30m.",
        ),
        click.option(
            "--kubeconfig",
            type=click.Path(),
            metavar="FILE",
            help=kubeconfig,
        ),
        click.option(
            "--context",
            metavar="NAME",
            shell_complete=complete_contexts,
            help="The context in it. Default: its current one.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Show the result as JSON."),
        click.option("--debug", is_flag=True, help="Show the log, and tracebacks of errors."),
    ]


def with_session(
    timeout: str, *, lab: Sequence[str] = (), kubeconfig: str = _KUBECONFIG
) -> Option:
    """Give a command the options that commands share.

    The command gets a `Session`, and a `Named` if it concerns a lab.

    Parameters
    ----------
    timeout
        How long it may take by default.
    lab
        Which attributes of `Named` it has options for.
    kubeconfig
        The help of that option.
    """
    fields = (*lab, "user") if lab else ()
    offered = ("file", *fields) if lab else ()
    options = [*(_OF_A_LAB[field] for field in offered), *_of_all(timeout, kubeconfig)]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapper(
            *,
            timeout: timedelta,
            kubeconfig: str | None,
            context: str | None,
            as_json: bool,
            debug: bool,
            **others: Any,
        ) -> None:
            session = Session(
                timeout, kubeconfig=kubeconfig, context=context, as_json=as_json, debug=debug
            )
            with session:
                if lab:
                    file = others.pop("file")
                    given = {field: others.pop(field) for field in fields}
                    named = Named(None if file is None else LabFile.read(file), **given)
                    command(session, named, **others)
                else:
                    command(session, **others)

        decorated: Command = wrapper
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate
