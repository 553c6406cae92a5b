"""The tasks: create, delete, status, reconcile."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

import attrs
import structlog
from celery import Celery, Task
from celery.signals import worker_init
from celery.utils.log import get_logger
from kubernetes import client, config

from lab_storage import FAIL_FAST, LabObjectNames, LabStorage
from lab_storage.celery.shape import Manifests, Shape
from lab_storage.celery.task import LabTask

NAME = "lab_storage"


@attrs.frozen
class LabTasks:
    """The tasks of an app.

    Attributes
    ----------
    create
        ``create(username, manifests, seconds)``: create a lab, wait until it has started, and
        return the phase of its pod, or `None` if the pod has gone.
    delete
        ``delete(username, seconds, manifests=None)``: delete a lab, and wait until it is gone.
        In a shared namespace, and if something is kept, the lab is deleted object by object:
        then the manifests are needed, of which only kinds and names count.
    status
        ``status(username, seconds)``: return the phase of a lab's pod, or `None` if there is none.
    reconcile
        ``reconcile(seconds, usernames=None)``: return by user what labs there are, to set right
        what a database says of them. `None` is a lab that is not whole: being made, being deleted,
        given up, or stopped. With ``usernames``, only those users' labs are read. In a shared
        namespace they are needed, since nothing there says whose an object is.
    names_of
        Makes the names of a user's lab.
    storage
        Makes the worker's storage, the first time it is called.
    """

    create: Task
    delete: Task
    status: Task
    reconcile: Task
    names_of: Callable[[str], LabObjectNames]
    storage: Callable[[], LabStorage]


def load_storage() -> LabStorage:
    """Make a storage by ``KUBECONFIG`` or, in a pod, by its ServiceAccount."""
    configuration = client.Configuration()
    config.load_config(client_configuration=configuration)
    logger = structlog.wrap_logger(
        get_logger(NAME),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
    )
    return LabStorage(client.ApiClient(configuration), logger)


def make_tasks(
    app: Celery,
    *,
    prefix: str = "lab-",
    names_of: Callable[[str], LabObjectNames] | None = None,
    make_storage: Callable[[], LabStorage] = load_storage,
    longest: timedelta = LabTask.longest,
    namespace: str | None = None,
    keep: Collection[str] = (),
    fail_fast: Collection[str] = FAIL_FAST,
) -> LabTasks:
    """Make the tasks for an app, and configure the app for tasks that may be delivered twice.

    Nothing is sent to the cluster or the broker.

    Parameters
    ----------
    app
        The app. Of its configuration, what is not set already is set: one task at a time is taken
        off the broker by each process, and one that is done is not begun again; Redis'
        visibility timeout is longer than any task.
    prefix
        The namespaces of labs start with this; in a shared namespace, by default, the pods.
    names_of
        Makes the names of a user's lab. By default, those of the documentation's lab file; in a
        shared namespace ``env-USER``, ``quota-USER``, and the prefix followed by the user.
    make_storage
        Makes the storage, once in each worker and before it forks.
    longest
        The longest deadline of a task; one that is sent more seconds gets these. Celery's own
        limits are 15 and 30 s later.
    namespace
        A namespace that all labs share, instead of one for each. It exists already.
    keep
        Kinds, such as ``PersistentVolumeClaim``, of which all objects stay when a lab is deleted,
        and are used by the next one of the same names.
    fail_fast
        Reasons for which a start fails at once. With a cluster autoscaler, leave out
        ``Unschedulable``: it passes when a node comes.

    Returns
    -------
    LabTasks
        The tasks, named ``lab_storage.create`` and so on.
    """
    if isinstance(keep, str):
        raise TypeError("keep must be a collection of kinds, not a str")
    if isinstance(fail_fast, str):
        raise TypeError("fail_fast must be a collection of reasons, not a str")
    fail_fast = frozenset(fail_fast)
    keep = tuple(keep)  # an iterator would be used up by the first task, and save no other claim
    shape = Shape(prefix, names_of, namespace, keep)
    storage = functools.cache(make_storage)
    _configure(app, longest)

    # Made before Celery forks: each child opens connections of its own. Celery keeps weak
    # references to receivers, unless told otherwise.
    worker_init.connect(lambda **_: storage(), weak=False)

    limits = {
        # The library keeps its deadline by itself. These are for all else that a task may do.
        "soft_time_limit": longest.total_seconds() + 15,
        "time_limit": longest.total_seconds() + 30,
        "track_started": True,
    }
    base = type("LabTask", (LabTask,), {"abstract": True, "longest": longest})

    def task(name: str, **options: Any) -> Callable[[Callable[..., Any]], Task]:
        # A task is taken off the broker once it is done, and goes to another process when its
        # own is killed.
        again = {"acks_late": True, "reject_on_worker_lost": True}
        options = {**limits, **again, **options}
        decorate: Callable[[Callable[..., Any]], Task] = app.task(
            bind=True, base=base, name=f"{NAME}.{name}", **options
        )
        return decorate

    @task("create")
    def create(self: LabTask, username: str, manifests: Manifests, seconds: float) -> str | None:
        lab_names = shape.names(username)
        lab = shape.lab(username, manifests)
        with (
            self.deadline("Creating lab", seconds, username) as timeout,
            self.progress(storage(), lab_names, timeout),
        ):
            # Celery may run a task twice: its process was killed, and another one begins again.
            # The id of the task is the same then, and what was made under it counts as made.
            storage().create(lab, timeout, operation_id=self.request.id, keep_existing=keep)
            phase = storage().wait_for_pod_start(
                lab_names.pod, lab_names.namespace, timeout, fail_fast=fail_fast
            )
        return phase.value if phase else None

    # At most once: a second time might be late, and meet the user's next lab.
    @task("delete", acks_late=False)
    def delete(
        self: LabTask,
        username: str,
        seconds: float,
        manifests: Manifests | None = None,
    ) -> None:
        with self.deadline("Deleting lab", seconds, username) as timeout:
            shape.delete(storage(), username, manifests, timeout)

    @task("status")
    def status(self: LabTask, username: str, seconds: float) -> str | None:
        with self.deadline("Reading lab status", seconds, username) as timeout:
            phase = storage().read_pod_phase(shape.names(username), timeout)
        return phase.value if phase else None

    @task("reconcile")
    def reconcile(
        self: LabTask, seconds: float, usernames: list[str] | None = None
    ) -> dict[str, dict[str, Any] | None]:
        labs: dict[str, dict[str, Any] | None] = {}
        with self.deadline("Reconciling labs", seconds) as timeout:
            if usernames is None:
                usernames = shape.list_usernames(storage(), timeout)
            for lab_names in map(shape.names, usernames):
                state = storage().read_lab_objects(lab_names, timeout)
                whole = (
                    {
                        "phase": state.pod.status.phase,
                        "environment": state.env_config_map.data,
                    }
                    if state
                    else None
                )
                labs[lab_names.username] = whole
        return labs

    return LabTasks(create, delete, status, reconcile, shape.names, storage)


def _configure(app: Celery, longest: timedelta) -> None:
    """Set what redelivery needs, where the app does not set it itself."""
    app.add_defaults(
        {
            "worker_deduplicate_successful_tasks": True,
            "worker_prefetch_multiplier": 1,
            "broker_connection_retry_on_startup": True,
            # When a whole worker is lost, Redis gives its tasks to others after this time. It
            # must be longer than a task can take, or two would run it at once.
            "broker_transport_options": {"visibility_timeout": longest.total_seconds() + 60},
        }
    )
