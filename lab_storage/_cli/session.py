"""One run of a command: its options, its signals, and its calls of the library."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any

import attrs

from lab_storage._cli.cluster import connect_by
from lab_storage._cli.failures import (
    Exit,
    FailedError,
    InterruptedBySignal,
)
from lab_storage._cli.interrupts import Interrupts
from lab_storage._cli.log import Entry, logging_of_others, make_logger, object_of
from lab_storage._cli.screen import Activity, Screen
from lab_storage._cli.streams import complain
from lab_storage.exceptions import (
    LabStorageError,
    OperationCancelledError,
    OperationTimeoutError,
)
from lab_storage.storage import LabStorage
from lab_storage.timeout import Timeout

__all__ = ["Call", "Session"]


@attrs.frozen
class Call:
    """What a call of the library needs.

    Attributes
    ----------
    storage
        The library.
    timeout
        The timeout of the call; a signal cancels it.
    activity
        Its bar.
    """

    storage: LabStorage
    timeout: Timeout
    activity: Activity


class Session:
    """One run of a command.

    While it is entered, it handles signals. Left by an error with ``debug``, it prints the
    traceback.

    Parameters
    ----------
    timeout
        How long a call may take.
    kubeconfig, context
        Which API server, as in `lab_storage._cli.cluster.connect`.
    as_json, debug
        How to show results, and whether to show the log.
    """

    def __init__(
        self,
        timeout: timedelta,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        as_json: bool = False,
        debug: bool = False,
    ) -> None:
        self.timeout = timeout
        self.kubeconfig = kubeconfig
        self.context = context
        self.debug = debug
        self.screen = Screen(as_json=as_json, bars=not debug)
        self.interrupts = Interrupts()
        # To be written to the standard error in the end, when there is no bar any more.
        self.remarks: list[str] = []
        self._entered = ExitStack()

    def __enter__(self) -> Session:
        self._entered.enter_context(logging_of_others(debug=self.debug))
        self._entered.enter_context(self.interrupts)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered.close()
        if self.debug and isinstance(error, FailedError):
            traceback.print_exception(kind, error, trace, file=sys.stderr)
        for text in self.remarks:
            complain(text)
        if isinstance(error, InterruptedBySignal):
            raise FailedError(self.interrupts.exit_code, "interrupted") from None

    @contextmanager
    def call(
        self,
        operation: str,
        user: str | None = None,
        *,
        total: int | None = None,
        listener: Callable[[Activity, Entry], None] | None = None,
        hint: Callable[[LabStorageError], str] = lambda _: "",
        api_client: Any = None,
    ) -> Iterator[Call]:
        """Make a call of the library in the body; a `LabStorageError` ends the program.

        Parameters
        ----------
        operation
            What is being done, for messages.
        user
            The user whose lab it is, for messages.
        total
            How many steps it has, if that is known.
        listener
            Gets each entry that the library logs.
        hint
            Says what to do about an error that it fails with.
        api_client
            A client of another API server than the options select.

        Raises
        ------
        FailedError
            If there is no such API server, or the call fails.
        """
        timeout = Timeout(operation, self.timeout, user)
        if api_client is None:
            api_client = connect_by(self.kubeconfig, self.context, timeout)
        host = api_client.configuration.host
        with (
            api_client,
            self.interrupts.cancelling(timeout),
            self.screen.activity(operation, total, lambda: timeout.waiting_for) as activity,
            LabStorage(api_client, self.logger(activity, listener)) as storage,
        ):
            try:
                yield Call(storage, timeout, activity)
            except OperationCancelledError as error:
                text = f"{operation} was interrupted{hint(error)}"
                raise FailedError(self.interrupts.exit_code, text) from error
            except OperationTimeoutError as error:
                raise FailedError(Exit.TIMEOUT, f"{error} [{host}]{hint(error)}") from error
            except LabStorageError as error:
                raise FailedError(Exit.REFUSED, f"{error} [{host}]{hint(error)}") from error

    def logger(
        self, activity: Activity, listener: Callable[[Activity, Entry], None] | None = None
    ) -> Any:
        """Make a logger for the library: the bar shows what it is waiting for."""

        def listen(entry: Entry) -> None:
            if "suggestion" in entry:
                near = f" (is it {entry['suggestion']}?)" if entry["suggestion"] else ""
                self.remarks.append(f"{entry['event']}: {entry['reason']}{near}")
            elif "wait_seconds" in entry:
                activity.note(f"{object_of(entry)}: {entry.get('reason')}")
            elif listener is not None:
                listener(activity, entry)

        return make_logger(listen, debug=self.debug)
