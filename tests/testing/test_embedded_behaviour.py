"""What happens by itself on the embedded server: controllers, scheduler, kubelet, watches."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Any

import pytest

from lab_storage.testing import Delays, EmbeddedServer
from lab_storage.testing._embedded.resources import SECRETS

from .plain import MERGE, Plain, in_lab

NAMESPACE = "/api/v1/namespaces/lab"


def conditions(obj: Any) -> dict[str, Any]:
    """An object's conditions by their type."""
    return {each["type"]: each for each in obj["status"].get("conditions", ())}


def phase(expected: str) -> Any:
    """Whether a pod is in a phase."""
    return lambda pod: pod["status"]["phase"] == expected


def waiting_reason(pod: Any, kind: str = "containerStatuses") -> str | None:
    """Why the first container of a pod waits."""
    statuses = pod["status"].get(kind, [{"state": {}}])
    reason: str | None = statuses[0]["state"].get("waiting", {}).get("reason")
    return reason


# ServiceAccounts, quotas, claims


def test_service_account_that_is_deleted_is_made_anew(plain: Plain) -> None:
    """As the controller does as long as the namespace lives."""
    path = in_lab("serviceaccounts")
    _, old = plain.ask("GET", f"{path}/default")

    plain.ask("DELETE", f"{path}/default")

    new = plain.wait_for(
        path, "default", lambda each: each["metadata"]["uid"] != old["metadata"]["uid"]
    )
    assert "default" == new["metadata"]["name"]


def test_late_service_account_comes_after_its_delay() -> None:
    """Until then pods are refused; a namespace that is deleted meanwhile never gets one."""
    delays = Delays(service_account=timedelta(seconds=0.2))
    with EmbeddedServer(delays=delays) as server:
        plain = Plain(server)
        plain.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "lab"}})
        plain.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "going"}})
        plain.ask("DELETE", "/api/v1/namespaces/going")
        body = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}

        early, _ = plain.ask("POST", in_lab("pods"), body)
        plain.wait_for(in_lab("serviceaccounts"), "default")
        late, _ = plain.ask("POST", in_lab("pods"), body)

        assert (403, 201) == (early, late)
        assert [] == plain.ask("GET", "/api/v1/namespaces/going/serviceaccounts")[1]["items"]


@pytest.mark.parametrize(
    ("hard", "resource", "content", "used"),
    [
        ({"count/configmaps": 9}, "configmaps", {}, {"count/configmaps": "2"}),
        ({"services": "9"}, "services", {"spec": {"ports": [{"port": 1}]}}, {"services": "1"}),
        (
            {"count/networkpolicies.networking.k8s.io": 2},
            "networkpolicies",
            {"spec": {}},
            {"count/networkpolicies.networking.k8s.io": "1"},
        ),
        (
            {"requests.storage": "10Gi", "persistentvolumeclaims": 3},
            "persistentvolumeclaims",
            {
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1536Mi"}},
                }
            },
            {"requests.storage": "1536Mi", "persistentvolumeclaims": "1"},
        ),
    ],
)
def test_quota_counts_objects_and_storage(
    plain: Plain, hard: Any, resource: str, content: Any, used: dict[str, str]
) -> None:
    """Besides the compute resources of pods; what is there before the quota counts too."""
    plain.make(resource, **content)

    plain.make("resourcequotas", "q", spec={"hard": hard})

    counted = plain.wait_for(in_lab("resourcequotas"), "q", lambda each: "used" in each["status"])
    assert used == counted["status"]["used"]


def test_quota_counts_the_greater_of_init_containers_and_containers(plain: Plain) -> None:
    """They do not run at the same time."""

    def container(name: str, cpu: str) -> dict[str, Any]:
        return {"name": name, "image": "x", "resources": {"limits": {"cpu": cpu}}}

    plain.make("resourcequotas", "q", spec={"hard": {"limits.cpu": 10, "cpu": 10}})
    plain.wait_for(in_lab("resourcequotas"), "q", lambda each: "used" in each["status"])

    plain.make_pod(
        containers=[container("a", "500m"), container("b", "1")],
        initContainers=[container("c", "1800m"), container("d", "1")],
    )

    _, quota = plain.ask("GET", in_lab("resourcequotas", "q"))
    assert {"limits.cpu": "1800m", "cpu": "1800m"} == quota["status"]["used"]


def test_pod_is_counted_before_it_is_answered(plain: Plain) -> None:
    """Of two pods for one place the second is refused, however fast they come."""
    plain.make("resourcequotas", "q", spec={"hard": {"pods": 1}})
    plain.wait_for(in_lab("resourcequotas"), "q", lambda each: "used" in each["status"])

    plain.make_pod("first")
    body = {"metadata": {"name": "second"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    status, answer = plain.ask("POST", in_lab("pods"), body)

    assert 403 == status
    assert (
        "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1" in answer["message"]
    )


def test_claim_goes_with_the_last_pod_that_uses_it(plain: Plain) -> None:
    """A pod that has ended does not use it any more."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    plain.make("persistentvolumeclaims", "home", spec=spec)
    volume = {"name": "home", "persistentVolumeClaim": {"claimName": "home"}}
    plain.make_pod(volumes=[volume], nodeName="elsewhere")
    _, going = plain.ask("DELETE", in_lab("persistentvolumeclaims", "home"))

    ended = {"status": {"phase": "Failed"}}
    plain.ask("PATCH", in_lab("pods", "x") + "/status", ended, Content_Type=MERGE)

    assert ["kubernetes.io/pvc-protection"] == going["metadata"]["finalizers"]
    plain.wait_until_gone(in_lab("persistentvolumeclaims"), "home")


# Namespaces


def test_held_namespaces_tell_why_and_go_once_released(plain: Plain) -> None:
    """Their content is deleted; an API service that does not answer keeps the rest."""
    plain.make("configmaps")
    plain.server.hold_namespaces()

    plain.ask("DELETE", NAMESPACE)

    kept = plain.wait_for("/api/v1/namespaces", "lab", conditions)
    failure = conditions(kept)["NamespaceDeletionDiscoveryFailure"]
    assert ("True", "DiscoveryFailed") == (failure["status"], failure["reason"])
    assert [] == plain.ask("GET", in_lab("configmaps"))[1]["items"]
    plain.server.release_namespaces()
    plain.wait_until_gone("/api/v1/namespaces", "lab")


def test_namespace_that_never_goes_keeps_its_content() -> None:
    """A controller that does nothing leaves a namespace Terminating, without conditions."""
    with EmbeddedServer(delays=Delays(namespace=None)) as server:
        plain = Plain(server)
        plain.make_namespace()
        plain.make("configmaps")

        plain.ask("DELETE", NAMESPACE)
        plain.ask("DELETE", in_lab("secrets", "none"))

        assert 200 == plain.ask("GET", in_lab("configmaps", "x"))[0]
        _, namespace = plain.ask("GET", NAMESPACE)
        assert {"phase": "Terminating"} == namespace["status"]


def test_namespace_waits_for_a_pod_on_a_dead_node_and_says_so(plain: Plain) -> None:
    """Once the pod's grace is over its conditions name it; a node that lives again ends it."""
    plain.make_pod(terminationGracePeriodSeconds=0)
    plain.wait_for(in_lab("pods"), "x", phase("Running"))
    plain.server.pause_kubelet()
    plain.make_pod("second", terminationGracePeriodSeconds=1, nodeName="lab-node")

    plain.ask("DELETE", NAMESPACE)

    stuck = "NamespaceDeletionContentFailure"
    kept = plain.wait_for(
        "/api/v1/namespaces",
        "lab",
        lambda each: conditions(each).get(stuck, {}).get("status") == "True",
    )
    assert conditions(kept)[stuck]["message"].endswith(
        "unexpected items still remain in namespace: lab for gvr: /v1, Resource=pods"
    )
    plain.server.resume_kubelet()
    plain.wait_until_gone("/api/v1/namespaces", "lab")


# Pods


@pytest.mark.parametrize(
    ("start", "ends"),
    [
        ("run", phase("Running")),
        ("succeed", phase("Succeeded")),
        ("fail", phase("Failed")),
        ("pending", lambda pod: waiting_reason(pod) == "ContainerCreating"),
        ("image-pull-back-off", lambda pod: waiting_reason(pod) == "ImagePullBackOff"),
        ("config-error", lambda pod: waiting_reason(pod) == "CreateContainerConfigError"),
        (
            "init-crash",
            lambda pod: waiting_reason(pod, "initContainerStatuses") == "CrashLoopBackOff",
        ),
    ],
)
def test_pod_starts_as_its_annotation_says(plain: Plain, start: str, ends: Any) -> None:
    """Its status comes to show it."""
    plain.make_pod(start=start)

    found = plain.wait_for(in_lab("pods"), "x", ends)

    assert start == found["metadata"]["annotations"]["lab-storage.test/start"]


def test_running_pod_has_addresses_and_is_ready(plain: Plain) -> None:
    """Conditions, container statuses and start time are there as after a kubelet."""
    plain.make_pod()

    pod = plain.wait_for(in_lab("pods"), "x", phase("Running"))

    found = {kind: each["status"] for kind, each in conditions(pod).items()}
    expected = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"]
    assert dict.fromkeys([*expected, "PodScheduled"], "True") == found
    (container,) = pod["status"]["containerStatuses"]
    assert container["ready"] is True
    assert "startedAt" in container["state"]["running"]
    assert {"hostIP", "podIP", "startTime"} <= set(pod["status"])


@pytest.mark.parametrize(("annotation", "expected"), [(None, "Failed"), ("run", "Running")])
def test_annotation_goes_before_scripts_and_the_last_script_before_others(
    plain: Plain, annotation: str | None, expected: str
) -> None:
    """Scripts are for pods that somebody else makes."""
    plain.server.script_pods(start="succeed")
    plain.server.script_pods("x*", "la?", start="fail")
    plain.server.script_pods("y*", start="pending")

    plain.make_pod("x-1", annotation)

    assert plain.wait_for(in_lab("pods"), "x-1", phase(expected))


def test_delay_is_the_time_of_the_first_pull(plain: Plain) -> None:
    """Between Pulling and Pulled; by a script as by the annotation."""
    plain.server.script_pods(delay=timedelta(seconds=60))
    plain.make_pod("slow")
    metadata = {"annotations": {"lab-storage.test/delay": "0.1"}}
    containers = [{"name": "a", "image": "b"}]
    plain.make("pods", "fast", metadata=metadata, spec={"containers": containers})

    plain.wait_for(in_lab("pods"), "fast", phase("Running"))

    _, listed = plain.ask("GET", in_lab("events") + "?fieldSelector=involvedObject.name%3Dslow")
    assert ["Scheduled", "Pulling"] == [each["reason"] for each in listed["items"]]
    assert phase("Pending")(plain.ask("GET", in_lab("pods", "slow"))[1])


def test_back_off_is_one_event_whose_count_rises(plain: Plain) -> None:
    """As a kubelet's: the same event, seen again and again."""
    plain.make_pod(start="image-pull-back-off")

    with plain.watch(in_lab("events"), "fieldSelector=reason%3DBackOff") as events:
        seen = [next(events) for _ in range(3)]

    assert ["ADDED", "MODIFIED", "MODIFIED"] == [each["type"] for each in seen]
    assert [1, 2, 3] == [each["object"]["count"] for each in seen]
    assert 1 == len({each["object"]["metadata"]["name"] for each in seen})


def test_unknown_start_of_a_script_is_an_error(embedded_server: EmbeddedServer) -> None:
    """It would never be found out otherwise."""
    with pytest.raises(ValueError, match=r"^start must be one of run, pending, .*, got '"):
        embedded_server.script_pods(start="walk")


def test_init_crash_without_an_init_container_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There is nothing to crash, and the pod stays Pending."""
    logged = threading.Event()

    class Handler(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            logged.set()

    handler = Handler()
    logging.getLogger("lab_storage.testing").addHandler(handler)
    try:
        with EmbeddedServer() as server:
            plain = Plain(server)
            plain.make_namespace()
            server.script_pods(start="init-crash")
            plain.make_pod()
            assert logged.wait(10)
            assert phase("Pending")(plain.ask("GET", in_lab("pods", "x"))[1])
    finally:
        logging.getLogger("lab_storage.testing").removeHandler(handler)
    assert "needs an init container; pod x_lab" in caplog.text


def test_pod_goes_when_its_grace_is_over(plain: Plain) -> None:
    """Until then it is Terminating; a shorter grace brings the end forward."""
    plain.make_pod()
    plain.wait_for(in_lab("pods"), "x", phase("Running"))

    plain.ask("DELETE", in_lab("pods", "x"), {"gracePeriodSeconds": 3600})
    _, going = plain.ask("GET", in_lab("pods", "x"))
    plain.ask("DELETE", in_lab("pods", "x"), {"gracePeriodSeconds": 1})
    plain.wait_until_gone(in_lab("pods"), "x")

    assert 3600 == going["metadata"]["deletionGracePeriodSeconds"]


def test_pod_that_does_not_run_goes_at_once(plain: Plain) -> None:
    """Nothing has to be stopped."""
    plain.make_pod(start="pending")
    plain.wait_for(in_lab("pods"), "x", waiting_reason)

    plain.ask("DELETE", in_lab("pods", "x"), {"gracePeriodSeconds": 3600})

    plain.wait_until_gone(in_lab("pods"), "x")


def test_dead_node_catches_up_when_it_lives_again(plain: Plain) -> None:
    """Pods that were bound or deleted meanwhile start and go."""
    plain.make_pod("old")
    plain.wait_for(in_lab("pods"), "old", phase("Running"))
    plain.server.pause_kubelet()
    plain.make_pod("new")
    plain.ask("DELETE", in_lab("pods", "old"), {"gracePeriodSeconds": 1})
    bound = plain.wait_for(in_lab("pods"), "new", lambda pod: "nodeName" in pod["spec"])
    assert phase("Pending")(bound)

    plain.server.resume_kubelet()

    plain.wait_for(in_lab("pods"), "new", phase("Running"))
    plain.wait_until_gone(in_lab("pods"), "old")


# Watches


def test_bookmarks_come_by_the_clock_and_only_when_asked_for() -> None:
    """They carry a version and nothing else, and repeat that of the last change."""
    with EmbeddedServer(bookmark_interval=timedelta(seconds=0.05)) as server:
        plain = Plain(server)
        plain.make_namespace()
        with (
            plain.watch(in_lab("secrets")) as without,
            plain.watch(in_lab("secrets"), "allowWatchBookmarks=true") as bookmarked,
        ):
            first = next(bookmarked)
            made = plain.make("secrets")
            events = [first, *(next(bookmarked) for _ in range(3))]
            assert "ADDED" == next(without)["type"]

    assert ["BOOKMARK", "ADDED", "BOOKMARK", "BOOKMARK"] == [each["type"] for each in events]
    assert {"k8s.io/initial-events-end": "true"} == first["object"]["metadata"]["annotations"]
    for repeated in events[2:]:
        assert {
            "kind": "Secret",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": made["metadata"]["resourceVersion"]},
        } == repeated["object"]


def test_history_is_as_long_as_asked_for() -> None:
    """A version from before is answered 410 in the stream, as by a watch cache that moved on."""
    with EmbeddedServer(history=2) as server:
        plain = Plain(server)
        plain.make_namespace()
        versions = [
            plain.make("secrets", f"s{i}")["metadata"]["resourceVersion"] for i in range(4)
        ]
        with plain.watch(in_lab("secrets"), f"resourceVersion={versions[1]}") as known:
            assert ["s2", "s3"] == [next(known)["object"]["metadata"]["name"] for _ in range(2)]
        with plain.watch(in_lab("secrets"), f"resourceVersion={versions[0]}") as unknown:
            (event,) = list(unknown)

    assert ("ERROR", 410) == (event["type"], event["object"]["code"])


def test_watch_ends_when_its_time_is_over(plain: Plain) -> None:
    """Regularly, so that the connection can be used again."""
    with plain.watch(in_lab("secrets"), "timeoutSeconds=0") as events:
        assert [] == list(events)
    before = plain.pool.connection_from_url(plain.server.host).num_connections
    plain.ask("GET", "/version")

    assert before == plain.pool.connection_from_url(plain.server.host).num_connections


def test_watch_whose_client_hangs_up_is_over_without_an_event(plain: Plain) -> None:
    """It is noticed although there is nothing to write."""
    closed = threading.Event()
    with plain.watch(in_lab("secrets")):
        open_now = plain.server._running.watches
        assert len(open_now) == plain.server.open_watches
        (stream,) = [each.stream for each in open_now if each.stream._resource is SECRETS]
        close = stream.close

        def close_and_say() -> None:
            close()
            closed.set()

        stream.close = close_and_say  # type: ignore[method-assign]

    assert closed.wait(10)
