"""What the tests add to a worker of ``docs/examples/celery_app.py``, by its ``--include``."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.signals import task_postrun, task_prerun, worker_init
from celery_app import app, labs

import lab_storage
from lab_storage._api.client import Client
from lab_storage.celery import LabTask

from .celery_processes import VISIBILITY

#: A header of a task: how its process is killed at each delivery, by the number of requests
#: that it makes first, and the seconds that pass then.
KILLS = "kills"

# Celery looks for children that have ended when a pipe of theirs closes, which is a moment
# before they can be seen to have ended; and else every five seconds. Fifty times of that
# are long.
AsynPool.timers = property(lambda pool: {pool.maintain_pool: 0.05})

# Results have arguments in them then, unless a task keeps them out.
app.conf.result_extended = True

if VISIBILITY in os.environ:
    app.conf.broker_transport_options = {"visibility_timeout": float(os.environ[VISIBILITY])}

_parent: tuple[int, Any] = (0, None)


def deliveries_key(task_id: str) -> str:
    """Where Redis counts how often a task was begun."""
    return f"deliveries-{task_id}"


@worker_init.connect
def use_storage(**_: Any) -> None:
    """Have the parent make a call, so that it holds a connection when it forks."""
    global _parent
    labs.storage().list_namespaces("", lab_storage.Timeout("Starting", timedelta(seconds=30)))
    _parent = os.getpid(), labs.storage()


class Killer:
    """Kills its process by SIGKILL, after so many requests and then so many seconds."""

    def __init__(self, requests: int, seconds: float) -> None:
        self._requests = requests
        self._timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
        self._lock = threading.Lock()

    def count(self) -> None:
        """Take note of a request."""
        with self._lock:
            self._requests -= 1
            if self._requests == 0:
                self._timer.start()

    def stop(self) -> None:
        """Let a process live that has done its task."""
        with self._lock:
            self._requests = 0
        self._timer.cancel()


#: A process runs one task at a time.
_killers: list[Killer] = []


@task_prerun.connect
def begin_to_count(task_id: str, task: Any, **_: Any) -> None:
    """Have this process killed in the middle of the task, if its sender says so."""
    kills = task.request.get(KILLS)
    if kills:
        delivery = task.app.backend.client.incr(deliveries_key(task_id))
        _killers.extend(Killer(*kill) for kill in kills[delivery - 1 : delivery])


@task_postrun.connect
def stop_counting(**_: Any) -> None:
    """Kill nobody between tasks."""
    while _killers:
        _killers.pop().stop()


def send_counted(
    self: Client, request: Any, call: Any, send: Callable[..., Any] = Client.send
) -> Any:
    """Make a request, and count it."""
    for killer in _killers:
        killer.count()
    return send(self, request, call)


Client.send = send_counted  # type: ignore[method-assign]


@app.task
def fail(error: str, *arguments: Any) -> None:
    """Raise an error of the library."""
    raise getattr(lab_storage, error)(*arguments)


@app.task(bind=True, base=LabTask)
def work_on(self: LabTask, place: str, seconds: float) -> None:
    """Be where Python drops an exception, say so, and go on for so long whatever happens."""
    redis = self.app.backend.client

    class Finalized:
        def __del__(self) -> None:
            redis.rpush(place, os.getpid())
            time.sleep(seconds)

    Finalized()
    time.sleep(seconds)


@app.task(bind=True, base=LabTask)
def meet(self: LabTask, place: str, number: int, seconds: float) -> dict[str, Any]:
    """Wait until so many tasks run at once, then make calls by the storage of the parent."""
    redis = self.app.backend.client
    if redis.incr(place) == number:
        redis.rpush(f"{place}-complete", *range(number))
    if redis.blpop([f"{place}-complete"], timeout=seconds) is None:
        raise TimeoutError(f"{redis.get(place)} of {number} tasks have met")
    parent_pid, parents_storage = _parent
    with self.deadline("Meeting", seconds) as timeout:
        lists = [labs.storage().list_namespaces("kube-", timeout) for _ in range(20)]
    return {
        "pid": os.getpid(),
        "parent": parent_pid,
        "same storage": labs.storage() is parents_storage,
        "lists": lists,
    }
