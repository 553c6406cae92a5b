"""What the tests add to a worker of ``docs/examples/celery_app.py``, by its ``--include``."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from typing import Any

from celery.concurrency.asynpool import AsynPool
from celery.signals import task_postrun, task_prerun, worker_init
from celery_app import LabTask, app, storage

import lab_storage

#: A header of a task: after how many seconds its process is killed, at each delivery.
KILLS = "kill_after_seconds"

# Celery looks for children that have ended when a pipe of theirs closes, which is a moment
# before they can be seen to have ended; and else every five seconds. Fifty times of that
# are long.
AsynPool.timers = property(lambda pool: {pool.maintain_pool: 0.05})

_parent: tuple[int, Any] = (0, None)
_timers: dict[str, threading.Timer] = {}


def deliveries_key(task_id: str) -> str:
    """Where Redis counts how often a task was begun."""
    return f"deliveries-{task_id}"


@worker_init.connect
def use_storage(**_: Any) -> None:
    """Have the parent make a call, so that it holds a connection when it forks."""
    global _parent
    storage().list_namespaces("", lab_storage.Timeout("Starting", timedelta(seconds=30)))
    _parent = os.getpid(), storage()


@task_prerun.connect
def kill_later(task_id: str, task: Any, **_: Any) -> None:
    """Kill this process in the middle of the task, if its sender says so."""
    delays = task.request.get(KILLS)
    if not delays:
        return
    delivery = task.app.backend.client.incr(deliveries_key(task_id))
    if delivery <= len(delays):
        arguments = os.getpid(), signal.SIGKILL
        _timers[task_id] = threading.Timer(delays[delivery - 1], os.kill, arguments)
        _timers[task_id].start()


@task_postrun.connect
def kill_no_more(task_id: str, **_: Any) -> None:
    """Let a task that was quicker live."""
    timer = _timers.pop(task_id, None)
    if timer is not None:
        timer.cancel()
        timer.join()


@app.task
def fail(error: str, *arguments: Any) -> None:
    """Raise an error of the library."""
    raise getattr(lab_storage, error)(*arguments)


@app.task(bind=True)
def meet(self: LabTask, place: str, number: int, seconds: float) -> dict[str, Any]:
    """Wait until so many tasks run at once, then make calls by the storage of the parent."""
    redis = self.app.backend.client
    if redis.incr(place) == number:
        redis.rpush(f"{place}-complete", *range(number))
    if redis.blpop([f"{place}-complete"], timeout=seconds) is None:
        raise TimeoutError(f"{redis.get(place)} of {number} tasks have met")
    parent_pid, parents_storage = _parent
    with self.deadline("Meeting", seconds) as timeout:
        lists = [storage().list_namespaces("kube-", timeout) for _ in range(20)]
    return {
        "pid": os.getpid(),
        "parent": parent_pid,
        "same storage": storage() is parents_storage,
        "lists": lists,
    }
