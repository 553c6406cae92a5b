"""Blocking calls on an event loop: a thread each, which a cancelled coroutine gives back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from lab_storage import Timeout

T = TypeVar("T")

# A lab that starts takes two threads, one for its events; a poll or a stop takes one. The loop's
# own pool (asyncio.to_thread) can be as small as five: starts would hold up polls.
THREADS = ThreadPoolExecutor(256, thread_name_prefix="lab")


async def in_thread(timeout: Timeout, function: Callable[..., T], *args: Any) -> T:
    """Call a blocking function in a thread.

    Parameters
    ----------
    timeout
        The deadline that the function was given. It is cancelled when the coroutine is.
    function, args
        What to call.

    Returns
    -------
    Any
        What the function returns. Whatever it raises is raised. A cancelled coroutine
        returns only once the thread has left the function, which takes 0.25 s at most.
    """
    job = THREADS.submit(function, *args)
    future = asyncio.wrap_future(job)
    try:
        # Not `await future`: cancelled, that would leave while the thread still works.
        await asyncio.wait([future])
    except asyncio.CancelledError:
        timeout.cancel()
        job.cancel()  # in case no thread has taken it
        await asyncio.gather(future, return_exceptions=True)
        raise
    return future.result()
