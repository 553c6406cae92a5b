"""The commands: each is a call of one method of `LabStorage`, and says what it gave."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import click
from kubernetes.client import ApiClient

from lab_storage._cli.failures import Exit, FailedError
from lab_storage._cli.lab_file import Named
from lab_storage._cli.log import Entry, object_of
from lab_storage._cli.options import with_session
from lab_storage._cli.screen import Activity
from lab_storage._cli.session import Session
from lab_storage._cli.state import describe_state
from lab_storage.exceptions import one_line
from lab_storage.models import FAIL_FAST, LabObjectNames, PodPhase

__all__ = ["COMMANDS"]

# What the library logs of each object that it makes, or finds made.
_MADE = {"Created object": "created", "Object was created before": "was there already"}
# A word for `lab_storage.FAIL_FAST` on the command line.
_USUAL = "usual"


@click.command()
@with_session("5m", lab=("namespace", "pod", "env_config_map", "quota"))
@click.option(
    "--operation-id",
    metavar="ID",
    help="Objects that an earlier attempt with this ID has made count as made.",
)
def create(session: Session, named: Named, operation_id: str | None) -> None:
    """Create the lab of a file.

    It is done once every object of it exists. An object that was there before is left as it
    is, and the exit code is 1. What was made stays when it fails.
    """
    if named.file is None:
        raise FailedError(Exit.USAGE, "which lab? Give its file by -f")
    if operation_id == "":
        raise FailedError(Exit.USAGE, "--operation-id must not be empty")
    names = named.resolve()
    lab = named.file.lab(names)
    made: list[dict[str, str]] = []

    def listen(activity: Activity, entry: Entry) -> None:
        done = _MADE.get(entry["event"])
        if done is not None:
            made.append({"kind": entry["kind"], "name": entry["name"]})
            session.screen.line(f"{object_of(entry)} {done}")
            activity.advance()

    # One of its own too, so that an attempt that is cut short can be gone on with.
    operation_id = operation_id or uuid.uuid4().hex
    with session.call(
        "Creating the lab",
        names.username,
        total=len(lab.to_manifests()),
        listener=listen,
        hint=f"; to go on, repeat it with --operation-id {operation_id}",
    ) as call:
        call.storage.create(lab, call.timeout, operation_id=operation_id)
    session.screen.line(f"Lab {names.namespace}/{names.pod} is created: {len(made)} objects")
    session.screen.result(
        {"namespace": names.namespace, "operation_id": operation_id, "objects": made}
    )


@click.command()
@with_session("1h", lab=("namespace", "pod"))
def events(session: Session, named: Named) -> None:
    """Tell the events of a lab's pod.

    As they happen, until the timeout or Ctrl-C. Those that exist already come first. It may be
    started before the pod exists.
    """
    names = named.resolve(("namespace", "pod"))
    with session.call("Watching the events", names.username) as call:
        for message in call.storage.watch_pod_events(names.pod, names.namespace, call.timeout):
            session.screen.line(one_line(message))
            session.screen.result({"message": message}, compact=True)
    # Nothing else ends the loop without an error.
    raise FailedError(session.interrupts.exit_code, "Watching the events was interrupted")


@click.command()
@with_session("30s", lab=("namespace", "pod"))
def phase(session: Session, named: Named) -> None:
    """Read the phase of a lab's pod.

    Without a pod, the exit code is 1.
    """
    names = named.resolve(("namespace", "pod"))
    with session.call("Reading the phase", names.username) as call:
        found = call.storage.read_pod_phase(names, call.timeout)
    _say_phase(session, names, found)


@click.command()
@with_session("5m", lab=("namespace", "pod"))
@click.option(
    "--fail-fast",
    metavar="REASONS",
    multiple=True,
    help="Do not wait while the pod waits for one of these, as ErrImagePull or Unschedulable; "
    f'"{_USUAL}" is those that seldom pass by themselves.',
)
def wait(session: Session, named: Named, fail_fast: Sequence[str]) -> None:
    """Wait until a lab's pod has started.

    It says the phase. The exit code is 1 if it has failed, cannot start (see --fail-fast),
    disappears or never was.
    """
    names = named.resolve(("namespace", "pod"))
    with session.call("Waiting for the pod", names.username) as call:
        found = call.storage.wait_for_pod_start(
            names.pod, names.namespace, call.timeout, fail_fast=_reasons(fail_fast)
        )
    _say_phase(session, names, found)
    if found is PodPhase.FAILED:
        raise FailedError(Exit.REFUSED, f"Pod {names.namespace}/{names.pod} has failed")


def _reasons(given: Sequence[str]) -> frozenset[str]:
    words = {word.strip() for each in given for word in each.split(",")} - {""}
    return frozenset(words - {_USUAL}) | (FAIL_FAST if _USUAL in words else frozenset())


def _say_phase(session: Session, names: LabObjectNames, found: PodPhase | None) -> None:
    session.screen.result({"phase": None if found is None else found.value})
    if found is None:
        raise FailedError(Exit.REFUSED, f"Pod {names.namespace}/{names.pod} does not exist")
    session.screen.line(found.value)


@click.command()
@with_session("30s", lab=("namespace", "pod", "env_config_map", "quota"))
def show(session: Session, named: Named) -> None:
    """Show the state of a lab.

    That is its pod, its quota and its environment. Without the pod or the environment's
    config map, the exit code is 1.
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


@click.command("list")
@with_session("30s")
@click.option("--prefix", default="", metavar="TEXT", help="What the names begin with.")
def list_namespaces(session: Session, prefix: str) -> None:
    """List the names of namespaces."""
    with session.call("Listing the namespaces") as call:
        found = call.storage.list_namespaces(prefix, call.timeout)
    for name in found:
        session.screen.line(name)
    session.screen.result(found)


@click.command()
@with_session("2m", lab=("namespace", "pod"))
def delete_pod(session: Session, named: Named) -> None:
    """Delete the pod of a lab.

    It is done once the pod is gone. One that does not exist is a success.
    """
    names = named.resolve(("namespace", "pod"))
    with session.call("Deleting the pod", names.username) as call:
        call.storage.delete_pod(names, call.timeout)
    session.screen.line(f"Pod {names.namespace}/{names.pod} is gone")
    session.screen.result({"namespace": names.namespace, "pod": names.pod})


@click.command()
@with_session("5m", lab=("namespace",))
def delete_namespace(session: Session, named: Named) -> None:
    """Delete the namespace of a lab.

    All that is in it goes with it. It is done once the namespace is gone. One that does not
    exist is a success.
    """
    names = named.resolve(("namespace",))
    with session.call("Deleting the namespace", names.username) as call:
        call.storage.delete_namespace(names.namespace, call.timeout)
    session.screen.line(f"Namespace {names.namespace} is gone")
    session.screen.result({"namespace": names.namespace})


COMMANDS = (
    create,
    events,
    phase,
    wait,
    show,
    list_namespaces,
    delete_pod,
    delete_namespace,
)
