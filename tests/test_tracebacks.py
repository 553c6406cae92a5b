"""No value of a Secret shows in a traceback that is printed with local variables."""

from __future__ import annotations

import io
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import attrs
import pytest
import structlog
from kubernetes import client
from structlog.dev import ConsoleRenderer, RichTracebackFormatter

from lab_storage import LabObjectNames, LabObjects, LabStorage, LabStorageError, ManifestError
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.pauses import SetPauses
from tests.support.secret import NEEDLES, SECRET, SECRET_PATH, assert_nothing_shows
from tests.support.states import LAB, NAMES
from tests.support.villain import Act, Cluster, Seen, Villain, json_answer, silence, stall, status

NAMESPACE_PATH = f"/api/v1/namespaces/{NAMES.namespace}"
ECHO = str(SECRET)


def secret_of(**content: Any) -> client.V1Secret:
    """Give the Secret as a model."""
    metadata = client.V1ObjectMeta(
        name="lab-secrets",
        namespace=NAMES.namespace,
        annotations={"last-applied": SECRET["stringData"]["password"]},
    )
    return client.V1Secret(metadata=metadata, **content)


# Here, since what a caller's own frames hold is the caller's to hide.
LAB_WITH_SECRET = attrs.evolve(
    LAB, secrets=[secret_of(data=SECRET["data"], string_data=SECRET["stringData"])]
)


def console(**settings: Any) -> Callable[[Any, str, Any], Any]:
    """Render as structlog does by default with rich, but cut nothing off."""
    formatter = RichTracebackFormatter(
        color_system=None, locals_max_length=1000, locals_max_string=100_000, **settings
    )
    return ConsoleRenderer(colors=False, exception_formatter=formatter)


RENDERERS: list[list[Any]] = [
    [ConsoleRenderer(colors=False)],
    [console(width=10_000)],
    [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()],
    [
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(
                locals_max_length=1000, locals_max_string=100_000
            )
        ),
        structlog.processors.JSONRenderer(),
    ],
]


def printed(error: BaseException) -> str:
    """Log an exception with its local variables, in all ways, and give what is written."""
    out = io.StringIO()
    for processors in RENDERERS:
        log = structlog.wrap_logger(
            structlog.PrintLogger(out),
            processors=processors,
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )
        log.error("failed", exc_info=(type(error), error, error.__traceback__))
    return out.getvalue()


def create(storage: LabStorage) -> None:
    """Create the lab."""
    storage.create(LAB_WITH_SECRET, timeout_of(0.6))


def read(storage: LabStorage) -> None:
    """Read the Secret."""
    storage.read_secret("lab-secrets", NAMES.namespace, timeout_of(0.6))


def failures() -> Iterator[tuple[str, Callable[[LabStorage], None], str, Act]]:
    """Give calls that fail: which, at what path, and by what answer."""
    pods = f"{NAMESPACE_PATH}/pods"
    yield "refused", create, SECRET_PATH, status(422, "Invalid", ECHO)
    yield "conflict", create, SECRET_PATH, status(409, "AlreadyExists", "exists")
    yield "unavailable", create, SECRET_PATH, status(503, "ServiceUnavailable", ECHO)
    yield "silent", create, SECRET_PATH, silence
    yield "echoed, then silent", create, SECRET_PATH, stall(ECHO.encode())
    yield "not JSON", create, SECRET_PATH, json_answer([SECRET])
    yield "pod refused", create, pods, status(422, "Invalid", "no")
    yield "pod silent", create, pods, silence
    yield "namespace refused", create, "/api/v1/namespaces", status(403, "Forbidden", "no")
    yield "read, refused", read, f"{SECRET_PATH}/lab-secrets", status(403, "Forbidden", ECHO)
    yield "read, silent", read, f"{SECRET_PATH}/lab-secrets", stall(ECHO.encode())
    yield "read, not JSON", read, f"{SECRET_PATH}/lab-secrets", json_answer([SECRET])


@pytest.mark.parametrize(
    ("ask", "path", "act"), [pytest.param(*rest, id=name) for name, *rest in failures()]
)
def test_no_value_shows_in_a_printed_traceback(
    ask: Callable[[LabStorage], None],
    path: str,
    act: Act,
    storage_of: StorageOf,
    set_pauses: SetPauses,
) -> None:
    """Whatever a call about a Secret fails by, in this thread or in a worker."""
    set_pauses(0.01)

    def before(request: Seen) -> Act | None:
        is_asked = request.method == "POST" or ask is read
        return act if request.path == path and is_asked else None

    with Villain(Cluster(before)) as villain:
        storage = storage_of(villain)
        with pytest.raises(LabStorageError) as caught:
            ask(storage)

    assert_nothing_shows(printed(caught.value))


class InterruptionError(Exception):
    """What a time limit of the caller's raises."""


@pytest.mark.parametrize("ask", [create, read])
def test_none_shows_in_the_traceback_of_an_interruption(
    ask: Callable[[LabStorage], None],
    storage_of: StorageOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It passes through the frames of whatever was being done; here, the Secret was being sent."""
    # All in this thread, where a signal is handled.
    monkeypatch.setattr("lab_storage._api.workers._Batch._take", lambda *_: False)

    def interrupt(*_: Any) -> None:
        raise InterruptionError

    def before(request: Seen) -> Act | None:
        if not request.path.startswith(SECRET_PATH):
            return None
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        return silence

    handler = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with Villain(Cluster(before)) as villain:
            storage = storage_of(villain)
            with pytest.raises(InterruptionError) as caught:
                ask(storage)
    finally:
        signal.signal(signal.SIGUSR1, handler)

    assert_nothing_shows(printed(caught.value))


WRONG_LABS = {
    "no name": attrs.evolve(
        LAB, secrets=[client.V1Secret(string_data=SECRET["stringData"], data=SECRET["data"])]
    ),
    "another namespace": attrs.evolve(
        LAB,
        secrets=[
            client.V1Secret(
                metadata=client.V1ObjectMeta(name="lab-secrets", namespace="elsewhere"),
                string_data=SECRET["stringData"],
            )
        ],
    ),
    "twice": attrs.evolve(LAB, secrets=[*LAB_WITH_SECRET.secrets] * 2),
    "of another class": attrs.evolve(LAB, config_maps=LAB_WITH_SECRET.secrets),
    "something else": attrs.evolve(LAB, secrets=[cast("Any", SECRET)]),
}


@pytest.mark.parametrize("name", WRONG_LABS)
@pytest.mark.parametrize("by", [LabObjects.to_manifests, create])
def test_none_shows_where_an_object_does_not_fit(
    name: str,
    by: Any,
    storage_of: StorageOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The models that were made by hand are in no frame of the library."""
    monkeypatch.setitem(globals(), "LAB_WITH_SECRET", WRONG_LABS[name])
    with (
        Villain(Cluster()) as villain,
        pytest.raises((ManifestError, TypeError)) as caught,
    ):
        by(storage_of(villain) if by is create else WRONG_LABS[name])

    assert_nothing_shows(printed(caught.value))


WRONG_MANIFESTS: dict[str, Any] = {
    "unknown field": {**SECRET, "stringdata": SECRET["stringData"]},
    "wrong type": {**SECRET, "immutable": SECRET["stringData"]["password"]},
    "not base64": {**SECRET, "data": {"password": [SECRET["stringData"]["password"]]}},
    "list": [SECRET],
    "no kind": {**SECRET, "kind": None},
    "no name": {**SECRET, "metadata": {}},
}


def from_manifests(name: str, names: LabObjectNames = NAMES) -> LabObjects:
    """Make a lab of one manifest."""
    return LabObjects.from_manifests(iter([WRONG_MANIFESTS[name]]), names)


@pytest.mark.parametrize("name", WRONG_MANIFESTS)
def test_none_shows_where_a_manifest_does_not_fit(name: str) -> None:
    """What was read from YAML is in no frame of the library."""
    with pytest.raises((ManifestError, TypeError)) as caught:
        from_manifests(name)

    assert_nothing_shows(printed(caught.value))


def test_manifests_in_a_list_do_not_show_either() -> None:
    """A printer opens a list, though not an iterator."""
    with pytest.raises(ManifestError) as caught:
        LabObjects.from_manifests([WRONG_MANIFESTS["unknown field"]], NAMES)

    assert_nothing_shows(printed(caught.value))


def test_a_printer_would_show_them() -> None:
    """The renderers of these tests do print local variables, and open what they find."""

    def fail() -> None:
        held = [attrs.make_class("Holder", ["secret"])(SECRET)]
        raise LabStorageError(str(len(held)))

    with pytest.raises(LabStorageError) as caught:
        fail()

    assert [] != [needle for needle in NEEDLES if needle in printed(caught.value)]
