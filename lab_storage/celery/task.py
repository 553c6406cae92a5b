"""`LabTask`: a task with a deadline, which can be revoked and reports its progress."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar

from celery import Task, states
from celery.concurrency import prefork
from celery.exceptions import Ignore, TaskRevokedError
from celery.utils.log import get_logger
from celery.worker.request import Request
from celery.worker.state import revoked

from lab_storage import (
    LabObjectNames,
    LabStorage,
    LabStorageError,
    OperationCancelledError,
    Timeout,
)
from lab_storage.celery.progress import Progress

HIDDEN_ARGS, HIDDEN_KWARGS = "(…)", "{…}"


class LabRequest(Request):  # type: ignore[misc]
    """A task that was received, as the worker's main process sees it."""

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Do what ``revoke(terminate=True)`` asks for, by a signal that cannot be missed.

        Where the task runs in a process of its own, Celery ends that. It does no harm: what had
        been made is there, and goes with its namespace. In threads and greenlets the `Timeout` is
        cancelled instead, which ends a call within 0.25 s.
        """
        del signal
        if isinstance(pool, prefork.TaskPool):
            # Celery's processes turn SIGTERM into an exception, and Python drops one that is
            # raised while an object is being finalized: the task would go on, unseen.
            super().terminate(pool, "KILL")
        elif timeout := LabTask.running.get(self.id):
            timeout.cancel()

    def info(self, safe: bool = False) -> dict[str, Any]:
        """Describe the task without its arguments: ``inspect().active()`` asks for them whole."""
        del safe
        return {**super().info(safe=True), "args": HIDDEN_ARGS, "kwargs": HIDDEN_KWARGS}


class LabTask(Task):  # type: ignore[misc]
    """A task with a deadline, which can be revoked and reports its progress.

    Its arguments are shown nowhere, since there are secrets in manifests: not in logs, events,
    results or by ``celery inspect``. They are in the broker, until the task is done.
    """

    Request = LabRequest
    abstract = True
    throws = (LabStorageError,)  # logged in one line: they are for whoever sent the task
    running: ClassVar[dict[str, Timeout]] = {}
    #: The longest deadline that may be sent.
    longest: ClassVar[timedelta] = timedelta(minutes=10)

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send the task; what Celery shows of its arguments is a placeholder."""
        options |= {"argsrepr": HIDDEN_ARGS, "kwargsrepr": HIDDEN_KWARGS}
        return super().apply_async(args, kwargs, **options)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Keep the arguments out of the result, where ``result_extended`` would write them."""
        del task_id, args, kwargs
        self.request.update(args=(), kwargs={})

    @contextmanager
    def deadline(
        self, operation: str, seconds: float, username: str | None = None
    ) -> Iterator[Timeout]:
        """Make a `Timeout`, which a revocation cancels, of the seconds that were sent."""
        duration = min(timedelta(seconds=seconds), self.longest)
        timeout = Timeout(operation, duration, username)
        task_id = self.request.id
        self.running[task_id] = timeout
        if task_id in revoked:
            timeout.cancel()  # too early to be found in `running`
        try:
            yield timeout
        except OperationCancelledError:
            self.update_state(state=states.REVOKED, meta=TaskRevokedError("cancelled"))
            raise Ignore from None
        finally:
            self.running.pop(task_id, None)

    @contextmanager
    def progress(
        self, storage: LabStorage, names: LabObjectNames, timeout: Timeout
    ) -> Iterator[None]:
        """Make the state of the task, meanwhile, what a person wants to know of a start.

        The state is ``PROGRESS``, and its information
        ``{"events": […], "waiting_for": "ServiceAccount … does not exist yet"}``: the pod's events
        as they happen, and what the call waits for, or `None`.
        """
        report = functools.partial(self.update_state, self.request.id, "PROGRESS")
        with Progress(storage, names, timeout, self.longest, report).reported():
            yield


class _WithoutArguments(logging.Filter):
    """Leaves the arguments out of what Celery's pools log at level debug."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, changed."""
        if str(record.msg).startswith("TaskPool: Apply") and record.args:
            record.args = (record.args[0], HIDDEN_ARGS, HIDDEN_KWARGS)  # type: ignore[index]
        return True


get_logger("celery.pool").addFilter(_WithoutArguments())
