"""Scenarios of lists and watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .api import MERGE, PARTIAL, PARTIAL_LIST, TABLE
from .manifests import config_map

if TYPE_CHECKING:
    from .api import Api

SELECTED = "fieldSelector=metadata.name!=kube-root-ca.crt"


def lists(api: Api) -> None:
    """Pages, versions, selectors, and how a list is shown."""
    api.make_namespace()
    path = api.path("configmaps")
    for i in range(5):
        labels = {"n": str(i), "t": "x"} if i else {}
        last = api.make("configmaps", config_map(f"c{i}", labels=labels))
    version = last["metadata"]["resourceVersion"]
    api.ask("GET", f"{path}?limit=2&labelSelector=t")
    token = api.ask("GET", f"{path}?limit=2")["metadata"]["continue"]
    api.ask("DELETE", api.path("configmaps", "c3"), kept=False)
    api.ask("GET", f"{path}?limit=2&continue={token}")
    api.make("configmaps", config_map("c9"))
    api.ask("GET", f"{path}?limit=2&resourceVersion=1&continue={token}", Accept="application/json")
    api.ask("GET", f"{path}?continue=Zm9v")
    api.ask("GET", f"{path}?limit=2&resourceVersion={version}&includeObject=None", Accept=TABLE)
    exact = f"resourceVersion={version}&resourceVersionMatch=Exact"
    api.ask("GET", f"{path}?{exact}&includeObject=None", Accept=TABLE)
    newer = f"resourceVersion={version}&resourceVersionMatch=NotOlderThan"
    api.ask("GET", f"{path}?{newer}&includeObject=None", Accept=TABLE)
    api.ask("GET", f"{path}?resourceVersion=0&limit=2&includeObject=None", Accept=TABLE)
    for query in (
        "limit=-1&includeObject=None",
        "limit=x",
        "resourceVersion=x",
        "resourceVersion=99999999",
        "resourceVersion=99999999&resourceVersionMatch=Exact",
        "resourceVersionMatch=Exact",
        "resourceVersion=0&resourceVersionMatch=Exact",
        "resourceVersion=1&resourceVersionMatch=Sometimes",
        "sendInitialEvents=true",
        "fieldSelector=metadata.name=c1",
        "fieldSelector=metadata.name==c1,metadata.namespace!=elsewhere",
        "fieldSelector=data.x=c1",
        "fieldSelector=nothing",
        "labelSelector=n in (1,2),t",
        "labelSelector=n notin (1,2),t==x",
        "labelSelector=!t,n!=1",
        "labelSelector=n=2",
        "labelSelector=n%3E2",
        "labelSelector=n in (1",
        "labelSelector=a b",
        "labelSelector=n in 1",
        "labelSelector=,a",
        "labelSelector=a,",
        "labelSelector=a,,b",
        "labelSelector==a",
        "labelSelector=!,a",
        "labelSelector=n in ()",
        "labelSelector=n in (1,)",
        "labelSelector=n in (1 2)",
        "labelSelector=n in (!)",
        "labelSelector=t%3E1",
        "labelSelector=t in",
        "labelSelector=n%3Ca",
    ):
        api.ask("GET", f"{path}?{query}", Accept=f"{PARTIAL_LIST},application/json")
    api.ask("GET", f"{path}?limit=1&includeObject=Object", Accept=TABLE)
    api.ask("GET", f"{path}?limit=1", Accept=TABLE)
    api.ask("GET", f"{path}?limit=1&includeObject=Nothing", Accept=TABLE)
    api.ask("GET", f"{path}?limit=1", Accept=PARTIAL_LIST)
    api.ask("GET", f"{path}?limit=1", Accept=PARTIAL)
    one = api.path("configmaps", "c1")
    api.ask("GET", one, Accept=TABLE)
    api.ask("GET", one, Accept=PARTIAL)
    api.ask("GET", one, Accept=PARTIAL_LIST)
    api.ask("GET", api.path("configmaps", "none"), Accept=TABLE)
    api.ask("GET", one, Accept="text/html")
    api.ask("GET", one, Accept="text/html, */*")
    api.ask("GET", one, Accept="application/json;as=Tableau;v=v1;g=meta.k8s.io")
    api.ask("GET", one, Accept="application/json;as=Tableau;v=v1;g=meta.k8s.io,application/json")
    api.ask("GET", f"{one}?resourceVersion=99999999")
    for resource in ("pods", "events", "secrets", "services", "persistentvolumeclaims"):
        api.ask("GET", f"{api.path(resource)}?fieldSelector=spec.none=x")
    api.ask("GET", "/api/v1/namespaces?fieldSelector=spec.none=x")


def watches(api: Api) -> None:
    """What a watch says of the same changes, from where and through what it looks."""
    api.make_namespace()
    path = api.path("configmaps")
    made = api.make("configmaps", config_map("a", labels={"x": "1"}))
    version = made["metadata"]["resourceVersion"]
    api.make("configmaps", config_map("b"))
    one = api.path("configmaps", "a")
    for labels in ({"x": None}, {"x": "2"}):
        api.ask("PATCH", one, {"metadata": {"labels": labels}}, kept=False, Content_Type=MERGE)
    api.watch(f"{path}?{SELECTED}", 2)
    api.watch(f"{path}?{SELECTED}&resourceVersion=0", 2)
    initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    api.watch(f"{path}?{SELECTED}&{initial}", 3)
    api.watch(f"{path}?{SELECTED}&{initial}&resourceVersion={version}", 3)
    api.watch(f"{path}?{SELECTED}&{initial}&includeObject=None", 3, Accept=TABLE)
    api.watch(f"{path}?{SELECTED}&{initial}", 3, Accept=PARTIAL)
    api.ask("DELETE", one, kept=False)
    api.watch(f"{path}?resourceVersion={version}", 4)
    api.watch(f"{path}?resourceVersion={version}&labelSelector=x", 3)
    api.watch(f"{path}?resourceVersion={version}&labelSelector=x=1", 1)
    api.watch(f"{path}?resourceVersion={version}&labelSelector=!x", 3)
    api.watch(f"{path}?resourceVersion={version}&fieldSelector=metadata.name=b", 1)
    api.watch(f"{path}?resourceVersion={version}", 4, Accept=TABLE)
    for query in (
        "resourceVersion=x",
        "sendInitialEvents=true",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
        "resourceVersionMatch=NotOlderThan",
        f"{initial}&resourceVersion=99999999",
        "fieldSelector=a=b",
        "labelSelector=a b",
        "limit=1&continue=Zm9v",
    ):
        api.watch(f"{path}?{query}", 1)
    api.watch(f"{path}/b", 1)


def expired_versions(api: Api) -> None:
    """How lists and watches from compacted versions are refused."""
    api.make_namespace()
    path = api.path("configmaps")
    for i in range(3):
        api.make("configmaps", config_map(f"c{i}"))
    listed = api.ask("GET", f"{path}?limit=1", kept=False)["metadata"]
    version, token = listed["resourceVersion"], listed["continue"]
    api.ask("DELETE", api.path("configmaps", "c2"), kept=False)
    api.server.expire_versions()
    answer = api.ask("GET", f"{path}?limit=1&continue={token}")
    token = answer["metadata"]["continue"]
    api.ask("GET", f"{path}?limit=5&continue={token}", Accept=PARTIAL_LIST)
    api.ask("GET", f"{path}?resourceVersion={version}&resourceVersionMatch=Exact")
    api.ask("GET", f"{path}?resourceVersion={version}&limit=1")
    api.ask("GET", f"{path}?resourceVersion={version}&limit=1&resourceVersionMatch=NotOlderThan")
    api.ask("GET", f"{api.path('configmaps', 'c1')}?resourceVersion={version}")
    api.watch(f"{path}?resourceVersion={version}", 2)
    api.watch(f"{path}?resourceVersion={version}", 2, Accept=TABLE)
