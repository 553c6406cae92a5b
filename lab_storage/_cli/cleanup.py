"""The commands about all labs: ``list`` and ``gc``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import click

from lab_storage._cli.failures import Exit, FailedError
from lab_storage._cli.inventory import Candidate, Criteria, as_json, read_keep_file, table
from lab_storage._cli.options import duration, examples, with_session
from lab_storage._cli.session import Call, Session
from lab_storage.exceptions import LabStorageError, OperationCancelledError
from lab_storage.models import LabSummary

__all__ = ["gc", "list_labs"]

_AT_ONCE = 8


@click.command(
    "list",
    short_help="List labs with their pods.",
    epilog=examples("list --prefix lab-", "list --prefix lab- --json"),
)
@with_session("1m")
@click.option("--prefix", default="", metavar="TEXT", help="Only namespaces with this prefix.")
def list_labs(session: Session, prefix: str) -> None:
    """List labs: namespaces, with phase, readiness, age and name of their pods."""
    labs = _read(session, prefix)
    for line in table(labs, datetime.now(timezone.utc)):
        session.screen.line(line)
    session.screen.result([as_json(lab) for lab in labs])


@click.command(
    short_help="Delete labs that are not needed.",
    epilog=examples(
        "gc --prefix lab- --ended",
        "gc --prefix lab- --pending-longer-than 1h",
        "gc --prefix lab- --keep-file keep.txt --yes",
    ),
)
@with_session("10m")
@click.option("--prefix", required=True, metavar="TEXT", help="Only namespaces with this prefix.")
@click.option("--ended", is_flag=True, help="Labs whose pods have all ended.")
@click.option(
    "--pending-longer-than",
    type=duration,
    metavar="DURATION",
    help="Labs with a pod that has been pending for so long, and none that runs.",
)
@click.option(
    "--no-pod",
    is_flag=True,
    help="Labs older than 10 minutes without a pod, also stopped ones whose storage is kept.",
)
@click.option(
    "--keep-file",
    type=click.Path(),
    metavar="FILE",
    help="A file with the namespaces to keep, one a line. Without any of the options above, all "
    "labs that are not in it are deleted.",
)
@click.option("--yes", is_flag=True, help="Delete them. Otherwise only show them.")
@click.option("--all", "all_", is_flag=True, help="Also if they are more than half of the labs.")
def gc(
    session: Session,
    prefix: str,
    *,
    ended: bool,
    pending_longer_than: timedelta | None,
    no_pod: bool,
    keep_file: str | None,
    yes: bool,
    all_: bool,
) -> None:
    """Delete labs that are not needed any more, each by the UID that it was listed with.

    It shows which it would delete, and why; with --yes it deletes them, with everything in
    their namespaces. It is not for labs that share a namespace: that would go with all of
    them. It refuses to delete more than half of the labs without --all: an empty list of labs
    to keep must not mean "delete everything".
    """
    if not prefix:
        raise FailedError(Exit.USAGE, "--prefix must not be empty: not every namespace is a lab")
    keep = None if keep_file is None else read_keep_file(keep_file)
    criteria = Criteria(ended, pending_longer_than, no_pod, keep=keep)
    if not criteria.has_state and keep is None:
        options = "--ended, --pending-longer-than, --no-pod, --keep-file"
        raise FailedError(Exit.USAGE, f"which labs? Select them by at least one of: {options}")
    labs = _read(session, prefix)
    found = criteria.select(labs, datetime.now(timezone.utc))
    for each in found:
        session.screen.line(f"{each.lab.namespace}: {each.reason}")
    # Those that are being deleted are lost already, and must not make room for more.
    standing = sum(not lab.is_terminating for lab in labs)
    is_most = 2 * len(found) > standing
    if yes and is_most and not all_:
        _show(session, found, {})
        text = f"these are {len(found)} of {standing} labs; to delete them all the same, add --all"
        raise FailedError(Exit.USAGE, text)
    errors = _delete(session, found) if yes and found else {}
    _show(session, found, deleted={uid for uid, error in errors.items() if error is None})
    if errors:
        number = sum(error is None for error in errors.values())
        session.screen.line(f"Deleted: {_labs(number)}")
    if not yes and found:
        session.remarks.append(f"nothing was deleted; to delete {_labs(len(found))}, add --yes")
    if failed := [error for error in errors.values() if error is not None]:
        raise FailedError(Exit.REFUSED, f"{_labs(len(failed))} not deleted: {failed[0]}")


def _read(session: Session, prefix: str) -> list[LabSummary]:
    with session.call("Listing the labs") as call:
        labs: list[LabSummary] = call.storage.list_labs(prefix, call.timeout)
    return labs


def _delete(session: Session, found: Sequence[Candidate]) -> dict[str, str | None]:
    """Delete labs side by side; give by UID what went wrong, or `None`."""
    with session.call("Deleting labs", total=len(found)) as call:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            errors = list(threads.map(lambda each: _delete_one(call, each.lab), found))
        call.timeout.left()  # raises if it was interrupted
    return dict(zip((each.lab.uid for each in found), errors, strict=True))


def _delete_one(call: Call, lab: LabSummary) -> str | None:
    try:
        call.storage.delete_namespace(lab.namespace, call.timeout, uid=lab.uid)
    except OperationCancelledError:
        return "interrupted"
    except LabStorageError as error:
        return str(error)
    call.activity.advance()
    return None


def _show(session: Session, found: Sequence[Candidate], deleted: Collection[str] = ()) -> None:
    result: list[dict[str, Any]] = [
        {
            "namespace": each.lab.namespace,
            "uid": each.lab.uid,
            "reason": each.reason,
            "deleted": each.lab.uid in deleted,
        }
        for each in found
    ]
    session.screen.result(result)


def _labs(number: int) -> str:
    return f"{number} lab{'s' if number != 1 else ''}"
