"""A watch that goes on round by round, whatever ends one: what is tried again, and when.

An orderly end, and silence, are followed by the next round at once; a failure by a pause that
grows from 0.1 s to 5 s, a refusal by one from 1 s to 60 s. So a server that refuses, or that ends
each watch at once, gets less than 30 requests a minute.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from lab_storage._api.answer import SilenceError, TransientError
from lab_storage._api.call import Call
from lab_storage._api.following.health import Health
from lab_storage._api.pod_source import GoneError
from lab_storage._api.protobuf import DecodeError
from lab_storage.exceptions import KubernetesError, OperationCancelledError

# The API server itself ends any other request after a minute, and so may a load balancer.
LONGEST_WATCH_SECONDS: Final = 50
# A watch that the server does not end by itself is left so much later.
OVERTIME_SECONDS: Final = 2.0
# Watches that end sooner than this are no reason to hurry.
QUICK_SECONDS: Final = 1.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
FIRST_REFUSAL_SECONDS: Final = 1.0
LONGEST_REFUSAL_SECONDS: Final = 60.0
_NOT_YET: Final = float("inf")


class Rounds(ABC):
    """The body of a thread that watches.

    Parameters
    ----------
    call
        Sends the requests, without a deadline; to be cancelled.
    health
        Where to say how it goes.
    max_age_seconds
        How old knowledge may be.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self, call: Call, health: Health, max_age_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._call = call
        self._health = health
        self._clock = clock
        # A watch lasts half as long as knowledge may be old: what is named at its beginning is
        # proven before its end, and the next naming before the end of the next.
        self._seconds = int(min(max(max_age_seconds / 2, 1), LONGEST_WATCH_SECONDS))
        self._is_hurried = True
        # When the watch of this round was asked for; infinity before there is one.
        self._watches_since = _NOT_YET

    @abstractmethod
    def _round(self, call: Call) -> None:
        """Watch until the watch ends."""

    @abstractmethod
    def _lose_track(self) -> None:
        """Begin anew in the next round: something may not have been heard."""

    def run(self) -> None:
        """Go on until the call is cancelled. Blocks."""
        failures = refusals = 0
        while True:
            self._watches_since = _NOT_YET
            failure: Exception | None = None
            try:
                self._round(self._call.part())
            except OperationCancelledError:
                return
            except Exception as error:
                # Also a mistake of our own must not end the thread unseen.
                failure = error
            # However long a list before it has taken: that is not to be made in a loop.
            is_quick = self._clock() - self._watches_since < QUICK_SECONDS
            if not is_quick:
                failures = 0
            failure = self._judge(failure, is_hurried=self._is_hurried and is_quick)
            self._is_hurried = is_quick or failure is not None
            if failure is None:
                refusals = 0
                continue
            self._health.fail(failure)
            seconds = 0.0
            if isinstance(failure, KubernetesError):
                refusals += 1
                seconds = min(FIRST_REFUSAL_SECONDS * 2 ** (refusals - 1), LONGEST_REFUSAL_SECONDS)
            elif not isinstance(failure, SilenceError):
                failures += 1
                seconds = _pause_seconds(failures, failure)
            try:
                self._call.sleep(seconds)
            except OperationCancelledError:
                return

    def _judge(self, failure: Exception | None, *, is_hurried: bool) -> Exception | None:
        """What is wrong, if anything is, after a round that ended so."""
        if isinstance(failure, GoneError):
            self._lose_track()
            failure = None
        elif isinstance(failure, DecodeError):
            self._lose_track()
            failure = TransientError(f"the watch cannot be read: {failure}")
        elif isinstance(failure, TransientError) and failure.status == 504:
            # Perhaps "Too large resource version": this server has not seen that version yet. A
            # list without a version asks etcd (kubernetes#91073).
            self._lose_track()
        if failure is None and is_hurried:
            failure = TransientError("the watch ends as soon as it begins")
        return failure


def _pause_seconds(failures: int, failure: Exception) -> float:
    bound: float = min(FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 30), LONGEST_PAUSE_SECONDS)
    seconds = bound * random.uniform(0.75, 1)  # noqa: S311 - not a secret
    if isinstance(failure, TransientError):
        seconds = max(seconds, min(failure.not_before_seconds, LONGEST_REFUSAL_SECONDS))
    return seconds
