"""What a task reports while a lab starts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from celery.utils.log import get_logger

from lab_storage import (
    KubernetesError,
    LabObjectNames,
    LabStorage,
    OperationTimeoutError,
    Timeout,
)

# How often it is looked what the task waits for.
LOOK_SECONDS = 0.5


class Progress:
    """Reports the pod's events, and what a call is waiting for, as they change.

    Parameters
    ----------
    storage, names
        Whose pod it is.
    timeout
        The `Timeout` of the call that is watched.
    longest
        How long it may be watched.
    report
        Is given ``{"events": […], "waiting_for": …}``, from other threads than this.
    """

    def __init__(
        self,
        storage: LabStorage,
        names: LabObjectNames,
        timeout: Timeout,
        longest: timedelta,
        report: Callable[[dict[str, Any]], None],
    ) -> None:
        self._storage = storage
        self._names = names
        self._timeout = timeout
        # Not a part of the call's own: that one is to say what the call waits for.
        self._watch = Timeout(timeout.operation, longest, names.username)
        self._report = report
        self._events: list[str] = []
        self._is_over = threading.Event()

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Report, as long as the context lasts."""
        threads = [
            threading.Thread(target=each, daemon=True)
            for each in (self._report_events, self._report_waits)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._watch.cancel()
            self._is_over.set()
            for thread in threads:
                thread.join()

    def _report_events(self) -> None:
        names = self._names
        try:
            for event in self._storage.watch_pod_events(names.pod, names.namespace, self._watch):
                self._events.append(event)
                self._report_now()
        except OperationTimeoutError:
            pass  # the task itself meets it too
        except KubernetesError as error:
            get_logger(__name__).warning("No more events of %s: %s", names.namespace, error)

    def _report_waits(self) -> None:
        reported = None
        while not self._is_over.wait(LOOK_SECONDS):
            if self._timeout.waiting_for != reported:
                reported = self._timeout.waiting_for
                self._report_now()

    def _report_now(self) -> None:
        events = list(self._events)
        self._report({"events": events, "waiting_for": self._timeout.waiting_for})
