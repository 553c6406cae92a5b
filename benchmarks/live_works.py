"""What clients do in their processes, and what that takes: knowing, changes, reads, waits."""

from __future__ import annotations

import gc
import itertools
import json
import resource
import threading
import time
import tracemalloc
from typing import Any

from benchmarks.live_clients import Floor, Informer
from benchmarks.live_labs import POD, PREFIX, name_of
from benchmarks.live_process import await_order, say
from benchmarks.worker import open_sockets, resident_bytes

Json = dict[str, Any]

_SETTLE_SECONDS = 5.0
_TAKES = 20


def know(client: Any, labs: int) -> Json:
    """Get to know all labs."""
    gc.collect()
    memory, began, cpu = resident_bytes(), time.perf_counter(), time.process_time()
    known = client.know_all(labs) if isinstance(client, Informer) else client.know_all()
    result = {
        "known": known,
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - began,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - memory,
    }
    gc.collect()
    return {**result, "memory": resident_bytes() - memory}


def hear_changes(client: Any, labs: int) -> Json:
    """Hear of changes between two orders."""
    know(client, labs)
    threading.Thread(target=client.hear, daemon=True).start()
    say("ready")
    await_order()
    heard, cpu = client.heard, time.process_time()
    say("go")
    await_order()
    time.sleep(1)
    return {"changes": client.heard - heard, "cpu": time.process_time() - cpu}


def take_events(client: Floor, count: int) -> Json:
    """Take events of pods that have been read from the network already, and parse their JSON."""
    from lab_storage._api import frames, protobuf
    from lab_storage._api.following.scope import Scope
    from lab_storage._api.following.view import View

    client.open_watch()
    bodies = list(itertools.islice(client.frames, count))
    segments = [len(body).to_bytes(4, "big") + body for body in bodies]
    lines = [json.dumps(each) for each in client.read_pods(len(bodies))]
    ours, parsed = [], []
    for _ in range(_TAKES):
        view = View(Scope(PREFIX))
        began = time.process_time()
        for event in frames.events(segments, protobuf.PROTOBUF):
            view.hear(event)
        ours.append(time.process_time() - began)
        began = time.process_time()
        for line in lines:
            json.loads(line)
        parsed.append(time.process_time() - began)
    return {
        "take": min(ours) / len(bodies),
        "json.loads": min(parsed) / len(lines),
        "bytes": sum(map(len, lines)) / len(lines),
    }


def read(client: Any, count: int) -> Json:
    """Read the phase of a pod again and again, each time by a `Timeout` of its own."""
    from lab_storage import LabObjectNames

    client.know_all()
    names = LabObjectNames("jovyan", name_of(1), "lab-env", "lab-quota", POD)
    sent = len(client.requests)
    began = time.perf_counter()
    for _ in range(count):
        client.live.read_pod_phase(names, client.timeout(10))
    seconds = time.perf_counter() - began
    requests = sum(each.user is not None for each in client.requests[sent:])
    return {"reads": count / seconds, "requests": requests}


def wait(client: Any, count: int) -> Json:
    """Begin many waits at once. They are left running: the process ends with them."""

    def wait_for(number: int) -> None:
        client.live.wait_for_pod_start(POD, name_of(number), client.timeout())

    client.know_all()
    tracemalloc.start()
    threads, memory = threading.active_count(), tracemalloc.get_traced_memory()[0]
    connections = open_sockets()
    for number in range(count):
        threading.Thread(target=wait_for, args=(number,), daemon=True).start()
    time.sleep(_SETTLE_SECONDS)
    return {
        # One of each was there before: the watch's.
        "threads": 1 + threading.active_count() - threads - count,
        "connections": 1 + open_sockets() - connections,
        "bytes a wait": (tracemalloc.get_traced_memory()[0] - memory) / count,
    }
