"""The options that commands share."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import click

from lab_storage._cli.lab_file import LabFile, Named
from lab_storage._cli.session import Session

__all__ = ["duration", "with_session"]

Command = Callable[..., None]
Option = Callable[[Command], Command]


_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d*)?)s?)?", re.ASCII)


def duration(text: str) -> timedelta:
    """Read a duration: ``90``, ``2.5s``, ``5m`` or ``1h30m``.

    Raises
    ------
    click.BadParameter
        If it is none.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise click.BadParameter(f"{text!r} is no duration, such as 90, 2.5s, 5m or 1h30m.")
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    try:
        return timedelta(hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise click.BadParameter(f"{text!r} is longer than can be waited.") from None


_OF_A_LAB: dict[str, Option] = {
    "file": click.option(
        "-f", "--file", metavar="FILE", help="The lab's manifests in YAML, or - for stdin."
    ),
    "namespace": click.option("-n", "--namespace", metavar="NAME", help="The lab's namespace."),
    "pod": click.option("--pod", metavar="NAME", help="Which pod is the lab's."),
    "env_config_map": click.option(
        "--env-config-map", metavar="NAME", help="Which config map has the environment."
    ),
    "quota": click.option("--quota", metavar="NAME", help="Which quota is the lab's."),
    "user": click.option("--user", metavar="NAME", help="Whose lab it is, for messages."),
}


def _of_all(timeout: str) -> list[Option]:
    return [
        click.option(
            "--timeout",
            type=duration,
            default=timeout,
            show_default=True,
            help="How long it may take: 90, 2.5s, 5m, 1h30m.",
        ),
        click.option(
            "--kubeconfig",
            metavar="FILE",
            help="Default: KUBECONFIG, ~/.kube/config, or the ServiceAccount of the pod.",
        ),
        click.option("--context", metavar="NAME", help="Default: the file's current one."),
        click.option("--json", "as_json", is_flag=True, help="Say the result as JSON."),
        click.option("--debug", is_flag=True, help="Show the log, and tracebacks of errors."),
    ]


def with_session(timeout: str, *, lab: Sequence[str] = ()) -> Option:
    """Give a command the options that commands share, and what they mean.

    The command gets a `Session`, and a `Named` if it is about a lab.

    Parameters
    ----------
    timeout
        How long it may take by default.
    lab
        What of a lab it needs: of the attributes of `Named`.
    """
    fields = (*lab, "user") if lab else ()
    offered = ("file", *fields) if lab else ()
    options = [*(_OF_A_LAB[field] for field in offered), *_of_all(timeout)]

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
