"""All labs with their pods: by `list_labs`, and by reading one lab after the other.

The latter is measured on a few labs, which get the config map and the quota that it asks for, and
is scaled up; the list of namespaces with which it begins is not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.live_clients import OURS
from benchmarks.live_labs import POD, PREFIX, name_of
from benchmarks.live_process import result_of

if TYPE_CHECKING:
    from benchmarks.cluster import Cluster

Json = dict[str, Any]

_CONFIG_MAP, _QUOTA = "lab-env", "lab-quota"


def measure(cluster: Cluster, labs: int, few: int, rounds: int) -> Json:
    """Seconds, seconds of CPU and requests of each way."""
    config_map = {"metadata": {"name": _CONFIG_MAP}, "data": {"JUPYTERHUB_USER": "jovyan"}}
    quota = {"metadata": {"name": _QUOTA}, "spec": {"hard": {"count/secrets": "100"}}}
    for number in range(few):
        path = f"/api/v1/namespaces/{name_of(number)}"
        cluster.request("POST", f"{path}/configmaps", config_map)
        cluster.request("POST", f"{path}/resourcequotas", quota)
    return result_of(
        cluster, OURS, "live_lists.list_in_all_ways", labs=labs, few=few, rounds=rounds
    )


def list_in_all_ways(client: Any, labs: int, few: int, rounds: int) -> Json:
    """List all labs in each way, once before it counts."""
    from lab_storage import LabObjectNames

    def read_few() -> int:
        names = (
            LabObjectNames("jovyan", name_of(number), _CONFIG_MAP, _QUOTA, POD)
            for number in range(few)
        )
        read = [client.plain.read_lab_objects(each, client.timeout()) for each in names]
        return sum(each is not None for each in read)

    client.know_all()
    ways: dict[str, Callable[[], int]] = {
        "live": lambda: len(client.live.list_labs(PREFIX, client.timeout())),
        "plain": lambda: len(client.plain.list_labs(PREFIX, client.timeout())),
        "names": lambda: len(client.plain.list_namespaces(PREFIX, client.timeout())),
        "few": read_few,
    }
    found = {
        way: _median_of(client, rounds, count, few if way == "few" else labs)
        for way, count in ways.items()
    }
    found["one by one"] = {
        key: value + labs / few * found["few"][key] for key, value in found["names"].items()
    }
    return found


def _median_of(client: Any, rounds: int, count: Callable[[], int], expected: int) -> Json:
    samples: dict[str, list[float]] = {"wall": [], "cpu": [], "requests": []}
    for place in range(rounds + 1):
        sent = len(client.requests)
        began, cpu = time.perf_counter(), time.process_time()
        counted = count()
        took = time.perf_counter() - began, time.process_time() - cpu
        if counted != expected:
            raise RuntimeError(f"{counted} were found instead of {expected}")
        if not place:
            continue
        # The watch's own have no user.
        requests = sum(each.user is not None for each in client.requests[sent:])
        for key, value in zip(samples, (*took, requests), strict=True):
            samples[key].append(value)
    return {key: statistics.median(values) for key, values in samples.items()}
