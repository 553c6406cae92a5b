"""Labs as Celery tasks: create, delete, status, reconcile.

Workers have access to the cluster, and run tasks in processes, greenlets or threads:

    celery -A celery_app worker --concurrency 8
    celery -A celery_app worker --concurrency 200 --pool gevent

Who sends tasks needs this module and the broker alone:

    lab = LabObjects.from_manifests(manifests, names_of("jovyan"))
    result = create.delay("jovyan", lab.to_manifests(), 120)
    result.info                    # {"events": ["Pulling image …", …]}, while it starts
    result.get()                   # "Running", or raises what the library raised in the worker
    result.revoke(terminate=True)  # cancels it
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar

import structlog
from celery import Celery, Task, states
from celery.concurrency import prefork
from celery.exceptions import Ignore, TaskRevokedError
from celery.signals import worker_init
from celery.utils.log import get_logger
from celery.worker.request import Request
from celery.worker.state import revoked
from kubernetes import client, config

from lab_storage import (
    FAIL_FAST,
    KubernetesError,
    LabObjectNames,
    LabObjects,
    LabStorage,
    LabStorageError,
    OperationCancelledError,
    OperationTimeoutError,
    Timeout,
)

PREFIX = "lab-"
LONGEST_SECONDS = 600

log = structlog.wrap_logger(
    get_logger(__name__),
    wrapper_class=structlog.stdlib.BoundLogger,
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ],
)


def names_of(username: str) -> LabObjectNames:
    """Give the names of a user's lab: tasks are sent a user, and know the rest."""
    return LabObjectNames(username, f"{PREFIX}{username}", "lab-env", "lab-quota", "lab")


@functools.cache
def storage() -> LabStorage:
    """Give the worker's storage, which all its threads and child processes share."""
    config.load_config()
    return LabStorage(client.ApiClient(), log)


@worker_init.connect
def make_storage(**_: Any) -> None:
    """Make it before Celery forks. It opens connections of its own in each child."""
    storage()


class LabRequest(Request):
    """A running task, as the worker's main process sees it.

    Where it runs in a process of its own, Celery revokes it by ending that. It does no harm:
    what had been made is there, and goes with its namespace. In threads and greenlets the
    `Timeout` is cancelled instead, which ends a call within 0.25 s.
    """

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Do what ``revoke(terminate=True)`` asks for, by a signal that cannot be missed."""
        del signal
        if isinstance(pool, prefork.TaskPool):
            # Of SIGTERM, Celery's processes make an exception, and Python drops one that is
            # raised while an object is being finalized: the task would go on, unseen.
            super().terminate(pool, "KILL")
        elif timeout := LabTask.running.get(self.id):
            timeout.cancel()


class LabTask(Task):
    """A task with a deadline, which can be revoked and tells its progress."""

    Request = LabRequest
    throws = (LabStorageError,)  # logged in one line: they are for who sent the task
    running: ClassVar[dict[str, Timeout]] = {}

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send the task. Logs and events do not show its arguments: there are secrets in them."""
        return super().apply_async(args, kwargs, argsrepr="(…)", kwargsrepr="{…}", **options)

    @contextmanager
    def deadline(
        self, operation: str, seconds: float, username: str | None = None
    ) -> Iterator[Timeout]:
        """Make a `Timeout`, which a revocation cancels, of the seconds that were sent."""
        timeout = Timeout(operation, timedelta(seconds=min(seconds, LONGEST_SECONDS)), username)
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
    def progress(self, names: LabObjectNames, timeout: Timeout) -> Iterator[None]:
        """Make the events of the pod the state of the task, as they happen meanwhile."""
        task_id = self.request.id  # which other threads do not know
        watch = timeout.partial(timedelta(seconds=LONGEST_SECONDS))

        def tell() -> None:
            events: list[str] = []
            try:
                for event in storage().watch_pod_events(names.pod, names.namespace, watch):
                    events.append(event)
                    self.update_state(task_id, "PROGRESS", {"events": events})
            except OperationTimeoutError:
                pass  # the task itself meets it too
            except KubernetesError as error:
                log.warning("Progress is not told", user=names.username, error=str(error))

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            watch.cancel()
            teller.join()


app = Celery(
    "labs", broker="redis://localhost", backend="redis://localhost", task_cls=LabTask
)  # or what CELERY_BROKER_URL and CELERY_RESULT_BACKEND say
app.conf.update(
    # A task is taken off the broker once it is done, and goes to another process when its own
    # is killed. One that was done already is not begun again.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_deduplicate_successful_tasks=True,
    worker_prefetch_multiplier=1,
    # The library keeps its deadline by itself. These are for all else that a task may do.
    task_soft_time_limit=LONGEST_SECONDS + 15,
    task_time_limit=LONGEST_SECONDS + 30,
    # When a whole worker is lost, Redis gives its tasks to others after this time. It must be
    # longer than a task can take, or two would run it at once.
    broker_transport_options={"visibility_timeout": LONGEST_SECONDS + 60},
    broker_connection_retry_on_startup=True,
    task_track_started=True,
)


@app.task(bind=True)
def create(
    self: LabTask, username: str, manifests: list[dict[str, Any]], seconds: float
) -> str | None:
    """Create a lab, wait until it has started, and give the phase of its pod.

    Celery may run a task twice: its process was killed, and another one begins again. The id
    of the task is the same then. By it the library knows the objects of the first time, and
    makes the rest.
    """
    names = names_of(username)
    lab = LabObjects.from_manifests(manifests, names)
    with (
        self.deadline("Creating lab", seconds, username) as timeout,
        self.progress(names, timeout),
    ):
        storage().create(lab, timeout, operation_id=self.request.id)
        phase = storage().wait_for_pod_start(
            names.pod, names.namespace, timeout, fail_fast=FAIL_FAST
        )
    return phase.value if phase else None


# At most once: a second time might be late, and meet the user's next lab.
@app.task(bind=True, acks_late=False)
def delete(self: LabTask, username: str, seconds: float) -> None:
    """Delete a lab, and wait until it is gone."""
    with self.deadline("Deleting lab", seconds, username) as timeout:
        storage().delete_namespace(names_of(username).namespace, timeout)


@app.task(bind=True)
def status(self: LabTask, username: str, seconds: float) -> str | None:
    """Give the phase of a lab's pod, or `None` if there is none."""
    with self.deadline("Reading lab status", seconds, username) as timeout:
        phase = storage().read_pod_phase(names_of(username), timeout)
    return phase.value if phase else None


@app.task(bind=True)
def reconcile(self: LabTask, seconds: float) -> dict[str, dict[str, Any] | None]:
    """Tell by user what labs there are, to set right what a database says of them.

    `None` is a lab that is not whole: being made, being deleted, or given up.
    """
    labs: dict[str, dict[str, Any] | None] = {}
    with self.deadline("Reconciling labs", seconds) as timeout:
        for namespace in storage().list_namespaces(PREFIX, timeout):
            names = names_of(namespace.removeprefix(PREFIX))
            state = storage().read_lab_objects(names, timeout)
            labs[names.username] = state and {
                "phase": state.pod.status.phase,
                "environment": state.env_config_map.data,
            }
    return labs
