"""How many requests a watch sends in a minute: a quiet one, or while it is not let watch.

kube-apiserver refuses somebody without rights from the beginning. Other servers are embedded
ones of `lab_storage.testing`: all labs were known, and then each request is answered by a 503, or
a 429, or each watch is ended as soon as it begins. Each client has a process, and all count at
the same time.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from benchmarks.live_clients import OURS
from benchmarks.live_process import Client, await_order, say

if TYPE_CHECKING:
    from benchmarks.cluster import Cluster

Json = dict[str, Any]


def measure(cluster: Cluster, seconds: float) -> Json:
    """Count the requests: of a ``quiet`` watch, and of ``refused`` ones by what they get."""
    from lab_storage.testing import Answer, EmbeddedServer

    faults: dict[str, tuple[str | None, Answer]] = {
        "503": (None, Answer(503)),
        "429": (None, Answer(429)),
        "ended at once": ("watch", Answer(200, body=b"")),
    }
    with contextlib.ExitStack() as stack:
        clients = {
            name: stack.enter_context(
                Client(cluster, OURS, f"live_requests.{work}", options, seconds=seconds)
            )
            for name, work, options in (
                ("quiet", "count_quiet", {}),
                ("403", "count_refused", {"token": cluster.server.token("nobody")}),
            )
        }
        for name, (verb, answer) in faults.items():
            server = stack.enter_context(EmbeddedServer())
            options = {"host": server.host, "ca_file": None, "token": server.token("admin")}
            clients[name] = stack.enter_context(
                Client(cluster, OURS, "live_requests.count_later", options, seconds=seconds)
            )
            clients[name].hear()
            server.add_fault(answer, verb=verb, resource="pods", times=None)
            clients[name].tell("all goes wrong")
        found = {name: client.hear() for name, client in clients.items()}
        return {"quiet": found.pop("quiet"), "refused": found}


def count_quiet(client: Any, seconds: float) -> Json:
    """Count requests once all labs are known."""
    client.know_all()
    return _count(client, len(client.requests), seconds)


def count_refused(client: Any, seconds: float) -> Json:
    """Count requests from the first one on."""
    from lab_storage import KubernetesError

    with contextlib.suppress(KubernetesError):
        client.live.wait_until_synced(client.timeout())
    return _count(client, 0, seconds)


def count_later(client: Any, seconds: float) -> Json:
    """Count requests after all labs are known, from the order on that all go wrong."""
    client.know_all()
    say("known")
    await_order()
    sent = len(client.requests)
    # The last watch that works goes on until its end.
    while client.live.freshness.last_failure is None:
        time.sleep(0.01)
    return _count(client, sent, seconds)


def _count(client: Any, sent: int, seconds: float) -> Json:
    time.sleep(seconds)
    counted = client.requests[sent:]
    return {"requests": len(counted), "statuses": sorted({str(each.status) for each in counted})}
