"""No value of a Secret shows anywhere, whatever the server sends back."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from kubernetes import client
from structlog.testing import LogCapture

from lab_storage import (
    KubernetesError,
    LabStorage,
    LabStorageError,
    MissingSecretError,
    OperationTimeoutError,
)
from tests.support.fixtures import StorageOf
from tests.support.labs import timeout_of
from tests.support.pauses import SetPauses
from tests.support.secret import (
    ENCODED,
    PLAIN,
    SECRET,
    SECRET_PATH,
    VALUE,
    assert_nothing_shows,
)
from tests.support.states import LAB, NAMES
from tests.support.villain import (
    Act,
    Cluster,
    Seen,
    Villain,
    answer,
    json_answer,
    raw,
    reset,
    stall,
    status,
    status_content,
    truncate,
)

ECHO = json.dumps(SECRET)
TEXTS = [
    ECHO,
    f"{VALUE} {PLAIN} {' '.join(ENCODED)}",
    f'secrets "{PLAIN}" not found',
    f'secrets "lab-secrets" is forbidden: {PLAIN}',
    f'Secret "lab-secrets" is invalid: data[token]: Invalid value: {ECHO}: not base64',
    f"Secret in version v1 cannot be handled: illegal base64 data in {ENCODED[1]!r}",
]


def refusals() -> Iterator[tuple[str, Act]]:
    """Give what a server may refuse with, that is final or not."""
    for code in (302, 400, 401, 403, 404, 409, 410, 413, 422, 429, 499, 500, 503, 504):
        for number, text in enumerate(TEXTS if code in (403, 404, 409, 422, 503) else TEXTS[:1]):
            yield f"{code} Status {number}", status(code, "Invalid", text)
        yield f"{code} reason", status(code, PLAIN)
        details = {"name": PLAIN, "causes": [{"message": VALUE, "field": ENCODED[0]}]}
        yield f"{code} details", status(code, "Invalid", "no", details)
        html = f"<html>{ECHO}</html>".encode()
        yield f"{code} HTML", answer(code, html, {"Content-Type": "text/html"})
        headers = {"Warning": f'299 - "{PLAIN}"', "Retry-After": PLAIN, "Location": f"/{PLAIN}"}
        yield f"{code} headers", status(code, "Invalid", "no", headers=headers)
        line = f"HTTP/1.1 {code} {PLAIN} {ENCODED[0]}\r\nContent-Length: 0\r\n\r\n"
        yield f"{code} phrase", raw(line.encode())


def head(*lines: str) -> bytes:
    """Give an answer's head."""
    return ("\r\n".join(["HTTP/1.1 200 OK", *lines]) + "\r\n\r\n").encode("latin-1")


def oddities() -> Iterator[tuple[str, Act]]:
    """Give answers that cannot be used."""
    echo = ECHO.encode()
    chunked = "Transfer-Encoding: chunked"
    yield "truncated", truncate(echo)
    yield "truncated in a chunk", truncate(echo, chunked=True)
    yield "half an object", answer(200, echo[:-9])
    yield "silent body", stall(echo)
    yield "text", answer(200, json.dumps(VALUE).encode())
    yield "list", json_answer([SECRET])
    yield "HTML", answer(200, b"<html>" + echo)
    yield "not text", answer(200, b"\xff\xfe" + echo)
    yield "status line", raw(echo + b"\r\n\r\n")
    yield "status", raw(f"HTTP/1.1 {PLAIN} OK\r\n\r\n".encode())
    yield "version", raw(f"HTTP/{PLAIN} 200 OK\r\n\r\n".encode())
    yield "endless status line", raw(f"HTTP/1.1 200 {PLAIN * 5000}\r\n\r\n".encode())
    yield "no header", raw(head("Content-Length: 2", PLAIN, "") + b"{}")
    yield "broken header", raw(head("Content-Length: 2", f": {PLAIN}", f"{PLAIN} x: y") + b"{}")
    yield "endless header", raw(head(f"X: {PLAIN * 5000}"))
    yield "chunk header", raw(head(chunked) + echo + b"\r\n")
    yield "chunk", raw(head(chunked) + b"5\r\n" + echo + b"\r\n")
    yield "length", raw(head(f"Content-Length: {PLAIN}") + b"{")
    yield "compression", answer(200, echo, {"Content-Encoding": "gzip"})
    yield "unknown compression", answer(200, echo[1:], {"Content-Encoding": PLAIN})


ANSWERS = [pytest.param(act, id=name) for name, act in [*refusals(), *oddities()]]


def read(storage: LabStorage, seconds: float) -> None:
    """Read it."""
    storage.read_secret("lab-secrets", NAMES.namespace, timeout_of(seconds))


def create(storage: LabStorage, seconds: float) -> None:
    """Create it, in a lab with little else."""
    metadata = client.V1ObjectMeta(name="lab-secrets", namespace=NAMES.namespace)
    secret = client.V1Secret(metadata=metadata, string_data=SECRET["stringData"])
    lab = attrs.evolve(
        LAB,
        secrets=[secret],
        config_maps=[],
        pvcs=[],
        quota=None,
        service=None,
        network_policy=None,
    )
    storage.create(lab, timeout_of(seconds))


def shown(error: BaseException | None, log: LogCapture, caplog: Any) -> str:
    """Give all that somebody could see of an error, and of the log."""
    texts = [repr(log.entries), json.dumps(log.entries, default=repr), caplog.text]
    texts += [repr(record.__dict__) for record in caplog.records]
    if error is not None:
        texts += [str(error), repr(error), repr(error.args), repr(vars(error))]
        texts += traceback.format_exception(error)
        texts += [pickle.dumps(error).decode("latin-1"), json.dumps(error.args)]
        found = error.__cause__
        while found is not None:
            texts += [str(found), repr(found), repr(vars(found))]
            found = found.__cause__
    return "\n".join(texts)


@pytest.mark.parametrize("act", ANSWERS)
@pytest.mark.parametrize("call", [read, create])
def test_no_value_shows_in_errors_and_logs(
    call: Callable[[LabStorage, float], None],
    act: Act,
    storage_of: StorageOf,
    log: LogCapture,
    caplog: pytest.LogCaptureFixture,
    set_pauses: SetPauses,
) -> None:
    """Whatever the answer is, and whether it is tried again."""
    set_pauses(0.01)
    caplog.set_level(logging.DEBUG)

    def before(request: Seen) -> Act | None:
        return act if request.path.startswith(SECRET_PATH) else None

    with Villain(Cluster(before)) as villain:
        storage = storage_of(villain)
        with pytest.raises(LabStorageError) as caught:
            call(storage, 0.06)

    error = caught.value
    assert_nothing_shows(shown(error, log, caplog))
    assert getattr(error, "body", None) is None
    assert isinstance(error, (KubernetesError, OperationTimeoutError, MissingSecretError))


@pytest.mark.parametrize("act", [reset, json_answer(status_content(409, "Conflict", ECHO), 409)])
def test_none_shows_in_what_is_tried_again(
    act: Act, storage_of: StorageOf, log: LogCapture, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a creation that works in the end."""
    caplog.set_level(logging.DEBUG)
    acts = [act] if act is reset else []
    cluster = Cluster(
        after=lambda request: (
            acts.pop() if acts and request.path == SECRET_PATH and request.body else None
        )
    )
    with Villain(cluster) as villain:
        create(storage_of(villain), 10)

    assert SECRET["stringData"] == cluster.objects[f"{SECRET_PATH}/lab-secrets"]["stringData"]
    assert_nothing_shows(shown(None, log, caplog))


@pytest.mark.parametrize(
    "data",
    [
        None,
        VALUE,
        [VALUE],
        {"token": None},
        {"token": 5},
        {"token": [VALUE]},
        {"token": {"a": ENCODED[0]}},
        {"token": VALUE},
    ],
)
def test_an_odd_secret_is_read_without_a_word(
    data: Any, storage_of: StorageOf, log: LogCapture, caplog: pytest.LogCaptureFixture
) -> None:
    """It is given as it is; no model shows its values in an error."""
    caplog.set_level(logging.DEBUG)
    content = {**SECRET, "data": data, "immutable": VALUE, "stringData": VALUE}
    with Villain(json_answer(content)) as villain:
        secret = storage_of(villain).read_secret("lab-secrets", NAMES.namespace, timeout_of(5))

    assert data == secret.data
    assert_nothing_shows(shown(None, log, caplog))


def test_what_a_server_says_of_a_secret_is_told_where_it_is_harmless(
    storage_of: StorageOf,
) -> None:
    """Who may not read one hears why."""
    message = (
        'secrets "lab-secrets" is forbidden: User "system:serviceaccount:hub:hub" cannot get '
        'resource "secrets" in API group "" in the namespace "lab-jovyan"'
    )
    with Villain(status(403, "Forbidden", message)) as villain:
        storage = storage_of(villain)
        with pytest.raises(KubernetesError) as caught:
            read(storage, 5)

    assert (message, "Forbidden", None) == (
        caught.value.message,
        caught.value.reason,
        caught.value.body,
    )


def test_a_message_that_is_withheld_says_so(storage_of: StorageOf) -> None:
    """With the status that it had."""
    with Villain(status(422, "Invalid", TEXTS[4])) as villain:
        storage = storage_of(villain)
        with pytest.raises(KubernetesError) as caught:
            read(storage, 5)

    assert (422, "Invalid") == (caught.value.status, caught.value.reason)
    assert "withheld" in str(caught.value)


def test_a_missing_secret_is_told_by_its_name(storage_of: StorageOf) -> None:
    """And is no refusal."""
    with Villain(status(404, "NotFound", 'secrets "lab-secrets" not found')) as villain:
        storage = storage_of(villain)
        with pytest.raises(MissingSecretError) as caught:
            read(storage, 5)

    assert ("Secret", "lab-secrets", NAMES.namespace) == caught.value.args
    assert caught.value.__cause__ is None
