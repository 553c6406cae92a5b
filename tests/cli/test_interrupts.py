"""Signals: they cancel what is running, and else end the program."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest

from lab_storage import Timeout
from lab_storage._cli.failures import InterruptedBySignal
from lab_storage._cli.interrupts import Interrupts

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def ignored_hangup() -> Iterator[None]:
    """Hang-ups are ignored, as ``nohup`` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


def timeout() -> Timeout:
    """Something to cancel."""
    return Timeout("Testing", timedelta(seconds=60))


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_cancels_what_is_running(number: signal.Signals) -> None:
    """It raises nothing; the call that is cancelled does."""
    running = timeout()

    with Interrupts() as interrupts, interrupts.cancelling(running):
        signal.raise_signal(number)

    assert running.cancelled
    assert 128 + number == interrupts.exit_code


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_what_cannot_be_cancelled(number: signal.Signals) -> None:
    """As reading a file from a terminal."""
    with Interrupts() as interrupts, pytest.raises(InterruptedBySignal):
        signal.raise_signal(number)

    assert 128 + number == interrupts.exit_code


def test_a_second_signal_cancels_the_cleaning_up_alone() -> None:
    """What is inside is cancelled, and what is outside again after it."""
    whole, cleaning_up = timeout(), timeout()

    with Interrupts() as interrupts, interrupts.cancelling(whole):
        with interrupts.cancelling(cleaning_up):
            signal.raise_signal(signal.SIGINT)
        within = whole.cancelled, cleaning_up.cancelled
        signal.raise_signal(signal.SIGINT)

    assert (False, True) == within
    assert whole.cancelled


def test_the_handlers_are_as_before_in_the_end() -> None:
    """Of whoever runs commands in a process of their own."""
    before = [signal.getsignal(number) for number in SIGNALS]

    with Interrupts():
        within = [signal.getsignal(number) for number in SIGNALS]

    assert not set(before) & set(within)
    assert before == [signal.getsignal(number) for number in SIGNALS]


def test_a_signal_that_is_ignored_stays_so(ignored_hangup: None) -> None:
    """The program continues when the terminal is closed."""
    running = timeout()

    with Interrupts() as interrupts, interrupts.cancelling(running):
        signal.raise_signal(signal.SIGHUP)

    assert not running.cancelled
