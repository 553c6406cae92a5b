"""The commands: each calls one method of `LabStorage`, and shows what it returns."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import click
from kubernetes.client import ApiClient

from lab_storage._cli.cleanup import gc, list_labs
from lab_storage._cli.completion import complete_reasons
from lab_storage._cli.failures import Exit, FailedError, OutputLostError
from lab_storage._cli.lab_file import Named
from lab_storage._cli.log import Entry, object_of
from lab_storage._cli.options import examples, with_session
from lab_storage._cli.screen import Activity
from lab_storage._cli.session import Session
from lab_storage._cli.state import describe_state
from lab_storage._cli.why import as_json, table
from lab_storage.exceptions import KubernetesError, LabStorageError, one_line
from lab_storage.models import FAIL_FAST, LabObjectNames, PodPhase

__all__ = ["COMMANDS"]

# What the library logs about each object that it makes, or finds made.
_MADE = {"Created object": "created", "Object was created before": "existed already"}
# The word for `lab_storage.FAIL_FAST` on the command line.
_USUAL = "usual"


@click.command(
    epilog=examples(
        "create -f lab.yaml",
        "create -f lab.yaml --timeout 90 --json",
        "create -f lab.yaml --operation-id start-1",
    )
)
@with_session("5m", lab=("namespace", "pod", "env_config_map", "quota"))
@click.option(
    "--operation-id",
    metavar="ID",
    help="Objects that an earlier attempt with this ID made count as made.",
)
@click.option(
    "--shared-namespace",
    is_flag=True,
    help="The namespace exists already and is not the lab's: create none.",
)
def create(
    session: Session, named: Named, operation_id: str | None, *, shared_namespace: bool
) -> None:
    """Create a lab from a file.

    It is done once every object of the lab exists. An object that existed before is left as
    it is, and the exit code is 1. If it fails, what it made stays; repeat it with the
    --operation-id that it shows to go on from there.
    """
    if named.file is None:
        raise FailedError(Exit.USAGE, "which lab? Select its file with -f")
    if operation_id == "":
        raise FailedError(Exit.USAGE, "--operation-id must not be empty")
    named.file.check()
    names = named.resolve()
    lab = named.file.lab(names, shared_namespace=shared_namespace)
    made: list[dict[str, str]] = []

    def listen(activity: Activity, entry: Entry) -> None:
        done = _MADE.get(entry["event"])
        if done is not None:
            made.append({"kind": entry["kind"], "name": entry["name"]})
            session.screen.line(f"{object_of(entry)} {done}")
            activity.advance()

    def hint(error: LabStorageError) -> str:
        is_anothers = isinstance(error, KubernetesError) and error.reason == "AlreadyExists"
        if is_anothers and not made:
            # There is nothing that this attempt could go on from.
            return (
                "; to start anew, delete it first; to go on from an earlier attempt, use the "
                "--operation-id of that one"
            )
        first = "; delete it first" if is_anothers else ""
        return f"{first}; to go on, repeat it with --operation-id {operation_id}"

    # Always with an ID, so that an attempt that fails can be continued.
    operation_id = operation_id or uuid.uuid4().hex
    result = {"namespace": names.namespace, "operation_id": operation_id, "objects": made}
    try:
        with session.call(
            "Creating the lab",
            names.username,
            total=len(lab.to_manifests()),
            listener=listen,
            hint=hint,
        ) as call:
            call.storage.create(lab, call.timeout, operation_id=operation_id)
    except FailedError:
        session.screen.result({**result, "complete": False})
        raise
    session.screen.line(f"Lab {names.namespace}/{names.pod} is created: {len(made)} objects")
    session.screen.result({**result, "complete": True})


@click.command(
    short_help="Show a pod's events as they happen.",
    epilog=examples("events -f lab.yaml", "events -n lab-jovyan --pod lab --json"),
)
@with_session("1h", lab=("namespace", "pod"))
def events(session: Session, named: Named) -> None:
    """Show the events of a lab's pod as they happen.

    Until the timeout or Ctrl-C. Those that exist already come first. It may be started
    before the pod exists.
    """
    names = named.resolve(("namespace", "pod"))
    with session.call("Watching the events", names.username) as call:
        for message in call.storage.watch_pod_events(names.pod, names.namespace, call.timeout):
            session.screen.line(one_line(message))
            session.screen.result({"message": message}, compact=True)
            if session.screen.is_lost:
                raise OutputLostError
    # Nothing else ends the loop without an error.
    raise FailedError(session.interrupts.exit_code, "Watching the events was interrupted")


@click.command(epilog=examples("phase -f lab.yaml", "phase -n lab-jovyan --pod lab"))
@with_session("30s", lab=("namespace", "pod"))
def phase(session: Session, named: Named) -> None:
    """Show the phase of a lab's pod.

    If there is no pod, the exit code is 1.
    """
    names = named.resolve(("namespace", "pod"))
    with session.call("Reading the phase", names.username) as call:
        found = call.storage.read_pod_phase(names, call.timeout)
    _show_phase(session, names, found)


@click.command(
    short_help="Wait until a lab's pod has started.",
    epilog=examples(
        "wait -f lab.yaml --fail-fast usual",
        "wait -f lab.yaml --fail-fast ErrImagePull",
    ),
)
@with_session("5m", lab=("namespace", "pod"))
@click.option(
    "--fail-fast",
    metavar="REASONS",
    multiple=True,
    shell_complete=complete_reasons,
    help="Fail at once if the pod waits for one of these, such as ErrImagePull or "
    f'Unschedulable; "{_USUAL}" stands for those that rarely resolve on their own.',
)
def wait(session: Session, named: Named, fail_fast: Sequence[str]) -> None:
    """Wait until a lab's pod has started, and show its phase.

    On a terminal it shows what it waits for. The exit code is 1 if the pod fails, cannot
    start (see --fail-fast), disappears or does not exist.
    """
    names = named.resolve(("namespace", "pod"))
    with session.call("Waiting for the pod", names.username) as call:
        found = call.storage.wait_for_pod_start(
            names.pod, names.namespace, call.timeout, fail_fast=_reasons(fail_fast)
        )
    _show_phase(session, names, found)
    if found is PodPhase.FAILED:
        raise FailedError(Exit.REFUSED, f"Pod {names.namespace}/{names.pod} has failed")


def _reasons(given: Sequence[str]) -> frozenset[str]:
    words = {word.strip() for each in given for word in each.split(",")} - {""}
    return frozenset(words - {_USUAL}) | (FAIL_FAST if _USUAL in words else frozenset())


def _show_phase(session: Session, names: LabObjectNames, found: PodPhase | None) -> None:
    session.screen.result({"phase": None if found is None else found.value})
    if found is None:
        raise FailedError(Exit.REFUSED, f"Pod {names.namespace}/{names.pod} does not exist")
    session.screen.line(found.value)


@click.command(epilog=examples("show -f lab.yaml", "show -f lab.yaml --json"))
@with_session("30s", lab=("namespace", "pod", "env_config_map", "quota"))
def show(session: Session, named: Named) -> None:
    """Show the state of a lab.

    That is its pod, its quota and its environment. If the pod or the config map of the
    environment is missing, the exit code is 1.
    """
    names = named.resolve()
    with session.call("Reading the lab", names.username) as call:
        state = call.storage.read_lab_objects(names, call.timeout)
    if state is None:
        session.screen.result(None)
        raise FailedError(
            Exit.REFUSED,
            f"Pod {names.namespace}/{names.pod} or ConfigMap "
            f"{names.namespace}/{names.env_config_map} does not exist",
        )
    with ApiClient() as client:
        found: dict[str, Any] = {
            field: client.sanitize_for_serialization(getattr(state, field))
            for field in ("env_config_map", "quota", "pod")
        }
    for line in describe_state(found):
        session.screen.line(line)
    session.screen.result(found)


@click.command(epilog=examples("delete-pod -f lab.yaml", "delete-pod -n lab-jovyan --pod lab"))
@with_session("2m", lab=("namespace", "pod"))
def delete_pod(session: Session, named: Named) -> None:
    """Delete the pod of a lab.

    It is done once the pod is gone. If there is no pod, that is success.
    """
    names = named.resolve(("namespace", "pod"))
    with session.call("Deleting the pod", names.username) as call:
        call.storage.delete_pod(names, call.timeout)
    session.screen.line(f"Pod {names.namespace}/{names.pod} is gone")
    session.screen.result({"namespace": names.namespace, "pod": names.pod})


@click.command(
    short_help="Delete a lab's namespace.",
    epilog=examples("delete-namespace -f lab.yaml", "delete-namespace -n lab-jovyan"),
)
@with_session("5m", lab=("namespace",))
def delete_namespace(session: Session, named: Named) -> None:
    """Delete the namespace of a lab, with everything in it.

    It is done once the namespace is gone. If there is no namespace, that is success. Where labs
    share a namespace, it would delete all of them, with their storage.
    """
    names = named.resolve(("namespace",))
    with session.call("Deleting the namespace", names.username) as call:
        call.storage.delete_namespace(names.namespace, call.timeout)
    session.screen.line(f"Namespace {names.namespace} is gone")
    session.screen.result({"namespace": names.namespace})


@click.command(
    short_help="Show why a lab's pod does not run.",
    epilog=examples("why -f lab.yaml", "why -n lab-jovyan --pod lab --logs 20"),
)
@with_session("30s", lab=("namespace", "pod"))
@click.option(
    "--logs",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Show the last N lines of the log of the container concerned; they may contain secrets.",
)
def why(session: Session, named: Named, logs: int) -> None:
    """Show why a lab's pod does not run, and what to do.

    The exit code is 0 if nothing is wrong, 4 if something is, and 1 if there is no pod.
    """
    names = named.resolve(("namespace", "pod"))
    with session.call("Reading the diagnosis", names.username) as call:
        found = call.storage._examine_pod(names, call.timeout, logs)
    if found is None:
        session.screen.result(None)
        raise FailedError(Exit.REFUSED, f"Pod {names.namespace}/{names.pod} does not exist")
    for line in table(names, found, session.screen.columns):
        session.screen.line(line)
    session.screen.result(as_json(names, found))
    if found.diagnosis.trouble is not None:
        click.get_current_context().exit(Exit.TROUBLE)


COMMANDS = (
    create,
    events,
    phase,
    wait,
    why,
    show,
    list_labs,
    delete_pod,
    delete_namespace,
    gc,
)
