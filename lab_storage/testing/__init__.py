"""Tools for testing programs that use lab_storage.

`EmbeddedServer` is a Kubernetes API server in the process of the tests; see its
description for what it can do and what it refuses.
"""

from ._embedded.controllers import Delays
from ._embedded.faults import Answer, Drip, Expire, Reset, Silence, Truncate
from ._embedded.requests import RecordedRequest
from ._embedded.rules import Fault
from ._embedded.server import EmbeddedServer

__all__ = [
    "Answer",
    "Delays",
    "Drip",
    "EmbeddedServer",
    "Expire",
    "Fault",
    "RecordedRequest",
    "Reset",
    "Silence",
    "Truncate",
]
